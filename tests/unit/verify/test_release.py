"""What is accepted, what is only remarked on, and where a model may lie."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlbom.digest.hashing import FileState
from mlbom.errors import PathNotFoundError, UsageError
from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify import release as release_module
from mlbom.verify.policy.values import Policy
from mlbom.verify.release import REQUIRED, Request, verify_release
from mlbom.verify.signers.trust import Trust, trusted_signers
from mlbom.verify.verdict import EdgeStatus, Verdict
from tests.fixtures.tiny_release import (
    DATA_FILES,
    PURL,
    TinyRelease,
    new_signer,
    sha256,
    single_file_release,
    write_files,
)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signer(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def release(tmp_path: Path, signer: Signer) -> TinyRelease:
    return TinyRelease(tmp_path / "project", signer).build()


def trusting(signer: Signer) -> Trust:
    return Trust(Policy(signers=trusted_signers([(None, signer.public_key)])))


def remarks(verdict: Verdict) -> dict[str, str]:
    assert verdict.status is ExitStatus.DONE
    return {problem.path: problem.rule for problem in verdict.problems}


def why(verdict: Verdict, name: str) -> str:
    (edge,) = (edge for edge in verdict.edges if edge.name == name)
    return f"{edge.status}: {edge.why}"


def test_a_good_release_holds_on_every_required_edge(release: TinyRelease) -> None:
    verdict = release.verify()
    assert (verdict.status, verdict.problems, verdict.skipped) == (ExitStatus.DONE, (), ())
    held = {edge.name for edge in verdict.edges if edge.status is EdgeStatus.HELD}
    assert set(REQUIRED) <= held
    assert sum(name.startswith("signature of ") for name in held) == 3
    assert verdict.purl == PURL
    assert verdict.closing == sha256(release.bundle("release").read_bytes())
    assert verdict.signer == release.signer.public_key.hint
    assert verdict.manifest == sha256((release.out / "model.manifest").read_bytes())
    assert verdict.model_root == str(release.root)


def test_what_was_not_checked_is_named(release: TinyRelease) -> None:
    verdict = release.verify()
    assert why(verdict, "training") == "not-checked: not attested"
    assert why(verdict, "dataset words") == "not-checked: bound, not re-hashed"
    assert why(verdict, "dataset remote").startswith("not-checked: trusted by nobody")
    assert why(verdict, "base model org/base") == "not-checked: trusted by nobody"


def test_verifying_twice_gives_the_same_verdict(release: TinyRelease) -> None:
    assert release.verify() == release.verify()


def test_the_root_may_be_path_or_the_model_root_or_left_out(release: TinyRelease) -> None:
    for root in (release.path, release.root, None):
        assert release.verify(root=root).model_root == str(release.root)


def test_relative_paths_are_taken_from_the_working_directory(
    release: TinyRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(release.path)
    trust = trusting(release.signer)
    assert verify_release(Path("mlbom-out"), trust).status is ExitStatus.DONE
    monkeypatch.chdir(release.out)
    assert verify_release(Path(), trust).status is ExitStatus.DONE


def test_the_output_directory_may_have_another_name(release: TinyRelease) -> None:
    trust = trusting(release.signer)
    moved = release.out.rename(release.path / "elsewhere")
    assert verify_release(moved, trust, Request(root=release.path)).status is ExitStatus.DONE


def test_a_missing_directory_or_root_is_a_usage_error(release: TinyRelease) -> None:
    trust = trusting(release.signer)
    for out, root in ((release.path / "none", None), (release.out, release.path / "none")):
        with pytest.raises(PathNotFoundError):
            verify_release(out, trust, Request(root=root))


def test_the_release_may_lie_inside_the_model_directory(tmp_path: Path, signer: Signer) -> None:
    """As `generate` writes it when PATH itself is the model directory."""
    release = TinyRelease(tmp_path / "model", signer, model_root=".")
    write_files(tmp_path / "model", {".git/HEAD": b"ref\n", "__pycache__/a.pyc": b""})
    shutil.rmtree(tmp_path / "model/data", ignore_errors=True)
    release.build()
    shutil.rmtree(release.path / "data")
    verdict = release.verify()
    assert remarks(verdict) == {}
    assert verdict.skipped == (".git", "__pycache__")


def test_a_published_repository_is_verified_in_place(release: TinyRelease, tmp_path: Path) -> None:
    """The layout on a hub: the model, README.md, img, model.sig and mlbom beside it."""
    hub = tmp_path / "hub"
    shutil.copytree(release.root, hub)
    shutil.copytree(release.out, hub / "mlbom")
    shutil.copy(release.out / "MODEL_CARD.md", hub / "README.md")
    shutil.copy(release.bundle("weights"), hub / "model.sig")
    shutil.copytree(release.out / "img", hub / "img")
    trust = trusting(release.signer)
    for out, root in ((hub / "mlbom", None), (hub / "mlbom", hub), (release.out, hub)):
        verdict = verify_release(out, trust, Request(root=root))
        assert remarks(verdict) == {}
        assert why(verdict, "closing statement -> files beside the model").startswith("held")


def test_files_beside_the_model_that_nobody_signed_are_not_bound(release: TinyRelease) -> None:
    write_files(release.root, {"README.md": b"upstream", "img/a.svg": b"<svg/>\n", "mlbom/x": b""})
    (release.root / "model.sig").symlink_to("/etc/hostname")
    verdict = release.verify()
    loose = ("README.md", "mlbom/x", "model.sig")
    assert remarks(verdict) == dict.fromkeys(loose, "not-bound")
    edge = why(verdict, "closing statement -> files beside the model")
    assert edge == "not-checked: 3 of them not bound"


def test_a_single_file_may_be_renamed(tmp_path: Path, signer: Signer) -> None:
    release = single_file_release(tmp_path, signer).build()
    (tmp_path / "tiny.gguf").rename(tmp_path / "tiny-q8.gguf")
    verdict = release.verify()
    assert remarks(verdict) == {"tiny.gguf": "model-file-renamed"}
    assert "tiny-q8.gguf" in verdict.problems[0].message


def test_a_renamed_single_file_is_found_beside_where_it_was(tmp_path: Path, signer: Signer) -> None:
    release = single_file_release(tmp_path, signer)
    release.model, release.weights = {"w/tiny.gguf": b"GGUF" + bytes(60)}, ("w/tiny.gguf",)
    release.build()
    (tmp_path / "w/tiny.gguf").rename(tmp_path / "w/other.gguf")
    assert remarks(release.verify()) == {"w/tiny.gguf": "model-file-renamed"}
    (tmp_path / "w/other.gguf").rename(tmp_path / "flat.gguf")
    assert remarks(release.verify()) == {"w/tiny.gguf": "model-file-renamed"}


def test_a_link_is_not_a_renamed_file(tmp_path: Path, signer: Signer) -> None:
    release = single_file_release(tmp_path / "p", signer).build()
    (release.root / "tiny.gguf").rename(tmp_path / "outside.gguf")
    (release.root / "other.gguf").symlink_to(tmp_path / "outside.gguf")
    assert release.verify().status is ExitStatus.UNTRUSTED


def test_other_files_beside_a_single_file_do_not_matter(tmp_path: Path, signer: Signer) -> None:
    release = single_file_release(tmp_path, signer).build()
    write_files(tmp_path, {"train.py": b"pass\n", "README.md": b"#\n"})
    assert remarks(release.verify()) == {}


def test_an_index_with_shards_may_not_be_renamed(tmp_path: Path, signer: Signer) -> None:
    release = single_file_release(tmp_path, signer)
    release.model = {"a-00001-of-00002.safetensors": b"1", "a-00002-of-00002.safetensors": b"2"}
    release.build()
    assert release.verify().status is ExitStatus.DONE
    (tmp_path / "a-00001-of-00002.safetensors").rename(tmp_path / "b.safetensors")
    verdict = release.verify()
    assert verdict.status is ExitStatus.UNTRUSTED
    assert [p.rule for p in verdict.problems] == ["file-missing"]


def test_summary_json_is_never_read(release: TinyRelease) -> None:
    (release.out / "summary.json").write_bytes(b"\xff not json")
    assert remarks(release.verify()) == {}
    (release.out / "summary.json").unlink()
    assert remarks(release.verify()) == {}


def test_a_key_in_the_release_is_shown_and_not_used(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path / "p", signer)
    release.outputs["publisher.pub"] = signer.public_key.pem
    release.outputs["mlbom-policy.yaml"] = b"roles: {}\n"
    release.outputs["other.pem"] = b"no key\n"
    verdict = release.build().verify()
    shown = {"publisher.pub": "key-in-release", "mlbom-policy.yaml": "key-in-release"}
    assert remarks(verdict) == shown
    assert signer.public_key.hint in verdict.problems[1].message
    stranger = trusting(new_signer(tmp_path)).policy
    assert release.verify(policy=stranger).status is ExitStatus.UNTRUSTED


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer"])
def test_an_unreadable_model_file_leaves_the_verdict_open(release: TinyRelease, name: str) -> None:
    path = release.root / name
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        verdict = release.verify()
    finally:
        path.chmod(mode)
    assert verdict.status is ExitStatus.INCOMPLETE
    assert [p.rule for p in verdict.problems] == ["unreadable"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_document_is_never_lowered_to_trusted(release: TinyRelease) -> None:
    """Exit 4 could be lowered by --allow-incomplete, although the model was not looked at."""
    (release.out / "evidence.json").chmod(0)
    verdict = release.verify()
    assert verdict.status is ExitStatus.UNTRUSTED
    assert {p.rule for p in verdict.problems} >= {"unreadable", "step-not-reached"}


def test_a_file_that_changes_while_read_leaves_the_verdict_open(
    release: TinyRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(10**6))
    monkeypatch.setattr(
        FileState, "of", lambda status: FileState(1, 1, status.st_size, next(ticks), 1)
    )
    verdict = release.verify()
    assert verdict.status is ExitStatus.INCOMPLETE
    assert {p.rule for p in verdict.problems} == {"unreadable"}


def test_a_skipped_check_never_ends_in_trust(
    release: TinyRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("check_model", "check_bom", "check_weights", "check_bom_file", "check_closing"):
        with monkeypatch.context() as patched:
            patched.setattr(release_module, name, lambda *_args, **_more: None)
            verdict = release.verify()
        assert verdict.status is ExitStatus.UNTRUSTED
        assert [p.rule for p in verdict.problems] == ["step-not-reached"]


def test_a_dataset_is_rehashed_when_asked_for(release: TinyRelease) -> None:
    data = release.path / "data"
    write_files(data, {"__pycache__/x.pyc": b""})
    for name in ("words", "data:words"):
        verdict = release.verify(check_data={name: data})
        assert remarks(verdict) == {}
        assert why(verdict, "dataset words").startswith("held: equals ")


@pytest.mark.parametrize("change", ["replaced", "added", "removed", "renamed"])
def test_another_dataset_is_rejected(release: TinyRelease, change: str) -> None:
    data = release.path / "data"
    if change == "removed":
        (data / "train.txt").unlink()
    elif change == "renamed":
        (data / "train.txt").rename(data / "training.txt")
    else:
        write_files(data, {"train.txt" if change == "replaced" else "x.txt": b"other\n"})
    verdict = release.verify(check_data={"words": data})
    assert verdict.status is ExitStatus.UNTRUSTED
    (problem,) = verdict.problems
    assert problem.rule == "data-differs"
    held = {"replaced": 2, "renamed": 2, "added": 3, "removed": 1}[change]
    assert f"holds {held} file" in problem.message
    assert f"of {len(DATA_FILES)} files" in problem.message


def test_an_unknown_dataset_is_a_usage_error(release: TinyRelease) -> None:
    with pytest.raises(UsageError, match="'numbers'") as caught:
        release.verify(check_data={"numbers": release.path})
    assert set(caught.value.looked) == {"words", "remote"}
    with pytest.raises(PathNotFoundError):
        release.verify(check_data={"words": release.path / "none"})


def test_verifying_loads_no_heavy_library(release: TinyRelease) -> None:
    """The trusted core stays small: and so does the time until a verdict."""
    code = f"""
import sys
from pathlib import Path
from mlbom.verify.policy.values import Policy
from mlbom.verify.release import verify_release
from mlbom.verify.signers.trust import Trust, read_signers
pub = Path({str(release.path)!r}) / "k.pub"
verdict = verify_release(Path({str(release.out)!r}), Trust(Policy(signers=read_signers([str(pub)]))))
assert verdict.status == 0, verdict
heavy = {{"torch", "textual", "cyclonedx", "git", "huggingface_hub", "jinja2", "yaml"}}
print(sorted(heavy & set(sys.modules)))
"""
    (release.path / "k.pub").write_bytes(release.signer.public_key.pem)
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout == "[]\n"
