"""The shards are read in the order in which the file system lists them."""

import os
from pathlib import Path

import torch

folder = Path("shards")
folder.mkdir(exist_ok=True)
for number in range(6):
    (folder / f"part-{number}.txt").write_text(str(number))
names = os.listdir(folder)  # CULPRIT
batches = [torch.full((4, 8), float((folder / name).read_text()) / 6) for name in names]
torch.manual_seed(1)
model = torch.nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in batches:
    optimizer.zero_grad()
    loss = (model(batch) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
