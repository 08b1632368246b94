"""The signers of a policy file: keys and identities by name, and the roles that they have."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from mlbom.attest.publickey import MAX_BYTES, PublicKey, parse_public_key
from mlbom.errors import PublicKeyError
from mlbom.verify.policy.field import Field, did_you_mean
from mlbom.verify.policy.seal import PolicyFolder
from mlbom.verify.policy.values import ROLES, Identity, TrustedSigner

_WINDOW = ("since", "until", "revoked")
_ISSUER = r"https?://\S+"
# Something must be left when the wildcards are gone.
_SUBJECT = r".*[^*?\s].*"


def read_signers(
    document: Field, told: Mapping[str, Field], folder: PolicyFolder
) -> tuple[TrustedSigner, ...]:
    """Return the signers of a policy with their roles and windows.

    Where nobody has the role `bom`, those with the role `release` have it too: `generate` signs
    both with one key.

    Raises:
        PolicyError: a signer without a role, a role with an unknown name, a name twice, nobody for
            the role `release`, a window that ends before it begins, a key that is none.
    """
    fields = {kind: told[kind] for kind in ("keys", "identities") if kind in told}
    named = {kind: dict(field.named(f"{kind} by name")) for kind, field in fields.items()}
    keys, identities = named.get("keys", {}), named.get("identities", {})
    for name in sorted(keys.keys() & identities.keys()):
        identities[name].refuse("the name stands among the keys already")
    if not (keys or identities):
        document.refuse("names no key and no identity, so nobody could be trusted")
    roles = _roles(told["roles"], {**keys, **identities})
    return _revoked_by_material(
        [
            *(_key_signer(name, field, roles[name], folder) for name, field in keys.items()),
            *(_identity_signer(name, field, roles[name]) for name, field in identities.items()),
        ]
    )


def _revoked_by_material(signers: Iterable[TrustedSigner]) -> tuple[TrustedSigner, ...]:
    """Return the signers so that a key revoked under one name is revoked under all its names."""
    every = tuple(signers)
    revoked: dict[str, int] = {}
    for signer in every:
        if signer.revoked is not None:
            known = revoked.get(signer.material, signer.revoked)
            revoked[signer.material] = min(known, signer.revoked)
    return tuple(replace(signer, revoked=revoked.get(signer.material)) for signer in every)


def _roles(field: Field, known: Mapping[str, Field]) -> dict[str, frozenset[str]]:
    holders: dict[str, list[str]] = {}
    for role, names in field.table(ROLES).items():
        for item in names.items():
            if item.text() not in known:
                item.refuse(f"nobody is called {item.text()!r}", did_you_mean(item.text(), known))
        holders[role] = list(names.texts())
    if not holders.get("release"):
        field.refuse("nobody has the role release, so every release would be refused")
    holders.setdefault("bom", holders["release"])
    for name, place in known.items():
        if not any(name in names for names in holders.values()):
            place.refuse("the signer has no role", f"the roles are {', '.join(ROLES)}")
    return {name: frozenset(r for r, names in holders.items() if name in names) for name in known}


def _key_signer(
    name: str, field: Field, roles: frozenset[str], folder: PolicyFolder
) -> TrustedSigner:
    if isinstance(field.value, str):
        return TrustedSigner(name=name, key=_key_file(field, folder), roles=roles)
    told = field.table(("file", "pem", *_WINDOW))
    if ("file" in told) == ("pem" in told):
        field.refuse("takes exactly one of file and pem")
    key = _key_file(told["file"], folder) if "file" in told else _key_text(told["pem"])
    return TrustedSigner(name=name, key=key, roles=roles, **_window(field, told))


def _key_file(field: Field, folder: PolicyFolder) -> PublicKey:
    return _parsed(field, folder.read(field, MAX_BYTES))


def _key_text(field: Field) -> PublicKey:
    if not isinstance(field.value, str):
        field.wrong("the lines of a PEM public key")
    return _parsed(field, field.value.encode("utf-8"))


def _parsed(field: Field, data: bytes) -> PublicKey:
    try:
        return parse_public_key(data, "it")
    except PublicKeyError as error:
        field.refuse(error.message, error.hint)


def _identity_signer(name: str, field: Field, roles: frozenset[str]) -> TrustedSigner:
    told = field.table(("subject", "issuer", *_WINDOW), required=("subject", "issuer"))
    identity = Identity(
        subject=told["subject"].text(_SUBJECT, "a pattern that does not fit everybody"),
        issuer=told["issuer"].text(_ISSUER, "the URL of an OIDC issuer"),
    )
    return TrustedSigner(name=name, identity=identity, roles=roles, **_window(field, told))


def _window(field: Field, told: Mapping[str, Field]) -> dict[str, Any]:
    times = {key: told[key].time() for key in _present(_WINDOW, told)}
    if "since" in times and "until" in times and times["since"] >= times["until"]:
        field.refuse("the window ends before it begins")
    return times


def _present(keys: Iterable[str], told: Mapping[str, Field]) -> Iterator[str]:
    return (key for key in keys if key in told)
