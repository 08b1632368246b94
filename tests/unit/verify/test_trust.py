"""Which keys a caller trusts, and for what."""

from pathlib import Path

import pytest

from mlbom.errors import NoTrustedKeyError, PathNotFoundError, PublicKeyError, UsageError
from mlbom.sign.newkey import KeyPaths, make_key
from mlbom.status import ExitStatus
from mlbom.verify.trust import TrustedKeys, read_trusted_keys


@pytest.fixture
def paths(tmp_path: Path) -> KeyPaths:
    paths = KeyPaths.of(tmp_path / "k.pem")
    make_key(paths)
    return paths


def test_a_key_without_a_role_stands_for_all(paths: KeyPaths) -> None:
    (trusted,) = read_trusted_keys([str(paths.public)]).keys
    assert trusted.roles == set(ROLES)
    assert trusted.told_roles == "every role"


def test_roles_of_one_key_are_united_whatever_its_file_looks_like(
    paths: KeyPaths, tmp_path: Path
) -> None:
    """The same key under two names must not count as two signers."""
    copy = tmp_path / "copy.pub"
    copy.write_bytes(b"comment\r\n" + paths.public.read_bytes().replace(b"\n", b"\r\n"))
    (trusted,) = read_trusted_keys([f"bom={paths.public}", f"release={copy}"]).keys
    assert trusted.roles == {"bom", "release"}
    assert trusted.told_roles == "bom, release"


def test_a_path_may_hold_an_equals_sign(paths: KeyPaths, tmp_path: Path) -> None:
    odd = tmp_path / "a=b.pub"
    odd.write_bytes(paths.public.read_bytes())
    assert read_trusted_keys([str(odd)]).keys[0].roles == set(ROLES)


def test_an_unknown_role_lists_the_known_ones(paths: KeyPaths) -> None:
    with pytest.raises(PathNotFoundError, match="boss=") as caught:
        read_trusted_keys([f"boss={paths.public}"])
    assert "verifier" in caught.value.hint
    key = read_trusted_keys([str(paths.public)]).keys[0].key
    with pytest.raises(UsageError, match="'boss'"):
        TrustedKeys.of([("boss", key)])


def test_no_key_at_all_is_a_usage_error() -> None:
    with pytest.raises(NoTrustedKeyError) as caught:
        read_trusted_keys([])
    assert caught.value.status is ExitStatus.USAGE


def test_what_is_no_public_key_is_a_usage_error(paths: KeyPaths, tmp_path: Path) -> None:
    (tmp_path / "x.pub").write_bytes(b"")
    for name in (paths.private, tmp_path / "x.pub", tmp_path):
        with pytest.raises(PublicKeyError) as caught:
            read_trusted_keys([str(name)])
        assert caught.value.status is ExitStatus.USAGE
