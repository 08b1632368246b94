"""`sign_model`: what is covered, what is refused, what is taken over, and nothing half-written."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from mlbom.attest.bundle import parse_bundle
from mlbom.attest.oms import SignedFiles, parse_oms
from mlbom.attest.statement import parse_statement
from mlbom.digest.hashing import Hashing
from mlbom.digest.ignore import ignore_list
from mlbom.errors import (
    FileNameError,
    MlbomError,
    OldSignatureError,
    OutputError,
    PathNotFoundError,
    SecretLeakError,
    UnreadableError,
    UsageError,
)
from mlbom.pipeline.sign import SignRequest, SignResult, sign_model
from mlbom.sign.newkey import KEY_NAMES, KeyPaths, make_key
from mlbom.sign.signer import Signer, open_signer, own_envelope
from mlbom.sign.timestamp import CarriedTimestamp
from tests.fixtures.tiny_release import sha256, write_files

MODEL = {
    "config.json": b"{}",
    "a-c": b"1",
    "a/b.txt": b"2",
    "model-00001-of-00002.safetensors": b"x" * 300,
    "model-00002-of-00002.safetensors": b"y" * 300,
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_files(tmp_path / "model", MODEL)
    return tmp_path / "model"


def signer_of(folder: Path, name: str = "key", kind: str = "p256") -> Signer:
    paths = KeyPaths.of(folder / f"{name}.pem")
    if not paths.private.exists():
        make_key(paths, KEY_NAMES[kind])
    return open_signer(str(paths.private))


@pytest.fixture
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return signer_of(tmp_path_factory.mktemp("keys"))


def sign(path: Path, signer: Signer, **more: Path) -> SignResult:
    signature = more.pop("signature", path / "model.sig")
    return sign_model(SignRequest(path=path, signature=signature, **more), signer)


def signed_files(signature: Path, signer: Signer) -> SignedFiles:
    envelope = own_envelope(signature.read_bytes(), signer)
    assert envelope is not None
    return parse_oms(parse_statement(json.loads(envelope.payload)))


def content(folder: Path) -> Mapping[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_file_is_signed_in_the_order_of_the_specification(
    model: Path, signer: Signer
) -> None:
    result = sign(model, signer)
    told = signed_files(model / "model.sig", signer)
    assert list(told.files) == sorted(MODEL)
    assert told.files == {path: sha256(data) for path, data in MODEL.items()}
    assert (result.name, result.files, result.nbytes) == ("model", 5, 604)
    assert told.name == "model"
    assert result.signer == signer.public_key.hint


def test_what_is_ignored_is_the_list_of_generate(model: Path, signer: Signer) -> None:
    extra = {".git/HEAD": b"", "README.md": b"", "img/a.svg": b"", "a/__pycache__/x.pyc": b""}
    write_files(model, extra)
    sign(model, signer)
    told = signed_files(model / "model.sig", signer)
    assert set(told.files) == set(MODEL)
    assert set(told.ignored) == {*ignore_list(model_directory=True).prefixes, "a/__pycache__"}


def test_signing_again_gives_the_same_bytes(model: Path, signer: Signer) -> None:
    sign(model, signer)
    first = (model / "model.sig").read_bytes()
    sign(model, signer)
    assert (model / "model.sig").read_bytes() == first


def test_a_signature_of_another_name_inside_is_no_part_of_the_model(
    model: Path, signer: Signer
) -> None:
    for _ in range(2):
        sign(model, signer, signature=model / "a" / "my.sig")
    told = signed_files(model / "a" / "my.sig", signer)
    assert set(told.files) == set(MODEL)
    assert "a/my.sig" in told.ignored


def test_a_single_file_is_called_as_the_reference_tool_calls_it(
    model: Path, signer: Signer
) -> None:
    path = model / "a" / "b.txt"
    result = sign(path, signer, signature=path.with_name("b.txt.sig"))
    told = signed_files(path.with_name("b.txt.sig"), signer)
    assert (told.name, dict(told.files), told.ignored) == ("b.txt", {".": sha256(b"2")}, ())
    assert result.files == 1


def test_a_snapshot_of_a_hub_cache_is_signed_by_its_names(tmp_path: Path, signer: Signer) -> None:
    snapshot = tmp_path / "models--org--m" / "snapshots" / ("0" * 40)
    write_files(tmp_path / "models--org--m" / "blobs", {"abc": b"weights"})
    snapshot.mkdir(parents=True)
    (snapshot / "w.safetensors").symlink_to("../../blobs/abc")
    out = tmp_path / "m.sig"
    assert sign(snapshot, signer, signature=out).reused == 0
    assert signed_files(out, signer).files == {"w.safetensors": sha256(b"weights")}


Refusal = tuple[type[MlbomError], str]
REFUSED: Mapping[str, Refusal] = {
    "link": (UnreadableError, "is a link"),
    "pipe": (UnreadableError, "device, pipe or socket"),
    "latin": (FileNameError, "not valid UTF-8"),
    "newline": (FileNameError, "control character"),
    "secret": (SecretLeakError, "file name shaped like"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_signed_is_refused_and_nothing_is_written(
    what: str, model: Path, signer: Signer
) -> None:
    sign(model, signer)
    match what:
        case "link":
            (model / "l").symlink_to("config.json")
        case "pipe":
            os.mkfifo(model / "p")
        case "latin":
            Path(os.fsdecode(os.fsencode(model / "caf") + b"\xe9")).write_bytes(b"")
        case "newline":
            (model / "a\nb").write_bytes(b"")
        case "secret":
            (model / ("ghp_" + "a1B2" * 9)).write_bytes(b"")
    before = (model / "model.sig").read_bytes()
    error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        sign(model, signer)
    assert (model / "model.sig").read_bytes() == before
    assert not list(model.glob(".*mlbom-new"))


def test_a_link_to_the_only_file_is_refused(model: Path, signer: Signer, tmp_path: Path) -> None:
    (tmp_path / "l").symlink_to(model / "config.json")
    with pytest.raises(UnreadableError, match="is a link"):
        sign(tmp_path / "l", signer, signature=tmp_path / "l.sig")


def test_nothing_to_sign_is_said(tmp_path: Path, signer: Signer) -> None:
    with pytest.raises(PathNotFoundError):
        sign(tmp_path / "gone", signer)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no file to sign"):
        sign(tmp_path / "empty", signer)


@pytest.mark.parametrize("victim", ["config.json", "a", "pipe"])
def test_only_a_signature_is_replaced(victim: str, model: Path, signer: Signer) -> None:
    if victim == "pipe":
        os.mkfifo(model / victim)
    with pytest.raises(UsageError, match="is no signature"):
        sign(model, signer, signature=model / victim)
    assert content(model) == MODEL


def test_a_full_disk_leaves_the_earlier_signature(
    model: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign(model, signer)
    before = content(model)
    write_files(model, {"config.json": b"{ }"})

    def fsync(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(OutputError, match="No space left"):
        sign(model, signer)
    assert content(model) == {**before, "config.json": b"{ }"}


def test_what_a_killed_run_left_is_no_part_of_the_model(model: Path, signer: Signer) -> None:
    (model / ".model.sig.mlbom-new").write_bytes(b"half")
    sign(model, signer)
    assert set(signed_files(model / "model.sig", signer).files) == set(MODEL)
    assert not (model / ".model.sig.mlbom-new").exists()


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are really read, as they are."""
    names: list[str] = []
    real = Hashing.start

    def start(self: Hashing, files: list[tuple[str, int]]) -> Hashing:
        started = real(self, files)
        names.extend(path for path, _ in files if path not in self._known)
        return started

    monkeypatch.setattr(Hashing, "start", start)
    return names


