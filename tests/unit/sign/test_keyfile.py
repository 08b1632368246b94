"""The signer of a key file: which files it takes, and what it refuses to use."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from mlbom.attest.dsse import pae
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.errors import MlbomError, PathNotFoundError, SigningError, UnsafeKeyFileError
from mlbom.guard import PASSPHRASE_VARIABLE
from mlbom.sign.keyfile import KeyFileSigner, take_passphrase
from mlbom.sign.newkey import KEY_NAMES, KeyPaths, make_key
from mlbom.sign.signer import KeyAccess, open_signer
from mlbom.status import ExitStatus

NOBODY = KeyAccess()


@pytest.fixture
def paths(tmp_path: Path) -> KeyPaths:
    paths = KeyPaths.of(tmp_path / "keys" / "me.pem")
    make_key(paths)
    return paths


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    paths = KeyPaths.of(tmp_path / "locked.pem")
    make_key(paths, passphrase="open sesame")
    return paths.private


@pytest.mark.parametrize("name", KEY_NAMES)
def test_a_signature_verifies_with_the_public_half(name: str, tmp_path: Path) -> None:
    paths = KeyPaths.of(tmp_path / "k.pem")
    public = make_key(paths, KEY_NAMES[name])
    signer = open_signer(str(paths.private))
    assert signer.public_key == public
    envelope = signer.sign(b"payload", PAYLOAD_TYPE)
    assert public.verify(envelope.signature, pae(PAYLOAD_TYPE, b"payload"))
    assert not public.verify(envelope.signature, b"payload")


@pytest.mark.parametrize(
    ("name", "is_stable"), [("p256", 1), ("p384", 1), ("ed25519", 1), ("rsa", 0), ("ml-dsa-44", 0)]
)
def test_the_same_key_gives_the_same_signature(name: str, is_stable: int, tmp_path: Path) -> None:
    paths = KeyPaths.of(tmp_path / "k.pem")
    make_key(paths, KEY_NAMES[name])
    signer = open_signer(str(paths.private))
    equal = signer.sign(b"p", PAYLOAD_TYPE) == signer.sign(b"p", PAYLOAD_TYPE)
    assert equal is bool(is_stable)


def test_p256_is_deterministic_as_rfc_6979_says(tmp_path: Path) -> None:
    """RFC 6979 appendix A.2.5, message "sample" with SHA-256."""
    secret = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    key = ec.derive_private_key(secret, ec.SECP256R1())
    signature = KeyFileSigner(key, "vector")._signature(b"sample")
    r = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
    assert signature.hex().upper().find(r) > 0


def test_an_old_library_still_signs(paths: KeyPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm

    real = ec.ECDSA

    def old(algorithm: object, *, deterministic_signing: bool = False) -> ec.ECDSA:
        if deterministic_signing:
            raise UnsupportedAlgorithm("needs OpenSSL 3.2")
        return real(algorithm)  # type: ignore[arg-type]

    signer = open_signer(str(paths.private))
    monkeypatch.setattr(ec, "ECDSA", old)
    envelope = signer.sign(b"p", PAYLOAD_TYPE)
    monkeypatch.undo()
    assert signer.public_key.verify(envelope.signature, pae(PAYLOAD_TYPE, b"p"))


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o777])
def test_a_key_that_others_can_get_at_is_refused(paths: KeyPaths, mode: int) -> None:
    paths.private.chmod(mode)
    with pytest.raises(UnsafeKeyFileError, match=f"{mode:04o}") as caught:
        open_signer(str(paths.private))
    assert caught.value.status is ExitStatus.REFUSED
    assert caught.value.hint == f"chmod 600 {paths.private}"


def test_a_key_inside_the_project_is_refused(paths: KeyPaths, tmp_path: Path) -> None:
    inside = KeyAccess(forbidden=(tmp_path,))
    with pytest.raises(UnsafeKeyFileError, match="inside the project"):
        open_signer(str(paths.private), inside)
    elsewhere = KeyAccess(forbidden=(tmp_path / "project",))
    assert open_signer(str(paths.private), elsewhere).scheme == "file"


def test_a_link_does_not_hide_where_a_key_lies(paths: KeyPaths, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "link.pem").symlink_to(paths.private)
    with pytest.raises(UnsafeKeyFileError, match="inside the project"):
        open_signer(str(outside / "link.pem"), KeyAccess(forbidden=(paths.private.parent,)))
    (tmp_path / "project").symlink_to(paths.private.parent)
    with pytest.raises(UnsafeKeyFileError, match="inside the project"):
        open_signer(str(paths.private), KeyAccess(forbidden=(tmp_path / "project",)))


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    path.chmod(0o600)
    return str(path)


def test_what_is_no_pkcs8_key_is_refused(tmp_path: Path, paths: KeyPaths) -> None:
    key = load_pem_private_key(paths.private.read_bytes(), None)
    traditional = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    damaged = paths.private.read_bytes().replace(b"M", b"N", 1)
    wrong = ec.generate_private_key(ec.SECP521R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for data in (b"", b"\x00" * 99, traditional, public, damaged, wrong, bytes(70_000)):
        with pytest.raises(SigningError) as caught:
            open_signer(write(tmp_path / "bad.pem", data))
        assert caught.value.status is ExitStatus.ENVIRONMENT
        assert "bad.pem" in caught.value.message


def test_a_folder_or_pipe_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(SigningError):
        open_signer(str(tmp_path))
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SigningError, match="not a regular file"):
        open_signer(str(tmp_path / "pipe"))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match=r"none\.pem") as caught:
        open_signer(str(tmp_path / "none.pem"))
    assert caught.value.status is ExitStatus.USAGE


def test_the_passphrase_comes_from_the_environment_and_leaves_it(
    locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "open sesame")
    assert open_signer(str(locked)).public_key
    assert PASSPHRASE_VARIABLE not in os.environ


def test_the_passphrase_leaves_the_environment_even_when_unneeded(
    paths: KeyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "open sesame")
    open_signer(str(paths.private))
    assert take_passphrase() is None


def test_a_person_is_asked_for_the_passphrase(locked: Path) -> None:
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return "open sesame"

    assert open_signer(str(locked), KeyAccess(ask_passphrase=ask)).public_key
    assert asked == [str(locked)]


def test_no_passphrase_is_an_error_that_says_so(locked: Path) -> None:
    for access in (NOBODY, KeyAccess(ask_passphrase=lambda _what: None)):
        with pytest.raises(SigningError, match="no passphrase was given") as caught:
            open_signer(str(locked), access)
        assert PASSPHRASE_VARIABLE in caught.value.hint


def test_a_wrong_passphrase_is_never_echoed(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "hunter2-hunter2")
    with pytest.raises(MlbomError, match="does not open") as caught:
        open_signer(str(locked))
    told: BaseException | None = caught.value
    while told is not None:
        assert "hunter2" not in repr(told)
        told = told.__cause__
    assert caught.value.__suppress_context__
