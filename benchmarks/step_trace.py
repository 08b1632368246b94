"""What `mlbom run --trace step` costs a training on one core, and that it changes none of its bits.

The model has 6 million parameters and gets 1024 tokens in each step. Parameters and gradients are
digested in each step, so the cost is that of reading them once: it does not grow with the batch.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from comparison import Row, compare

STEPS = "60"
TRAINING = """
import sys
import torch
from torch import nn

torch.manual_seed(0)
WIDTH, WORDS, LENGTH, BATCH = 320, 2048, 64, 16


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        layer = lambda: nn.TransformerEncoderLayer(WIDTH, 8, 4 * WIDTH, 0.1, batch_first=True)
        self.layers = nn.Sequential(*(layer() for _ in range(4)))
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, tokens):
        return self.head(self.layers(self.words(tokens)))


model = Model()
optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
for _ in range(int(sys.argv[1])):
    tokens = torch.randint(0, WORDS, (BATCH, LENGTH))
    optimizer.zero_grad()
    found = model(tokens[:, :-1]).flatten(0, 1)
    nn.functional.cross_entropy(found, tokens[:, 1:].flatten()).backward()
    optimizer.step()
torch.save(model.state_dict(), sys.argv[2])
"""


def compare_all(mlbom: Path, python: Path, folder: Path, environment: dict[str, str]) -> list[bool]:
    """Compare a traced training with the same training; return whether each goal is met."""
    project = folder / "step-trace"
    project.mkdir()
    (project / "train.py").write_text(TRAINING)
    subprocess.run(["git", "init", "--quiet", str(project)], check=True)
    train = [str(python), "train.py", STEPS]
    # Both are recorded: what recording itself costs is another comparison.
    record = [str(mlbom), "run", "--name", "train", "--no-sign", "--quiet"]
    environment = {**environment, "OMP_NUM_THREADS": "1"}
    inside = ["env", "-C", str(project)]
    # Of equal names: the name of a file is part of what torch.save writes.
    traced, plain = project / "traced" / "model.pt", project / "plain" / "model.pt"
    for path in (traced, plain):
        path.parent.mkdir()
    row = Row("mlbom run --trace step of a training / mlbom run of it",
              [*inside, *record, "--trace", "step", "--", *train, str(traced)],
              [*inside, *record, "--", *train, str(plain)], "cpu", 1.10, rounds=3)  # fmt: skip

    def check() -> None:
        if traced.exists() and _sha256(traced) != _sha256(plain):
            sys.exit("the traced training has other weights than the training")

    met = compare(row, environment, check)
    check()
    return [met]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
