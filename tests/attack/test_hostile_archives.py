"""A release in a ZIP file: good ones are verified, and what two programs unpack differently is not."""

import io
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mlbom.pipeline.verify import Asked, verify
from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import Policy
from mlbom.verify.signers.trust import Trust, trusted_signers
from mlbom.verify.verdict import Verdict
from tests.fixtures.tiny_release import TinyRelease, new_signer


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signer(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def release(tmp_path: Path, signer: Signer) -> TinyRelease:
    return TinyRelease(tmp_path / "project", signer).build()


def files_of(release: TinyRelease, top: str = "mlbom-out/") -> dict[str, bytes]:
    found = (p for p in sorted(release.out.rglob("*")) if p.is_file())
    return {top + p.relative_to(release.out).as_posix(): p.read_bytes() for p in found}


def archive(files: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as packed:
        for name, data in files.items():
            packed.writestr(zipfile.ZipInfo(name), data, kind)
    return stream.getvalue()


def judged(release: TinyRelease, data: bytes, name: str = "tiny-1.0.0.mlbom.zip") -> Verdict:
    """Verify an archive, and check that nothing of it stays behind."""
    place = release.path / name
    place.write_bytes(data)
    policy = Policy(signers=trusted_signers([(None, release.signer.public_key)]))
    before = set(Path(tempfile.gettempdir()).glob("*-mlbom"))
    verdict = verify(place, Trust(policy), Asked(root=release.root))
    assert set(Path(tempfile.gettempdir()).glob("*-mlbom")) == before
    return verdict


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("top", ["mlbom-out/", "", "a/b/"])
def test_a_release_in_an_archive_is_verified(release: TinyRelease, kind: int, top: str) -> None:
    verdict = judged(release, archive(files_of(release, top), kind))
    assert verdict.status is ExitStatus.DONE
    assert verdict.edges[0].name == "archive"
    assert judged(release, archive(files_of(release)), "tiny").status is ExitStatus.DONE


def test_a_changed_member_is_a_changed_file(release: TinyRelease) -> None:
    files = files_of(release)
    files["mlbom-out/bom.cdx.json"] += b" "
    verdict = judged(release, archive(files))
    assert verdict.status is ExitStatus.UNTRUSTED
    assert "digest-mismatch" in {p.rule for p in verdict.problems}


def _with(name: str, data: bytes = b"x") -> Callable[[dict[str, bytes]], bytes]:
    return lambda files: archive({**files, name: data})


def _link(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO(archive(files))
    with zipfile.ZipFile(stream, "a") as packed:
        info = zipfile.ZipInfo("mlbom-out/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, "/etc/passwd")
    return stream.getvalue()


def _twice(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO(archive(files))
    with zipfile.ZipFile(stream, "a") as packed, pytest.warns(UserWarning, match="Duplicate name"):
        packed.writestr("mlbom-out/evidence.json", b"{}")
    return stream.getvalue()


def _other_local_name(files: dict[str, bytes]) -> bytes:
    data = archive(files)
    return data.replace(b"mlbom-out/bom.cdx.json", b"mlbom-out/bom.cdx.jsoN", 1)


def _bomb(files: dict[str, bytes]) -> bytes:
    return archive({**files, "mlbom-out/zeros": bytes(64 * 1024 * 1024)}, zipfile.ZIP_DEFLATED)


def _encrypted(files: dict[str, bytes]) -> bytes:
    data = bytearray(archive(files))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    return bytes(data)


ARCHIVES: dict[str, tuple[Callable[[dict[str, bytes]], bytes], str]] = {
    "a name that leads upwards": (_with("mlbom-out/../../x"), "unsafe-archive"),
    "an absolute name": (_with("/etc/x"), "unsafe-archive"),
    "a drive letter": (_with("C:/x"), "unsafe-archive"),
    "a backslash": (_with("mlbom-out\\..\\x"), "unsafe-archive"),
    "a line break": (_with("mlbom-out/a\nb"), "unsafe-archive"),
    "a file beside the release": (_with("setup.py"), "unsafe-archive"),
    "a second release": (_with("other/evidence.json"), "unsafe-archive"),
    "names that differ in case": (_with("mlbom-out/BOM.cdx.json"), "unsafe-archive"),
    "a file where a folder is": (_with("mlbom-out/attestations"), "unsafe-archive"),
    "a link": (_link, "unsafe-archive"),
    "a member twice": (_twice, "unsafe-archive"),
    "two names for one member": (_other_local_name, "unsafe-archive"),
    "a bomb": (_bomb, "too-large"),
    "an encrypted member": (_encrypted, "unsafe-archive"),
    "a prefix": (lambda files: b"MZ" + archive(files), "unsafe-archive"),
    "bytes behind it": (lambda files: archive(files) + b"x", "unsafe-archive"),
    "cut off": (lambda files: archive(files)[:-30], "unsafe-archive"),
    "empty": (lambda _files: b"", "unsafe-archive"),
    "no archive": (lambda _files: b"hello", "unsafe-archive"),
    "no release in it": (lambda _files: archive({"a.txt": b"x"}), "unsafe-archive"),
    "an extra member": (_with("mlbom-out/extra"), "file-extra"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_hostile_archive_is_refused(name: str, release: TinyRelease) -> None:
    make, rule = ARCHIVES[name]
    verdict = judged(release, make(files_of(release)))
    assert verdict.status is ExitStatus.UNTRUSTED
    assert rule in {p.rule for p in verdict.problems}
    assert not (release.path.parent / "x").exists()
