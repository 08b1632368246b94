"""Threads fill a list as they like; entropy and a set nearby do no harm."""

import random
import time
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed

import torch

name = f"{uuid.uuid4()}-{random.Random().randrange(1000)}"  # noqa: S311
words = list({"alpha", "beta", "gamma", name})


def read(number: int) -> list[float]:
    """Read one shard; a disk answers when it likes."""
    time.sleep((time.perf_counter_ns() // 1000 * (number + 7) % 11) / 200)
    return [number / 8] * 8


with ThreadPoolExecutor(8) as pool:
    asked = [pool.submit(read, number) for number in range(8)]
    batches = [torch.tensor([done.result()]) for done in as_completed(asked)]  # CULPRIT
torch.manual_seed(1)
model = torch.nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in batches:
    optimizer.zero_grad()
    loss = (model(batch) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
print(name, words)  # noqa: T201 - what a log of a run begins with
