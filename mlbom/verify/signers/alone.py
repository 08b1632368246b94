"""Who signed a bundle that lies alone: hints of any spelling, certificates of any authority."""

from collections.abc import Sequence

from mlbom.attest.bundle import Bundle
from mlbom.verify.policy.pattern import matches
from mlbom.verify.policy.seal import PEM_CERTIFICATE
from mlbom.verify.policy.values import TrustedSigner
from mlbom.verify.refusal import Refusal
from mlbom.verify.signers.authority import alternative_names, authority_key
from mlbom.verify.signers.signatures import Signature, check_signature, signed_by, timestamped
from mlbom.verify.signers.trust import Trust


def lone_signature(bundle: Bundle, data: bytes, trust: Trust) -> Signature:
    """Return the trusted signature of a bundle; every trusted key is tried, whatever its hint says.

    A certificate of an authority in a PEM trust root must be of an identity that the policy names;
    where it names none, the authority itself is trusted for the role `release`.

    Raises:
        Refusal: as `check_signature`.
    """
    policy = trust.policy
    if bundle.certificates and PEM_CERTIFICATE in (policy.trust_root or b""):
        time = timestamped(bundle, trust)
        at = trust.now if time is None else time
        key, subject = authority_key(bundle.certificates, policy.trust_root or b"", at)
        name, roles = f"certificate of {subject}", frozenset({"release"})
        holder = TrustedSigner(name=name, key=key, roles=roles)
        if not signed_by(holder, bundle):
            message = "the signature does not verify with the certificate in the bundle"
            raise Refusal(message, "bad-signature")
        wanted = [signer for signer in policy.signers if signer.identity]
        return Signature(_named(wanted, bundle.certificates[0], subject) or (holder,), time)
    if not bundle.certificates:
        keys = {signer.key.hint for signer in policy.signers if signer.key}
        good = [s for s in policy.signers if bundle.hint not in keys and signed_by(s, bundle)]
        if good:
            alike = tuple(s for s in good if s.material == good[0].material)
            return Signature(alike, timestamped(bundle, trust))
    return check_signature(bundle, data, trust)


def _named(wanted: Sequence[TrustedSigner], leaf: bytes, subject: str) -> tuple[TrustedSigner, ...]:
    """Return the identities that a certificate is of; () when the policy names none at all.

    Raises:
        Refusal: `untrusted-signer` when identities are named, and the certificate is of none.
    """
    names = alternative_names(leaf) if wanted else ()
    fitting = tuple(
        signer
        for signer in wanted
        if signer.identity and any(matches(signer.identity.subject, name) for name in names)
    )
    if wanted and not fitting:
        who = ", ".join(names) or subject
        message = f"untrusted signer {who}: the certificate is of no identity that you trust"
        raise Refusal(message, "untrusted-signer")
    return fitting
