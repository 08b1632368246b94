"""Whom the caller trusts: signers from `--key`, `--identity` and a policy, each for some roles."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlbom.attest.publickey import MAX_BYTES, PublicKey, parse_public_key
from mlbom.errors import NoTrustedKeyError, PathNotFoundError, PublicKeyError, UsageError
from mlbom.verify.policy.values import ROLES, Policy, TrustedSigner


@dataclass(frozen=True, slots=True)
class Trust:
    """A policy and the moment at which it is applied.

    Args:
        policy: what the caller demands.
        now: seconds since 1970 UTC; counts where nothing proves when a signature was made.
    """

    policy: Policy
    now: int = field(default_factory=lambda: int(time.time()))


def trusted_signers(given: Iterable[tuple[str | None, PublicKey]]) -> tuple[TrustedSigner, ...]:
    """Collect (role, key) pairs, each key once; a key without a role stands for every role.

    Raises:
        UsageError: an unknown role.
        NoTrustedKeyError: no key at all.
    """
    keys: dict[str, PublicKey] = {}
    roles: dict[str, set[str]] = {}
    for role, key in given:
        if role is not None and role not in ROLES:
            message = f"unknown role {role!r}"
            raise UsageError(message, looked=ROLES)
        keys[key.material] = key
        roles.setdefault(key.material, set()).update(ROLES if role is None else (role,))
    if not keys:
        message = "no trusted public key was given"
        raise NoTrustedKeyError(message)
    return tuple(
        TrustedSigner(name=key.hint, key=key, roles=frozenset(roles[material]))
        for material, key in keys.items()
    )


def read_signers(options: Iterable[str]) -> tuple[TrustedSigner, ...]:
    """Read the keys named by `--key [ROLE=]PUB`.

    Raises:
        PathNotFoundError: there is no such file.
        PublicKeyError: a file that is no public key.
        NoTrustedKeyError: no option was given.
    """
    return trusted_signers([_read_option(option) for option in options])


def with_bom(signers: tuple[TrustedSigner, ...]) -> tuple[TrustedSigner, ...]:
    """Return signers of whom those for `release` stand for `bom` too, where nobody does.

    `generate` signs both with one key; a policy file follows the same rule.
    """
    if any("bom" in signer.roles for signer in signers):
        return signers
    return tuple(
        replace(s, roles=s.roles | {"bom"}) if "release" in s.roles else s for s in signers
    )


def with_trust_root(policy: Policy, path: Path) -> Policy:
    """Return a policy with the trust root of a file: trusted_root.json, or PEM certificates.

    Raises:
        PathNotFoundError: there is no such file.
        UsageError: it cannot be read.
    """
    try:
        return replace(policy, trust_root=path.read_bytes())
    except FileNotFoundError as error:
        message = f"trust root not found: {path}"
        raise PathNotFoundError(message, looked=[str(path.absolute())]) from error
    except OSError as error:
        message = f"cannot read the trust root {path}: {error.strerror or error}"
        raise UsageError(message) from error


def told_signer(signer: TrustedSigner) -> str:
    """Return a signer as text: the fingerprint of the key or the identity, and the name given."""
    who = signer.identity
    known = f"key {signer.key.hint}" if signer.key else ""
    if who:
        known = f"identity {who.subject} by {who.issuer}"
    named = signer.name and (not signer.key or signer.name != signer.key.hint)
    return f"{signer.name}, {known}" if named and known else known or signer.name


def told_roles(roles: Iterable[str]) -> str:
    """Return roles as text for a message."""
    held = frozenset(roles)
    every = held == frozenset(ROLES)
    return "every role" if every else ", ".join(role for role in ROLES if role in held)


def _read_option(option: str) -> tuple[str | None, PublicKey]:
    head, separator, tail = option.partition("=")
    role, name = (head, tail) if separator and head in ROLES else (None, option)
    return role, read_public_key(name, hint=f"--key [ROLE=]PUB; the roles are {', '.join(ROLES)}")


def read_public_key(name: str, *, hint: str = "") -> PublicKey:
    """Read the public key in a file.

    Args:
        name: path of the file.
        hint: what the user can do when there is none.

    Raises:
        PathNotFoundError: there is no such file.
        PublicKeyError: it cannot be read, or is no public key.
    """
    try:
        with Path(name).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        message = f"public key not found: {name}"
        raise PathNotFoundError(message, looked=[str(Path(name).absolute())], hint=hint) from error
    except OSError as error:
        message = f"cannot read the public key {name}: {error.strerror}"
        raise PublicKeyError(message) from error
    return parse_public_key(data, name)
