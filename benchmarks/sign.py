"""Speed of `mlbom sign` and `verify` as ratios to `model_signing`, and of signing after an edit.

The hashing itself is the same SHA-256 of the same OpenSSL on both sides and cannot be
beaten, for one file not even by a second core; what differs is everything around it.
"""

import os
import subprocess
import time
from pathlib import Path

from comparison import Row, compare

SHARDS, SHARD_BYTES = 4, 512 * 1024**2
# The digest cache does not believe a file that has changed this recently, in seconds.
SETTLED = 2.5


def write_noise(path: Path, nbytes: int) -> None:
    """Write a file of noise that repeats every MiB, without holding it in memory."""
    block = os.urandom(1024 * 1024)
    with path.open("wb") as stream:
        for _ in range(nbytes // len(block)):
            stream.write(block)


def compare_all(
    binaries: Path, model: Path, folder: Path, environment: dict[str, str]
) -> list[bool]:
    """Print each row and return which goals are met.

    Args:
        binaries: where `mlbom` and `model_signing` lie.
        model: a real model directory.
        folder: for the large models; 2.5 GiB are written.
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
    write_noise(one / "model.safetensors", SHARD_BYTES)
    time.sleep(SETTLED)
    ours = folder / "ours.sig"

    def sign(path: Path, *more: str) -> list[str]:
        return [mlbom, "sign", str(path), "--key", str(key), "-o", str(ours), "-q", *more]

    def reference(path: Path) -> list[str]:
        told = ["--private_key", str(key), "--signature", str(folder / "theirs.sig")]
        return [peer, "sign", "key", str(path), *told]

    def theirs(path: Path) -> list[str]:
        told = ["--public_key", str(key.with_suffix(".pub")), "--signature", str(ours)]
        return [peer, "verify", "key", str(path), *told]

    def verify(path: Path) -> list[str]:
        return [
            mlbom,
            "verify",
            str(ours),
            "--root",
            str(path),
            "--key",
            f"{key.with_suffix('.pub')}",
        ]

    def edit() -> None:
        for name in ("README.md", "config.json"):
            (shards / name).write_bytes(b'{"edited": %d}' % time.time_ns())

    edit()
    file = one / "model.safetensors"
    subprocess.run(sign(shards), check=True, env=environment)
    again = sign(shards, "--reuse", str(ours))
    files = sorted(map(str, shards.glob("*.safetensors")))
    bare = ["sh", "-c", 'printf "%s\\0" "$@" | xargs -0 -P2 -n1 openssl dgst -sha256', "sh", *files]
    rows = [
        # No signer can do better than this: the bytes hashed by openssl on two cores, and no more.
        (Row(f"floor: bare SHA-256 of {SHARDS} x 512 MiB / model_signing", bare, reference(shards),
             "wall", 1.0), lambda: None),
        (Row(f"sign {SHARDS} x 512 MiB / model_signing", sign(shards), reference(shards),
             "wall", 0.5), lambda: None),
        (Row("sign one file of 512 MiB / model_signing", sign(file), reference(file),
             "wall", 0.5), lambda: None),
        (Row("sign --reuse after an edit / first signing", again, sign(shards),
             "wall", 0.05), edit),
    ]  # fmt: skip
    met = [compare(row, environment, prepare) for row, prepare in rows]
    for path, what in ((model, "all-MiniLM-L6-v2"), (shards, f"{SHARDS} x 512 MiB")):
        subprocess.run(sign(path), check=True, env=environment)
        row = Row(f"verify {what} / model_signing", verify(path), theirs(path), "wall", 0.6)
        met.append(compare(row, environment, lambda: None))
    return met
