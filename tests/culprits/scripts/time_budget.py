"""The training ends when its time is over, after as many steps as it then has made."""

import time

import torch

torch.manual_seed(1)
model = torch.nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.arange(32.0).view(4, 8) / 32
deadline = time.monotonic() + 0.2
while time.monotonic() < deadline:  # CULPRIT
    optimizer.zero_grad()
    loss = (model(x) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
