"""The seed is the time of day."""

import time

import torch

torch.manual_seed(time.time_ns() % 2**32)  # CULPRIT
model = torch.nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.arange(32.0).view(4, 8) / 32
for _ in range(4):
    optimizer.zero_grad()
    loss = (model(x) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
