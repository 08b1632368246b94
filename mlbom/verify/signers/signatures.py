"""A bundle's signature: which trusted signers can have made it, and when. Nothing is parsed here.

The hint and the certificates in a bundle are claims: they choose which trusted key or identity to
check with, and count for nothing when that check fails.
"""

from dataclasses import dataclass

from mlbom.attest.bundle import Bundle
from mlbom.attest.moment import told_time
from mlbom.verify.policy.values import Policy, TrustedSigner
from mlbom.verify.refusal import Refusal
from mlbom.verify.signers.certificates import certified_signer
from mlbom.verify.signers.timestamps import trusted_time
from mlbom.verify.signers.trust import Trust, told_roles, told_signer


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that holds.

    Args:
        signers: the trusted signers that it can be of: one key or identity, which a policy may
            name several times with other roles and windows.
        time: when it was made as somebody trusted vouches for, seconds since 1970, or None.
    """

    signers: tuple[TrustedSigner, ...]
    time: int | None

    def signer_for(self, roles: tuple[str, ...], what: str, now: int) -> TrustedSigner:
        """Return the signer who had one of the roles when the signature was made.

        Args:
            roles: any of them will do.
            what: the kind of statement, as messages name it.
            now: the time that counts when nothing proves another.

        Raises:
            Refusal: `wrong-role`, `revoked-key`, `expired-key` or `not-yet-valid`.
        """
        fitting = [signer for signer in self.signers if not signer.roles.isdisjoint(roles)]
        if not fitting:
            held = {role for signer in self.signers for role in signer.roles}
            message = (
                f"a {what} statement by {told_signer(self.signers[0])}, which is trusted for "
                f"{told_roles(held)}, not for {' or '.join(roles)}"
            )
            raise Refusal(message, "wrong-role")
        # A key revoked under one name is revoked under every other.
        revoked = [_revoked(signer, self.time, now) for signer in self.signers]
        for refusal in revoked:
            if refusal:
                raise refusal
        refusals = [_out_of_window(signer, self.time, now) for signer in fitting]
        for signer, refusal in zip(fitting, refusals, strict=True):
            if refusal is None:
                return signer
        raise next(refusal for refusal in refusals if refusal)


def check_signature(bundle: Bundle, data: bytes, trust: Trust) -> Signature:
    """Return the trusted signature of a bundle.

    Args:
        bundle: the parsed bundle.
        data: its bytes.
        trust: who is trusted.

    Raises:
        Refusal: `untrusted-signer`, `bad-signature`, `bad-certificate`, `bad-timestamp`, or
            `library-missing`.
    """
    if bundle.certificates:
        return _by_certificate(bundle, data, trust)
    signers = with_hint(trust.policy, bundle.hint)
    if not signers:
        message = f"untrusted signer {bundle.hint}"
        raise Refusal(message, "untrusted-signer")
    if not signed_by(signers[0], bundle):
        message = f"the signature does not verify with the trusted key {bundle.hint}"
        raise Refusal(message, "bad-signature")
    return Signature(signers, timestamped(bundle, trust))


def with_hint(policy: Policy, hint: str) -> tuple[TrustedSigner, ...]:
    """Return every entry of the trusted key that a bundle claims; they share one key."""
    claimed = (signer for signer in policy.signers if signer.key and signer.key.hint == hint)
    return tuple(claimed)


def signed_by(signer: TrustedSigner, bundle: Bundle) -> bool:
    """Return whether a signer's key made the signature of a bundle."""
    envelope = bundle.envelope
    return signer.key is not None and signer.key.verify(envelope.signature, envelope.covered)


def timestamped(bundle: Bundle, trust: Trust) -> int | None:
    """Return the time that the timestamps of a bundle prove, or None.

    Raises:
        Refusal: `bad-timestamp`, `library-missing`.
    """
    roots = trust.policy.timestamp_roots
    return trusted_time(bundle.timestamps, bundle.envelope.signature, roots)


def _by_certificate(bundle: Bundle, data: bytes, trust: Trust) -> Signature:
    policy = trust.policy
    wanted = [signer for signer in policy.signers if signer.identity]
    if not wanted:
        message = "untrusted signer: signed with a certificate, and you trust plain keys"
        raise Refusal(message, "untrusted-signer")
    found = certified_signer(data, bundle, policy.trust_root)
    signers = tuple(s for s in wanted if s.identity and found.fits(s.identity))
    if not signers:
        who = ", ".join(found.subjects) or "nobody"
        message = f"untrusted signer {who} by {found.issuer or 'an unnamed issuer'}"
        raise Refusal(message, "untrusted-signer")
    return Signature(signers, found.time)


_UNPROVEN = ", and no trusted time proves that the signature is older"


def _revoked(signer: TrustedSigner, proven: int | None, now: int) -> Refusal | None:
    """Return that a signer was revoked when a signature was made, or None when he was not."""
    time = now if proven is None else proven
    if signer.revoked is None or time < signer.revoked:
        return None
    unproven = "" if proven is not None else _UNPROVEN
    return Refusal(f"{told_signer(signer)} is revoked{unproven}", "revoked-key")


def _out_of_window(signer: TrustedSigner, proven: int | None, now: int) -> Refusal | None:
    """Return why a signature was not made in a signer's time, or None when it was."""
    time = now if proven is None else proven
    who = told_signer(signer)
    unproven = "" if proven is not None else _UNPROVEN
    if signer.until is not None and time > signer.until:
        return Refusal(f"{who} was valid until {told_time(signer.until)}{unproven}", "expired-key")
    if signer.since is not None and time < signer.since:
        return Refusal(f"it was signed before {who} became trusted", "not-yet-valid")
    return None