def settle(folder: Path) -> None:
    """Wait until no file counts as just changed: the cache takes two seconds for that."""
    latest = max(path.stat().st_ctime for path in folder.rglob("*"))
    time.sleep(max(0, latest + 2.1 - time.time()))


def test_what_has_not_changed_is_taken_over(model: Path, signer: Signer, hashed: list[str]) -> None:
    settle(model)
    first = sign(model, signer)
    assert first.reused == 0
    hashed.clear()
    assert sign(model, signer).reused == 0
    assert len(hashed) == 5, "without --reuse every file is hashed"
    hashed.clear()
    write_files(model, {"config.json": b"{1}", "new": b"n"})
    again = sign(model, signer, reuse=model / "model.sig")
    assert (again.files, again.reused) == (6, 4)
    assert sorted(hashed) == ["config.json", "new"]
    fresh = {**MODEL, "config.json": b"{1}", "new": b"n"}
    told = signed_files(model / "model.sig", signer)
    assert told.files == {path: sha256(data) for path, data in fresh.items()}


def test_a_digest_that_cache_and_signature_dispute_is_computed(
    model: Path, signer: Signer, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poisoned cache alone, or a signature alone, decides nothing."""
    settle(model)
    sign(model, signer)
    from mlbom.digest.cache import StatCache, default_cache_path
    from mlbom.digest.hashing import FileDigest, FileState, Reading
    from mlbom.evidence.digest import Digest

    cache = StatCache(default_cache_path())
    target = model / "config.json"
    lie = FileDigest(2, (Digest("sha256", "0" * 64),))
    cache.put(str(target), Reading(FileState.of(target.lstat()), time.time_ns()), lie)
    cache.save()
    hashed.clear()
    assert sign(model, signer, reuse=model / "model.sig").reused == 4
    assert hashed == ["config.json"]
    assert signed_files(model / "model.sig", signer).files["config.json"] == sha256(b"{}")


def test_without_its_cache_everything_is_hashed(
    model: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settle(model)
    sign(model, signer)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert sign(model, signer, reuse=model / "model.sig").reused == 0


def test_an_earlier_signature_by_somebody_else_is_refused(
    model: Path, signer: Signer, tmp_path: Path
) -> None:
    other = signer_of(tmp_path, "other")
    sign(model, other)
    before = content(model)
    with pytest.raises(OldSignatureError, match="not signed by") as caught:
        sign(model, signer, reuse=model / "model.sig")
    assert int(caught.value.status) == 3
    document = json.loads((model / "model.sig").read_bytes())
    document["verificationMaterial"]["publicKey"]["hint"] = signer.public_key.hint
    (tmp_path / "forged.sig").write_text(json.dumps(document))
    with pytest.raises(OldSignatureError, match="not signed by"):
        sign(model, signer, reuse=tmp_path / "forged.sig")
    for junk in (b"", b"{}", b"[" * 10_000, b"\xff"):
        (tmp_path / "junk.sig").write_bytes(junk)
        with pytest.raises(OldSignatureError, match="cannot be built on"):
            sign(model, signer, reuse=tmp_path / "junk.sig")
    with pytest.raises(PathNotFoundError, match="earlier signature"):
        sign(model, signer, reuse=tmp_path / "gone.sig")
    assert content(model) == before


def test_a_carried_timestamp_waits_with_its_query_beside_it(
    model: Path, signer: Signer, tmp_path: Path
) -> None:
    pytest.importorskip("rfc3161_client")
    request = SignRequest(path=model, signature=model / "model.sig")
    result = sign_model(request, signer, CarriedTimestamp(tmp_path / "t.tsr"))
    assert result.query == tmp_path / "t.tsq"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "t.tsq"]
    bundle = parse_bundle(json.loads((model / "model.sig").read_bytes()))
    assert not bundle.timestamps
    digest = bytes.fromhex(sha256(bundle.envelope.signature))
    assert digest in (tmp_path / "t.tsq").read_bytes()


def test_a_signature_that_awaits_its_timestamp_is_kept(model: Path, tmp_path: Path) -> None:
    """RSA takes random bytes in: a second signature would not fit the first one's timestamp."""
    pytest.importorskip("rfc3161_client")
    signer = signer_of(tmp_path, "rsa", "rsa")
    request = SignRequest(path=model, signature=model / "model.sig")
    for _ in range(2):
        sign_model(request, signer, CarriedTimestamp(tmp_path / "t.tsr"))
        first = (model / "model.sig").read_bytes()
    assert (model / "model.sig").read_bytes() == first
    write_files(model, {"config.json": b"other"})
    sign_model(request, signer, CarriedTimestamp(tmp_path / "t.tsr"))
    assert (model / "model.sig").read_bytes() != first


def test_a_timestamp_does_not_lie_in_what_is_signed(model: Path, signer: Signer) -> None:
    request = SignRequest(path=model, signature=model / "model.sig")
    with pytest.raises(UsageError, match="part of what is signed"):
        sign_model(request, signer, CarriedTimestamp(model / "t.tsr"))
