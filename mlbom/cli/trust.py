"""Whom `mlbom verify` trusts: a policy file, keys and identities by flag, or your own key."""

import argparse
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from mlbom.errors import NoTrustedKeyError, UsageError
from mlbom.sign.newkey import default_key_paths
from mlbom.verify.policy.file import read_policy, read_signed_policy
from mlbom.verify.policy.values import Identity, Policy, TrustedSigner
from mlbom.verify.signers.certificates import newest_key_of
from mlbom.verify.signers.trust import (
    read_public_key,
    read_signers,
    told_signer,
    with_bom,
    with_trust_root,
)

_EVERYBODY = re.compile(r"[*?]*")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A policy, and where it comes from.

    Args:
        policy: everything demanded.
        file: the policy file, or None.
        added: the signers that flags add to it.
    """

    policy: Policy
    file: Path | None
    added: tuple[TrustedSigner, ...]


def add_trust_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say whom to trust."""
    add = parser.add_argument
    add("--policy", metavar="FILE", help="what to demand; keys given by flag add signers to it")
    add("--policy-key", metavar="PUB", help="demand that this key has signed the policy")
    told = "a public key to trust; repeatable (release covers bom where nobody is given for bom)"
    add("--key", action="append", metavar="[ROLE=]PUB", help=told)
    add("--identity", metavar="PATTERN", help="a certificate's holder to trust, with --issuer")
    add("--issuer", metavar="URL", help="the OIDC issuer that vouches for --identity")
    root = (
        "trusted_root.json of Sigstore, or PEM authorities: these vouch for a single bundle, for "
        "the identities named, or without any for the role release"
    )
    add("--trust-root", metavar="FILE", help=root)


def chosen_policy(options: argparse.Namespace) -> Chosen:
    """Return whom the options trust; without any, the user's own default key.

    Raises:
        UsageError: options that do not fit together, or name nothing usable.
        NoTrustedKeyError: no option, and no key of the user's own.
        PolicyError, UntrustedPolicyError: the policy file cannot be obeyed.
    """
    added = (*(read_signers(options.key) if options.key else ()), *_identities(options))
    path = Path(options.policy) if options.policy else None
    if options.policy_key and not path:
        message = "--policy-key says who must have signed the policy, and needs --policy"
        raise UsageError(message)
    if path and options.policy_key:
        policy = read_signed_policy(path, (read_public_key(options.policy_key),))
    elif path:
        policy = read_policy(path)
    else:
        policy = Policy(signers=() if added or options.trust_root else _own_key())
    _refuse_twice(policy, added)
    known = len(policy.signers)
    policy = replace(policy, signers=with_bom((*policy.signers, *added)))
    added = policy.signers[known:]
    if options.trust_root:
        policy = with_trust_root(policy, Path(options.trust_root))
    if any(signer.identity for signer in policy.signers):
        _tell_trust_root(policy, options.trust_root)
    return Chosen(policy, path, added or (policy.signers if path is None else ()))


def _refuse_twice(policy: Policy, added: tuple[TrustedSigner, ...]) -> None:
    """Refuse to trust somebody by flag whom the policy bounds by roles and a window."""
    held = {signer.material: signer for signer in policy.signers}
    for signer in added:
        if signer.material in held:
            who = told_signer(held[signer.material])
            message = f"your policy names {who} already: a flag would widen what it is trusted for"
            raise UsageError(message, hint="leave the flag away, or change the policy")


def _identities(options: argparse.Namespace) -> tuple[TrustedSigner, ...]:
    subject, issuer = options.identity, options.issuer
    if not subject and not issuer:
        return ()
    if not (subject and issuer):
        message = "--identity PATTERN and --issuer URL belong together"
        raise UsageError(message, hint="an identity means nothing without who vouches for it")
    if _EVERYBODY.fullmatch(subject):
        message = f"--identity {subject} would trust everybody whom the issuer knows"
        raise UsageError(message)
    return (TrustedSigner(name="", identity=Identity(subject=subject, issuer=issuer)),)


def _own_key() -> tuple[TrustedSigner, ...]:
    public = default_key_paths().public
    if not public.is_file():
        message = "no key to trust: none was given, and you have no key of your own"
        raise NoTrustedKeyError(message, looked=[str(public)])
    print(f"no --key given: trusting your own key {public}", file=sys.stderr)
    return read_signers([str(public)])


def _tell_trust_root(policy: Policy, named: str | None) -> None:
    """Say how old the root of trust is: an old one does not know newer services."""
    newest = newest_key_of(policy.trust_root)
    place = named or ("of the policy" if policy.trust_root else "shipped with sigstore")
    if newest:
        print(f"trust root {place}: its newest key is from {newest}", file=sys.stderr)
