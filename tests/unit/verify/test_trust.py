"""Which keys a caller trusts, and for what."""

from pathlib import Path

import pytest

from mlbom.errors import NoTrustedKeyError, PathNotFoundError, PublicKeyError, UsageError
from mlbom.sign.newkey import KeyPaths, make_key
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import ROLES, Identity, TrustedSigner
from mlbom.verify.signers.trust import read_signers, told_roles, told_signer, trusted_signers


@pytest.fixture
def paths(tmp_path: Path) -> KeyPaths:
    paths = KeyPaths.of(tmp_path / "k.pem")
    make_key(paths)
    return paths


def test_a_key_without_a_role_stands_for_all(paths: KeyPaths) -> None:
    (trusted,) = read_signers([str(paths.public)])
    assert trusted.roles == set(ROLES)
    assert told_roles(trusted.roles) == "every role"


def test_roles_of_one_key_are_united_whatever_its_file_looks_like(
    paths: KeyPaths, tmp_path: Path
) -> None:
    """The same key under two names must not count as two signers."""
    copy = tmp_path / "copy.pub"
    copy.write_bytes(b"comment\r\n" + paths.public.read_bytes().replace(b"\n", b"\r\n"))
    (trusted,) = read_signers([f"bom={paths.public}", f"release={copy}"])
    assert trusted.roles == {"bom", "release"}
    assert told_roles(trusted.roles) == "bom, release"


def test_a_path_may_hold_an_equals_sign(paths: KeyPaths, tmp_path: Path) -> None:
    odd = tmp_path / "a=b.pub"
    odd.write_bytes(paths.public.read_bytes())
    assert read_signers([str(odd)])[0].roles == set(ROLES)


def test_an_unknown_role_lists_the_known_ones(paths: KeyPaths) -> None:
    with pytest.raises(PathNotFoundError, match="boss=") as caught:
        read_signers([f"boss={paths.public}"])
    assert "verifier" in caught.value.hint
    key = read_signers([str(paths.public)])[0].key
    assert key is not None
    with pytest.raises(UsageError, match="'boss'"):
        trusted_signers([("boss", key)])


def test_no_key_at_all_is_a_usage_error() -> None:
    with pytest.raises(NoTrustedKeyError) as caught:
        read_signers([])
    assert caught.value.status is ExitStatus.USAGE


def test_what_is_no_public_key_is_a_usage_error(paths: KeyPaths, tmp_path: Path) -> None:
    (tmp_path / "x.pub").write_bytes(b"")
    for name in (paths.private, tmp_path / "x.pub", tmp_path):
        with pytest.raises(PublicKeyError) as caught:
            read_signers([str(name)])
        assert caught.value.status is ExitStatus.USAGE


def test_a_signer_is_told_by_name_and_by_what_is_trusted(paths: KeyPaths) -> None:
    (trusted,) = read_signers([str(paths.public)])
    assert trusted.key is not None
    assert told_signer(trusted) == f"key {trusted.key.hint}"
    named = TrustedSigner(name="alice", key=trusted.key)
    assert told_signer(named) == f"alice, key {trusted.key.hint}"
    who = TrustedSigner(name="ci", identity=Identity(subject="a@b.c", issuer="https://i.example"))
    assert told_signer(who) == "ci, identity a@b.c by https://i.example"
