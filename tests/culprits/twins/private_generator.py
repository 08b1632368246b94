"""From the third step on, noise comes from a generator with a fixed seed."""

import torch

torch.manual_seed(1)
model = torch.nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
noise = torch.Generator()
noise.manual_seed(2)
x = torch.arange(32.0).view(4, 8) / 32
for step in range(5):
    optimizer.zero_grad()
    hidden = model(x)
    if step >= 2:
        hidden = hidden + torch.randn(4, 1, generator=noise) / 10
    loss = (hidden - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
