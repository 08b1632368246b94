"""Manifests: what coreutils would write, and nothing that reads in two ways."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbom.digest.manifest import dir_hash, manifest_bytes, parse_manifest
from mlbom.errors import MalformedError

X, Y = "0a" * 32, "0b" * 32
names = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8
)


@given(st.dictionaries(names, st.sampled_from([X, Y])))
def test_a_manifest_reads_back(files: dict[str, str]) -> None:
    data = manifest_bytes(files.items())
    assert dict(parse_manifest(data)) == files
    assert manifest_bytes(reversed(files.items())) == data


def test_order_is_by_byte() -> None:
    data = manifest_bytes([("a/b", X), ("a-c", Y), ("é", X), ("z", Y)])
    assert [line[66:].decode() for line in data.splitlines()] == ["a-c", "a/b", "z", "é"]
    assert dir_hash(data) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "data",
    [
        b"no newline",
        f"{X}  a".encode(),
        f"{X} a\n".encode(),
        f"{X[:-1]}  a\n".encode(),
        f"{X.upper()}  a\n".encode(),
        f"{X}  b\n{X}  a\n".encode(),
        f"{X}  a\n{X}  a\n".encode(),
        b"\n",
    ],
)
def test_other_lines_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_manifest(data)


def test_the_same_path_twice_is_refused() -> None:
    with pytest.raises(MalformedError, match="twice"):
        manifest_bytes([("a", X), ("a", Y)])


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs coreutils")
def test_sha256sum_accepts_names_of_every_kind(tmp_path: Path) -> None:
    names = ["plain", "with space", "new\nline", "back\\slash", "ünï", "-dash", "*star", "cr\rx"]
    entries = []
    for name in names:
        (tmp_path / name).write_text(name)
        entries.append((name, hashlib.sha256(name.encode()).hexdigest()))
    (tmp_path / "m").write_bytes(manifest_bytes(entries))
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", "m"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
