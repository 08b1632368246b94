"""The files behind a policy: its own bytes, those that it names, and its owner's signature."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlbom.attest.bundle import SUFFIX, check_bundle_size, parse_bundle
from mlbom.attest.policy_claim import parse_policy_statement, parse_withdrawal
from mlbom.attest.publickey import PublicKey
from mlbom.attest.statement import Statement, parse_statement
from mlbom.errors import (
    LimitError,
    PathNotFoundError,
    PolicyError,
    UnreadableError,
    UntrustedPolicyError,
)
from mlbom.formats.strict_json import parse_json
from mlbom.openfile import read_regular
from mlbom.verify.policy.field import Field
from mlbom.verify.policy.values import TrustedSigner

MAX_POLICY = 1024 * 1024
MAX_FILE = 8 * 1024 * 1024
PEM_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class PolicyFolder:
    """Reads a policy and the files beside it, and keeps the digest of each.

    Args:
        path: of the policy.
        covered: the SHA-256 that each file must have, by path relative to the policy's folder;
            None when nobody vouches for them.
        digests: of what was read, by the same paths.
    """

    path: Path
    covered: dict[str, str] | None = None
    digests: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> "PolicyFolder":
        """Return the folder of a policy that no signature covers.

        Raises:
            PathNotFoundError: the policy is not there.
        """
        if not path.is_file():
            message = f"policy not found: {path}"
            raise PathNotFoundError(message, looked=[str(path.absolute())])
        return cls(path)

    def policy(self) -> bytes:
        """Return the bytes of the policy itself."""
        return self._checked(self.path.name, self._read(self.path, MAX_POLICY, self.path.name))

    def read(self, named: Field, limit: int) -> bytes:
        """Return the bytes of a file that the policy names.

        Raises:
            PolicyError: there is no such file, or it cannot be read.
            UntrustedPolicyError: its bytes are not the ones that the owner signed.
        """
        name = named.text(meaning="the name of a file")
        try:
            data = self._read(self.path.parent / name, limit, name)
        except (PolicyError, LimitError) as error:
            named.refuse(error.message)
        return self._checked(name, data)

    def _read(self, path: Path, limit: int, what: str) -> bytes:
        try:
            # The caller named the policy, and the policy its files: links are theirs to use.
            return read_regular(path.resolve(), limit, what)
        except OSError as error:
            message = f"cannot read {what}: {error.strerror or error}"
            raise PolicyError(message) from error

    def _checked(self, name: str, data: bytes) -> bytes:
        sha256 = hashlib.sha256(data).hexdigest()
        self.digests[name] = sha256
        if self.covered is not None and self.covered.get(name) != sha256:
            signed = self.covered.get(name, "not covered at all")
            message = f"{name} is not what the policy's owner signed: {sha256}, signed {signed}"
            raise UntrustedPolicyError(message)
        return data


def check_owner(folder: PolicyFolder, owners: tuple[PublicKey, ...]) -> PolicyFolder:
    """Return the folder of a policy, bound to what one of its owners has signed.

    Raises:
        UntrustedPolicyError: there is no signature, none by an owner, or it is not about a policy
            of this name.
    """
    place = folder.path.with_name(folder.path.name + SUFFIX)
    try:
        data = read_regular(place.resolve(), MAX_FILE, place.name)
    except (OSError, LimitError) as error:
        message = f"the policy is not signed: cannot read {place.name}"
        hint = "mlbom policy sign FILE --key OWNER writes it"
        raise UntrustedPolicyError(message, looked=[str(place)], hint=hint) from error
    try:
        name, files = parse_policy_statement(_verified(data, place.name, owners))
    except UnreadableError as error:
        message = f"{place.name}: {error.message}"
        raise UntrustedPolicyError(message) from error
    if name != folder.path.name:
        message = f"{place.name} is about a policy called {name!r}"
        raise UntrustedPolicyError(message)
    return PolicyFolder(folder.path, dict(files))


def read_withdrawals(
    told: Field, signers: tuple[TrustedSigner, ...], folder: PolicyFolder
) -> Iterator[tuple[str, str]]:
    """Yield manifest and reason from the signed withdrawals that a policy names.

    A key with the role `release` must have signed each file; its window does not matter, because a
    withdrawal by an old key still warns.

    Raises:
        PolicyError: a file is not there.
        UntrustedPolicyError: a file is not a withdrawal signed by such a key.
    """
    keys = tuple(s.key for s in signers if s.key is not None and "release" in s.roles)
    for named in told.items() if isinstance(told.value, list) else (told,):
        data = folder.read(named, MAX_FILE)
        try:
            yield from parse_withdrawal(_verified(data, named.text(), keys)).items()
        except UnreadableError as error:
            message = f"{named.text()}: {error.message}"
            raise UntrustedPolicyError(message) from error


def read_certificates(told: Field, folder: PolicyFolder) -> tuple[bytes, ...]:
    """Return the PEM certificates of timestamp authorities, one file each.

    Raises:
        PolicyError: a file is not there, or holds no PEM certificate.
    """
    return tuple(_certificates(named, folder.read(named, MAX_FILE)) for named in told.items())


def read_trust_root(told: Field, folder: PolicyFolder) -> bytes:
    """Return the bytes of a Sigstore trusted_root.json, or of PEM certificates of authorities.

    Raises:
        PolicyError: the file is not there, or neither of the two.
    """
    data = folder.read(told, MAX_FILE)
    if PEM_CERTIFICATE in data:
        return _certificates(told, data)
    try:
        is_object = isinstance(parse_json(data, told.text()), dict)
    except UnreadableError as error:
        told.refuse(error.message)
    if not is_object:
        told.refuse(f"{told.text()} is no trusted root of Sigstore")
    return data


def _certificates(told: Field, data: bytes) -> bytes:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        load_pem_x509_certificates(data)
    except ValueError:
        told.refuse(f"{told.text()} holds no PEM certificate")
    return data


def _verified(data: bytes, what: str, keys: tuple[PublicKey, ...]) -> Statement:
    """Return the statement of a bundle after one of the keys has verified it."""
    check_bundle_size(data)
    bundle = parse_bundle(parse_json(data, what, safe_integers=True))
    envelope = bundle.envelope
    if not any(key.verify(envelope.signature, envelope.covered) for key in keys):
        known = any(key.hint == bundle.hint for key in keys)
        told = "its signature does not verify" if known else f"untrusted signer {bundle.hint}"
        message = f"{what}: {told}"
        raise UntrustedPolicyError(message)
    return parse_statement(parse_json(envelope.payload, what, safe_integers=True))
