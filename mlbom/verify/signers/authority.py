"""Bundles signed with a certificate of an ordinary authority, as model_signing writes them.

Source: ossf/model-signing-spec v1.0 section 8.2; RFC 5280 section 6. The leaf must be valid when
the signature was made. The reference implementation takes the leaf's own first day for that time,
and so accepts certificates that expired years ago.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlbom.attest.publickey import PublicKey, public_key_value
from mlbom.errors import PublicKeyError
from mlbom.verify.refusal import Refusal
from mlbom.verify.signers.certificates import subject_names

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from cryptography.x509.verification import ClientVerifier

MOST_CERTIFICATES = 16


def authority_key(certificates: Sequence[bytes], roots: bytes, time: int) -> tuple[PublicKey, str]:
    """Return the key of a leaf certificate that a trusted authority vouches for, and its subject.

    Args:
        certificates: DER, leaf first.
        roots: PEM certificates of the authorities that the caller trusts.
        time: when the signature was made, or now when nothing proves that; seconds since 1970.

    Raises:
        Refusal: `bad-certificate` when no chain leads to a root, when a certificate on it is not
            valid at that time, or when the leaf is not for signing.
    """
    from cryptography import x509
    from cryptography.x509.verification import VerificationError

    if len(certificates) > MOST_CERTIFICATES:
        message = f"it carries {len(certificates)} certificates, more than {MOST_CERTIFICATES}"
        raise Refusal(message, "bad-certificate")
    try:
        leaf, *between = [x509.load_der_x509_certificate(der) for der in certificates]
        _verifier(roots, time).verify(leaf, between)
        _check_purpose(leaf)
        public = leaf.public_key()
        subject = leaf.subject.rfc4514_string()
        return public_key_value(public, "the certificate's key"), subject
    except (VerificationError, x509.UnsupportedGeneralNameType, ValueError) as error:
        message = f"no authority that you trust vouches for its certificate: {str(error)[:200]}"
        raise Refusal(message, "bad-certificate") from error
    except PublicKeyError as error:
        raise Refusal(error.message, "bad-certificate") from error


def alternative_names(leaf: bytes) -> tuple[str, ...]:
    """Return the subject alternative names (mail, URI, user name) of a leaf that was verified.

    Args:
        leaf: DER.
    """
    from cryptography import x509

    return subject_names(x509.load_der_x509_certificate(leaf))


def _verifier(roots: bytes, time: int) -> "ClientVerifier":
    """Return a verifier of chains that asks of a leaf nothing which the web asks of a browser."""
    from cryptography import x509
    from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store

    authorities = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(
            x509.KeyUsage,
            Criticality.AGNOSTIC,
            lambda _policy, _certificate, usage: _refuse_unless(
                usage is None or usage.key_cert_sign, "an authority's key is not for certificates"
            ),
        )
    )
    return (
        PolicyBuilder()
        .store(Store(x509.load_pem_x509_certificates(roots)))
        .time(datetime.fromtimestamp(time, UTC).replace(tzinfo=None))
        .extension_policies(ca_policy=authorities, ee_policy=ExtensionPolicy.permit_all())
        .build_client_verifier()
    )


def _check_purpose(leaf: "Certificate") -> None:
    """Refuse a leaf whose usages do not hold signing code (model_signing demands the same)."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    for extension in leaf.extensions:
        value = extension.value
        if isinstance(value, x509.KeyUsage):
            _refuse_unless(value.digital_signature, "its certificate is not for signatures")
        if isinstance(value, x509.ExtendedKeyUsage):
            signs = ExtendedKeyUsageOID.CODE_SIGNING in value
            _refuse_unless(signs, "its certificate is not for signing code")


def _refuse_unless(holds: bool, message: str) -> None:  # noqa: FBT001 - an assertion
    if not holds:
        raise ValueError(message)
