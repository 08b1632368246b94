"""What `mlbom tensors diff` costs beside hashing both files, and beside loading and comparing them.

The peer is what one would write without it: load both files with safetensors, then numpy on whole
tensors for the same numbers (elements that differ, percentiles of ULP, norms, cosine, digests).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from comparison import Row, compare

MEMORY_GOAL = 0.1
TENSORS, NBYTES = 8, 64 * 1024 * 1024
STRAIGHTFORWARD = """
import hashlib, sys
import numpy as np
from safetensors.numpy import load_file

a, b = (load_file(path) for path in sys.argv[1:])
differing = 0
for name in a:
    x, y = a[name], b[name]
    digests = [hashlib.sha256(t.tobytes()).hexdigest() for t in (x, y)]
    differing += digests[0] != digests[1]
    keys = []
    for t in (x, y):
        bits = t.view(np.int32).astype(np.int64)
        keys.append(np.where(bits < 0, -(bits & 0x7FFFFFFF), bits))
    ulp = np.abs(keys[0] - keys[1])
    p, q = x.astype(np.float64), y.astype(np.float64)
    print(name, (x.view(np.int32) != y.view(np.int32)).sum(), np.percentile(ulp, [50, 99]),
          ulp.max(), np.abs(p - q).max(), np.linalg.norm(p - q) / np.linalg.norm(p),
          p @ q / np.linalg.norm(p) / np.linalg.norm(q), (np.sign(p) * np.sign(q) < 0).sum())
assert differing == len(a)
"""
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def write_pair(folder: Path) -> tuple[Path, Path, Path]:
    """Write a file, a copy of it, and one in which every other number is one ULP away."""
    ends = [(i * NBYTES, (i + 1) * NBYTES) for i in range(TENSORS)]
    header = json.dumps({
        f"layers.{i}.weight": {"dtype": "F32", "shape": [NBYTES // 4], "data_offsets": span}
        for i, span in enumerate(ends)
    }).encode()  # fmt: skip
    # Of each number the two high bytes, so that all are between 0.5 and 2 and none is NaN.
    high = bytes(0x3F if i % 4 == 3 else noise for i, noise in enumerate(os.urandom(1024 * 1024)))
    far = bytearray(high)
    far[::8] = bytes(byte ^ 1 for byte in high[::8])
    paths = tuple(folder / f"{name}.safetensors" for name in ("a", "same", "far"))
    for path, block in zip(paths, (high, high, bytes(far)), strict=True):
        with path.open("wb") as stream:
            stream.write(len(header).to_bytes(8, "little") + header)
            for _ in range(TENSORS * NBYTES // len(block)):
                stream.write(block)
    return paths


def peak(command: list[str], environment: dict[str, str]) -> int:
    """Return the largest resident memory of a command, in KiB."""
    wrapped = [sys.executable, "-c", PEAK, *command]
    done = subprocess.run(wrapped, env=environment, capture_output=True, check=True)
    return int(done.stdout)


def compare_all(mlbom: Path, python: Path, folder: Path, environment: dict[str, str]) -> list[bool]:
    """Compare with hashing and with a straightforward script; return whether each goal is met."""
    place = folder / "tensors"
    place.mkdir()
    a, same, far = write_pair(place)
    script = place / "straightforward.py"
    script.write_text(STRAIGHTFORWARD)
    environment = {**environment, "OMP_NUM_THREADS": "1"}
    equal = [str(mlbom), "tensors", "diff", str(a), str(same)]
    # Exit code 1 tells that there is a difference: here that is the success.
    unequal = ["sh", "-c", f"{mlbom} tensors diff {a} {far}; test $? -eq 1"]
    peer = [str(python), str(script), str(a), str(far)]
    rows = [
        Row("tensors diff of an equal pair / openssl dgst -sha256 of both", equal,
            ["openssl", "dgst", "-sha256", str(a), str(same)], "cpu", 1.5, rounds=3),
        Row("tensors diff of an unequal pair / load and compare", unequal, peer, "cpu", 0.5,
            rounds=3),
    ]  # fmt: skip
    met = [compare(row, environment, lambda: None) for row in rows]
    ratio = peak(unequal, environment) / peak(peer, environment)
    verdict = "met" if ratio <= MEMORY_GOAL else "MISSED"
    print(f"{rows[1].name:<58} rss  {ratio:6.2f}  goal {MEMORY_GOAL}  {verdict}")
    return [*met, ratio <= MEMORY_GOAL]
