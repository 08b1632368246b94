"""What is handed over is what was verified, or nothing."""

import os
import stat
from pathlib import Path

import pytest

from mlbom.digest.hashing import BLOCK
from mlbom.errors import OutputError, UsageError
from mlbom.openfile import open_regular
from mlbom.pipeline.verify import Asked, verify
from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify.files.handover import Handover
from mlbom.verify.policy.values import Policy
from mlbom.verify.signers.trust import Trust, trusted_signers
from mlbom.verify.verdict import Verdict
from tests.fixtures.tiny_release import (
    MODEL_FILES,
    SINGLE_FILE,
    TinyRelease,
    new_signer,
    single_file_release,
    write_files,
)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signer(tmp_path_factory.mktemp("keys"))


def copied(release: TinyRelease, target: Path) -> Verdict:
    policy = Policy(signers=trusted_signers([(None, release.signer.public_key)]))
    return verify(release.out, Trust(policy), Asked(root=release.path, copy_to=target))


def files_in(folder: Path) -> dict[str, bytes]:
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


@pytest.mark.parametrize("exists", [False, True])
def test_a_verified_model_is_handed_over_whole(
    tmp_path: Path, signer: Signer, exists: bool
) -> None:
    release = TinyRelease(tmp_path / "project", signer, wide=True).build()
    write_files(release.root, {".git/config": b"x", "__pycache__/a.pyc": b"x"})
    target = tmp_path / "there" / "model"
    if exists:
        target.mkdir(parents=True)
    verdict = copied(release, target)
    assert verdict.status is ExitStatus.DONE
    assert verdict.copied_to == str(target)
    assert files_in(target) == MODEL_FILES
    assert leftovers(target.parent) == []
    assert not any(p.stat().st_mode & stat.S_IXUSR for p in target.rglob("*") if p.is_file())


def test_a_single_file_is_handed_over_under_its_signed_name(tmp_path: Path, signer: Signer) -> None:
    release = single_file_release(tmp_path / "project", signer).build()
    assert copied(release, tmp_path / "a").status is ExitStatus.DONE
    assert files_in(tmp_path / "a") == SINGLE_FILE
    (release.path / "tiny.gguf").rename(release.path / "renamed.gguf")
    verdict = copied(release, tmp_path / "b")
    assert [p.rule for p in verdict.problems] == ["model-file-renamed"]
    assert files_in(tmp_path / "b") == SINGLE_FILE


def test_nothing_is_handed_over_after_a_bad_verdict(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path / "project", signer).build()
    write_files(release.root, {"extra.py": b"x"})
    verdict = copied(release, tmp_path / "model")
    assert verdict.status is ExitStatus.UNTRUSTED
    assert verdict.copied_to == ""
    assert not (tmp_path / "model").exists()
    assert leftovers(tmp_path) == []


def test_a_file_exchanged_before_its_reading_is_not_handed_over(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = TinyRelease(tmp_path / "project", signer).build()

    def swap(path: Path | str) -> int:
        if str(path).endswith("model.safetensors"):
            Path(path).write_bytes(b"evil" * 256)
        return open_regular(path)

    monkeypatch.setattr("mlbom.verify.files.handover.open_regular", swap)
    assert copied(release, tmp_path / "model").status is ExitStatus.UNTRUSTED
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("how", ["another file", "a link"])
def test_a_file_exchanged_after_it_was_opened_changes_nothing(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The classic race: what is handed over comes from the descriptor that was verified."""
    release = TinyRelease(tmp_path / "project", signer).build()
    evil = tmp_path / "evil"
    evil.write_bytes(b"evil")

    def swap(path: Path | str) -> int:
        descriptor = open_regular(path)
        if str(path).endswith("model.safetensors"):
            Path(path).unlink()
            if how == "a link":
                Path(path).symlink_to(evil)
            else:
                Path(path).write_bytes(b"evil")
        return descriptor

    monkeypatch.setattr("mlbom.verify.files.handover.open_regular", swap)
    assert copied(release, tmp_path / "model").status is ExitStatus.DONE
    assert files_in(tmp_path / "model") == MODEL_FILES


def test_a_file_changed_while_it_is_read_is_not_handed_over(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = TinyRelease(tmp_path / "project", signer)
    release.model["model.safetensors"] = os.urandom(3 * BLOCK)
    release.build()
    weights = release.root / "model.safetensors"
    real = os.read

    def read(descriptor: int, count: int) -> bytes:
        block = real(descriptor, count)
        if len(block) == BLOCK:
            with weights.open("r+b") as stream:
                stream.seek(-4, os.SEEK_END)
                stream.write(b"evil")
        return block

    monkeypatch.setattr("mlbom.verify.files.handover.os.read", read)
    verdict = copied(release, tmp_path / "model")
    assert verdict.status is ExitStatus.UNTRUSTED
    assert not (tmp_path / "model").exists()
    assert leftovers(tmp_path) == []


def test_a_copy_that_is_not_what_was_verified_is_never_delivered(tmp_path: Path) -> None:
    with Handover(tmp_path / "model") as handover, pytest.raises(OutputError):
        handover.deliver({"a": {"sha256": "0" * 64}})
    assert not (tmp_path / "model").exists()


def test_a_target_that_holds_something_is_refused(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path / "project", signer).build()
    write_files(tmp_path, {"full/a": b"", "file": b""})
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("full", "file", "link"):
        with pytest.raises(UsageError, match="--copy-to"):
            copied(release, tmp_path / name)
    assert leftovers(tmp_path) == []


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = TinyRelease(tmp_path / "project", signer).build()

    def full(_descriptor: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mlbom.verify.files.handover.os.write", full)
    with pytest.raises(OutputError, match="No space left"):
        copied(release, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert leftovers(tmp_path) == []
