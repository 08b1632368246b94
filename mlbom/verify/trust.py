"""What the caller trusts: public keys, each for some roles. Nothing else is ever trusted."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlbom.attest.publickey import MAX_BYTES, PublicKey, parse_public_key
from mlbom.errors import NoTrustedKeyError, PathNotFoundError, PublicKeyError, UsageError
from mlbom.verify.policy import ROLES


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key and the roles that its holder has."""

    key: PublicKey
    roles: frozenset[str]

    @property
    def told_roles(self) -> str:
        """Return the roles as text for a message."""
        every = self.roles == frozenset(ROLES)
        return "every role" if every else ", ".join(r for r in ROLES if r in self.roles)


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The keys that a caller trusts, each once, whatever its files looked like."""

    keys: tuple[TrustedKey, ...]

    @classmethod
    def of(cls, given: Iterable[tuple[str | None, PublicKey]]) -> "TrustedKeys":
        """Collect (role, key) pairs; a key without a role stands for every role.

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
        return cls(tuple(TrustedKey(key, frozenset(roles[m])) for m, key in keys.items()))

    def by_hint(self, hint: str) -> TrustedKey | None:
        """Return the key that a bundle claims, when it is a trusted one."""
        return next((trusted for trusted in self.keys if trusted.key.hint == hint), None)


def read_trusted_keys(options: Iterable[str]) -> TrustedKeys:
    """Read the keys named by `--key [ROLE=]PUB`.

    Raises:
        PathNotFoundError: there is no such file.
        PublicKeyError: a file that is no public key.
        NoTrustedKeyError: no option was given.
    """
    return TrustedKeys.of([_read_option(option) for option in options])


def _read_option(option: str) -> tuple[str | None, PublicKey]:
    head, separator, tail = option.partition("=")
    role, name = (head, tail) if separator and head in ROLES else (None, option)
    try:
        with Path(name).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        message = f"public key not found: {name}"
        hint = f"--key [ROLE=]PUB; the roles are {', '.join(ROLES)}"
        raise PathNotFoundError(message, looked=[str(Path(name).absolute())], hint=hint) from error
    except OSError as error:
        message = f"cannot read the public key {name}: {error.strerror}"
        raise PublicKeyError(message) from error
    return role, parse_public_key(data, name)
