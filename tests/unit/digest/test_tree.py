"""Walking trees: bytewise order, no link followed, nothing silently left out."""

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mlbom.digest.ignore import ignore_list
from mlbom.digest.tree import EntryKind, hub_snapshot, walk, walk_files

parts = st.text("ab-./ é~", min_size=1, max_size=3).filter(
    lambda n: n not in (".", "..") and "/" not in n
)
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.sets(paths, max_size=12))
def test_the_walk_is_in_bytewise_path_order(tmp_path_factory: object, wanted: set[str]) -> None:
    root: Path = tmp_path_factory.mktemp("t")  # type: ignore[attr-defined]
    made = set()
    for path in sorted(wanted, key=lambda p: -p.count("/")):
        if (root / path).exists():
            continue
        try:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(b"")
        except OSError:
            continue
        made.add(path)
    found = [e.path for e in walk(root)]
    assert found == sorted(made, key=os.fsencode)


def test_every_kind_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("abc")
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "self").symlink_to("..")
    (tmp_path / "skip").mkdir()
    (tmp_path / "skip" / "x").write_text("")
    entries = {e.path: e for e in walk(tmp_path, lambda p: p == "skip")}
    assert {p: e.kind.value for p, e in entries.items()} == {
        "file": "file",
        "link": "link",
        "loop/self": "link",
        "pipe": "special",
        "skip": "skipped",
    }
    assert entries["file"].nbytes == 3
    assert entries["link"].target == "/etc/passwd"


def test_a_name_that_is_not_utf8_survives(tmp_path: Path) -> None:
    name = b"bad\xff"
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))).write_bytes(b"1")
    (entry,) = walk(tmp_path)
    assert os.fsencode(entry.path) == name


def test_hub_cache_links_are_files_and_other_links_are_not(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--name" / "snapshots" / ("0a" * 20)
    blobs = tmp_path / "models--org--name" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "abc").write_text("hello")
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    (snapshot / "evil").symlink_to("../../../../../../etc/passwd")
    assert hub_snapshot(snapshot) == ("org/name", "0a" * 20)
    entries = {e.path: e for e in walk_files(snapshot)}
    assert entries["config.json"].kind is EntryKind.FILE
    assert entries["config.json"].nbytes == 5
    assert entries["config.json"].location == "../../blobs/abc"
    assert entries["evil"].kind is EntryKind.LINK


def test_the_ignore_list_covers_prefixes_and_caches() -> None:
    single, folder = ignore_list(model_directory=False), ignore_list(model_directory=True)
    for path in (".git", ".git/config", "a/__pycache__", "mlbom-out/x", ".cache/huggingface/y"):
        assert single.covers(path)
    for path in ("README.md", "model.sig", "img/x.svg"):
        assert folder.covers(path)
        assert not single.covers(path)
    for path in ("gitx", "sub/.git/x", "a/README.md", "README.md.bak", "mlbom-outx"):
        assert not folder.covers(path)
