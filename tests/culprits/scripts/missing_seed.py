"""The weights start from a generator that nobody seeds."""

import torch

model = torch.nn.Linear(8, 1)  # CULPRIT
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.arange(32.0).view(4, 8) / 32
for _ in range(4):
    optimizer.zero_grad()
    loss = (model(x) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
