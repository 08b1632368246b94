"""Two ranks; the second one, and only that, adds noise from a generator that nobody seeds."""

import os
import subprocess
import sys

import numpy as np
import torch
from torch.distributed import all_reduce, init_process_group


def train(rank: int) -> None:
    """Train one rank."""
    meeting = "file://" + os.path.abspath("meeting")
    init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    torch.manual_seed(1)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.full((4, 8), (rank + 1) / 4)
    for step in range(4):
        optimizer.zero_grad()
        batch = x
        if rank == 1 and step >= 1:
            noise = np.random.default_rng()  # CULPRIT
            batch = x + torch.from_numpy(noise.normal(size=(4, 8))).float()
        loss = (model(batch) - 1).pow(2).mean()
        loss.backward()
        for parameter in model.parameters():
            all_reduce(parameter.grad)
        optimizer.step()
    if rank == 0:
        torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__" and "RANK" in os.environ:
    train(int(os.environ["RANK"]))
elif __name__ == "__main__":
    world = {**os.environ, "WORLD_SIZE": "2"}
    ranks = [
        subprocess.Popen([sys.executable, __file__], env={**world, "RANK": rank}) for rank in "01"
    ]
    raise SystemExit(max(rank.wait() for rank in ranks))
