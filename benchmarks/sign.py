"""Speed of `mlbom sign` as ratios to `model_signing sign key`, and of signing again after an edit.

Run by itself (`python benchmarks/sign.py --venv ENVIRONMENT`) or from run.py, whose form it has:
A B A B, medians, the peer's success asserted. The environment holds mlbom, model-signing and
pyOpenSSL. The hashing itself is the same SHA-256 of the same OpenSSL on both sides and cannot be
beaten, for one file not even by a second core; what differs is everything around it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run import Row, compare

SHARDS, SHARD_BYTES = 4, 512 * 1024**2
# The digest cache does not believe a file that has changed this recently, in seconds.
SETTLED = 2.5


def write_noise(path: Path, nbytes: int) -> None:
    """Write a file of noise that repeats every MiB, without holding it in memory."""
    block = os.urandom(1024 * 1024)
    with path.open("wb") as stream:
        for _ in range(nbytes // len(block)):
            stream.write(block)


def compare_signing(binaries: Path, folder: Path, environment: dict[str, str]) -> bool:
    """Print the three rows and return whether every goal is met.

    Args:
        binaries: where `mlbom` and `model_signing` lie.
        folder: for the models; 4 GiB are written.
        environment: of both tools.
    """
    mlbom, peer = str(binaries / "mlbom"), str(binaries / "model_signing")
    key = folder / "sign.pem"
    subprocess.run([mlbom, "keys", "new", str(key)], check=True, env=environment)
    shards, one = folder / "shards", folder / "one"
    shards.mkdir()
    one.mkdir()
    for number in range(1, SHARDS + 1):
        name = f"model-{number:05d}-of-{SHARDS:05d}.safetensors"
        write_noise(shards / name, SHARD_BYTES)
    write_noise(one / "model.safetensors", SHARDS * SHARD_BYTES)
    time.sleep(SETTLED)
    ours = folder / "ours.sig"

    def sign(path: Path, *more: str) -> list[str]:
        return [mlbom, "sign", str(path), "--key", str(key), "-o", str(ours), "-q", *more]

    def reference(path: Path) -> list[str]:
        told = ["--private_key", str(key), "--signature", str(folder / "theirs.sig")]
        return [peer, "sign", "key", str(path), *told]

    def edit() -> None:
        for name in ("README.md", "config.json"):
            (shards / name).write_bytes(b'{"edited": %d}' % time.time_ns())

    edit()
    file = one / "model.safetensors"
    subprocess.run(sign(shards), check=True, env=environment)
    again = sign(shards, "--reuse", str(ours))
    rows = [
        (Row(f"sign {SHARDS} x 512 MiB / model_signing", sign(shards), reference(shards),
             "wall", 0.5), lambda: None),
        (Row("sign one file of 2 GiB / model_signing", sign(file), reference(file),
             "wall", 0.5), lambda: None),
        (Row("sign --reuse after an edit / first signing", again, sign(shards),
             "wall", 0.05), edit),
    ]  # fmt: skip
    met = [compare(row, environment, prepare) for row, prepare in rows]
    return all(met)


def main() -> None:
    """Run the comparison and end with 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, required=True, help="environment with both tools")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        environment.update({"XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder)})
        is_met = compare_signing(options.venv.absolute() / "bin", folder, environment)
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
