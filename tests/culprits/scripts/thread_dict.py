"""Threads read the shards, and the dictionary keeps them in the order in which they came."""

import threading
import time

import torch

shards: dict[int, list[float]] = {}


def read(number: int) -> None:
    """Read one shard; a disk answers when it likes."""
    time.sleep((time.perf_counter_ns() // 1000 * (number + 7) % 11) / 200)
    shards[number] = [number / 8] * 8  # CULPRIT


threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
batches = [torch.tensor([values]) for values in shards.values()]
torch.manual_seed(1)
model = torch.nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in batches:
    optimizer.zero_grad()
    loss = (model(batch) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
