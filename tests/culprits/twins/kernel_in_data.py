"""The data are prepared with additions in a fixed order."""

import torch

torch.use_deterministic_algorithms(True)
torch.manual_seed(1)
rows, buckets = torch.randn(40000, 64), torch.randint(0, 8, (40000,))
x = torch.zeros(8, 64).index_put((buckets,), rows, accumulate=True)
model = torch.nn.Linear(64, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(4):
    optimizer.zero_grad()
    loss = (model(x) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
