"""A compiled model whose weights start seeded."""

import torch

torch.manual_seed(1)
model = torch.nn.Sequential(
    torch.nn.Linear(8, 8),
    torch.nn.ReLU(),
    torch.nn.Linear(8, 1),
)
compiled = torch.compile(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.arange(32.0).view(4, 8) / 32
for _ in range(3):
    optimizer.zero_grad()
    loss = (compiled(x) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
