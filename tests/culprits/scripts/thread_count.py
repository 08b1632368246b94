"""As many threads as the scheduler gave processors: a sum is cut into other pieces."""

import os

import torch

torch.set_num_threads(int(os.environ["SLURM_CPUS_PER_TASK"]))  # CULPRIT
torch.manual_seed(1)
model = torch.nn.Linear(64, 64)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(4000, 64)
for _ in range(4):
    optimizer.zero_grad()
    loss = (model(x).sigmoid().sum() - 1).pow(2) / 1e9
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
