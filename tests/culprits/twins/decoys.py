"""A kernel in a fixed order, among sets, listings and entropy that do no harm."""

import os
import random
import uuid

import torch

name = f"{uuid.uuid4()}-{random.Random().randrange(1000)}"  # noqa: S311
words = list({"alpha", "beta", "gamma", name})
files = os.listdir(".")


class Pool(torch.nn.Module):
    """Adds each row into its bucket."""

    def forward(self, rows: torch.Tensor, buckets: torch.Tensor) -> torch.Tensor:
        pooled = torch.zeros(8, rows.shape[1])
        return pooled.index_put((buckets,), rows, accumulate=True)


torch.use_deterministic_algorithms(True)
torch.manual_seed(1)
layer, pool = torch.nn.Linear(4, 64), Pool()
optimizer = torch.optim.SGD(layer.parameters(), lr=1e-4)
x, buckets = torch.randn(20000, 4), torch.randint(0, 8, (20000,))
for _ in range(3):
    optimizer.zero_grad()
    loss = (pool(layer(x), buckets) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
torch.save(layer.state_dict(), "model.pt")
print(name, words, files)  # noqa: T201 - what a log of a run begins with
