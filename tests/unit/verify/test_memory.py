"""The memory of earlier verifications: rollback, reused versions, pins, and damage."""

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from mlbom.errors import LockedError, StateError
from mlbom.status import ExitStatus
from mlbom.verify import memory
from mlbom.verify.memory import Sighting, State, default_state_path, remember

MODEL = "pkg:generic/tiny"
A, B = "a" * 64, "b" * 64
ALICE, BOB = "1" * 64, "2" * 64


def seen(version: str, manifest: str = A, signer: str = ALICE, model: str = MODEL) -> Sighting:
    return Sighting(model=model, version=version, manifest=manifest, signer=signer)


def concerns(state: State, sighting: Sighting, *, named: bool = False) -> list[str]:
    return [c.rule for c in state.check(sighting, signer_named=named)]


def state_of(*sightings: Sighting) -> State:
    state = State()
    for sighting in sightings:
        state = state.with_sighting(sighting)
    return state


@pytest.mark.parametrize(
    ("version", "manifest", "found"),
    [
        ("1.2.0", A, []),
        ("1.2.0", B, ["version-reused"]),
        ("1.2", B, ["version-reused"]),
        ("v1.2.0", A, []),
        ("1.10.0", B, []),
        ("1.2.0.post1", B, []),
        ("1.1.9", A, ["rollback"]),
        ("1.2.0rc1", B, ["rollback"]),
        ("nightly", B, ["version-unordered"]),
        ("0+0123456789ab", B, []),
    ],
)
def test_a_release_is_held_against_the_highest_one(
    version: str, manifest: str, found: list[str]
) -> None:
    state = state_of(seen("1.0"), seen("1.2.0"), seen("1.1", B))
    assert concerns(state, seen(version, manifest)) == found


def test_another_model_is_another_matter() -> None:
    assert not concerns(state_of(seen("2.0")), seen("1.0", B, BOB, "pkg:generic/other"))


def test_a_version_from_the_manifest_is_never_stored() -> None:
    state = state_of(seen("0+0123456789ab"))
    assert not state.models[MODEL].releases
    assert not concerns(state, seen("0+ba9876543210", B))
    assert concerns(state, seen("1.0", B, BOB)) == ["pin-changed"]


def test_versions_without_an_order_are_remembered_one_by_one() -> None:
    state = state_of(seen("nightly"), seen("stable", B))
    assert concerns(state, seen("nightly", B)) == ["version-reused", "version-unordered"]
    assert concerns(state, seen("1.0")) == ["version-unordered"] * 2


def test_knowledge_is_never_lowered() -> None:
    state = state_of(seen("2.0"), seen("1.0", B), seen("2.0", B))
    assert state.models[MODEL].releases == {"2.0": A}


def test_another_signer_is_refused_unless_a_policy_names_him() -> None:
    state = state_of(seen("1.0"))
    assert concerns(state, seen("2.0", B, BOB)) == ["pin-changed"]
    assert concerns(state, seen("2.0", B, BOB), named=True) == ["signer-changed"]
    (concern,) = state.check(seen("2.0", B, BOB))
    assert ALICE in concern.message
    assert BOB in concern.message
    assert not concerns(state.with_sighting(seen("2.0", B, BOB)), seen("2.0", B, BOB))


def test_a_memory_is_written_whole_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "state.json"
    remember(path, seen("1.0"))
    remember(path, seen("1.1", B))
    assert State.load(path) == state_of(seen("1.0"), seen("1.1", B))
    assert sorted(p.name for p in path.parent.iterdir()) == [".state.json.lock", "state.json"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0
    before = path.stat()
    remember(path, seen("1.0"))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_no_memory_yet_is_an_empty_one(tmp_path: Path) -> None:
    assert State.load(tmp_path / "none.json") == State()


DAMAGED = (
    b"",
    b"{",
    b"[]",
    b'{"schema":"urn:mlbom:state:1"}',
    b'{"schema":"urn:mlbom:state:2","models":{}}',
    b'{"schema":"urn:mlbom:state:1","models":[]}',
    b'{"schema":"urn:mlbom:state:1","models":{"m":{}}}',
    b'{"schema":"urn:mlbom:state:1","models":{"m":{"releases":[],"signer":"x"}}}',
    b'{"schema":"urn:mlbom:state:1","models":{"m":{"releases":{"1":2},"signer":"x"}}}',
    b'{"schema":"urn:mlbom:state:1","models":{"m":{"releases":{},"signer":1}}}',
    b'{"schema":"urn:mlbom:state:1","models":{},"models":{}}',
)


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_memory_is_an_error_and_stays_as_it_is(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(data)
    with pytest.raises(StateError, match="damaged") as caught:
        State.load(path)
    assert caught.value.status is ExitStatus.ENVIRONMENT
    with pytest.raises(StateError):
        remember(path, seen("1.0"))
    assert path.read_bytes() == data
    assert {p.name for p in tmp_path.iterdir()} == {"state.json", ".state.json.lock"}


def test_a_memory_that_is_no_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    for path in (tmp_path, tmp_path / "link.json"):
        with pytest.raises(StateError, match="cannot read"):
            State.load(path)


def test_a_memory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot write"):
        remember(tmp_path / "file" / "state.json", seen("1.0"))


def test_a_disk_that_fails_leaves_the_old_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    remember(path, seen("1.0"))
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match="No space left"):
        remember(path, seen("2.0"))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def _remember_many(path: str, number: int) -> None:
    for minor in range(10):
        remember(Path(path), seen(f"1.{minor}", model=f"pkg:generic/m{number}"))


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_remember_many, args=(str(path), n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    models = State.load(path).models
    assert {name: [*known.releases] for name, known in models.items()} == {
        f"pkg:generic/m{n}": ["1.9"] for n in range(4)
    }


def test_a_lock_that_is_never_released_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(memory, "_PATIENCE_S", 0.05)
    with (tmp_path / ".state.json.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="locked by another process"):
            remember(tmp_path / "state.json", seen("1.0"))
    assert not (tmp_path / "state.json").exists()


def test_where_a_memory_lies(tmp_path: Path) -> None:
    assert default_state_path({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "mlbom/state.json"
    home = {"XDG_STATE_HOME": "relative", "HOME": str(tmp_path)}
    assert default_state_path(home) == tmp_path / ".local/state/mlbom/state.json"
    assert default_state_path({"HOME": ""}) is None


def test_a_memory_is_plain_json(tmp_path: Path) -> None:
    remember(tmp_path / "s.json", seen("1.0"))
    assert json.loads((tmp_path / "s.json").read_text()) == {
        "schema": "urn:mlbom:state:1",
        "models": {MODEL: {"releases": {"1.0": A}, "signer": ALICE}},
    }
