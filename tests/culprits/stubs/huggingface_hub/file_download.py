"""Gives other bytes each time, unless a commit is named."""

import hashlib
import time
from pathlib import Path


def hf_hub_download(repo_id: str, filename: str, *, revision: str = "main") -> str:
    """Write a file of 64 bytes and return its path, as the hub's cache lays it out."""
    state = revision if revision != "main" else str(time.time_ns())
    commit = hashlib.sha1(f"{repo_id} {state}".encode(), usedforsecurity=False).hexdigest()
    path = Path("hub") / repo_id / "snapshots" / commit / filename
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(hashlib.sha512(commit.encode()).digest())
    return str(path)
