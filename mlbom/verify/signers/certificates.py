"""Bundles signed without a lasting key: certificate and log entry, verified without a network.

Source: sigstore/architecture-docs client-spec.md section 4. The trust root is a file of the
caller's, or the one that ships inside the installed sigstore; no update is ever fetched.
"""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlbom.attest.bundle import Bundle
from mlbom.formats.strict_json import parse_json
from mlbom.verify.policy.pattern import matches
from mlbom.verify.policy.seal import PEM_CERTIFICATE
from mlbom.verify.policy.values import Identity
from mlbom.verify.refusal import Refusal
from mlbom.verify.signers.timestamps import trusted_time

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import TrustedRoot

# Where sigstore keeps the trust root that it ships; a test pins the name.
_SHIPPED = "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev/trusted_root.json"
# Extensions that name the OIDC issuer (sigstore/fulcio docs/oid-info.md), the newer one first.
_ISSUER_V2, _ISSUER_V1 = "1.3.6.1.4.1.57264.1.8", "1.3.6.1.4.1.57264.1.1"
_OTHER_NAME = "1.3.6.1.4.1.57264.1.7"
_UTF8_STRING, _LONG_DER = b"\x0c", 0x80
_FAILURES = (ValueError, TypeError, LookupError, AttributeError, AssertionError, OverflowError)


@dataclass(frozen=True, slots=True)
class Certified:
    """Who a certificate says signed, and when.

    Args:
        subjects: the subject alternative names.
        issuer: OIDC issuer URL that vouched for them.
        time: seconds since 1970, by the log or a timestamp authority; None when neither tells.
    """

    subjects: tuple[str, ...]
    issuer: str
    time: int | None

    def fits(self, identity: Identity) -> bool:
        """Return whether this is the identity that a caller trusts."""
        named = any(matches(identity.subject, subject) for subject in self.subjects)
        return named and identity.issuer == self.issuer


def certified_signer(data: bytes, bundle: Bundle, trust_root: bytes | None) -> Certified:
    """Verify certificate, log entry and signature of a bundle.

    Args:
        data: the bundle file, which sigstore parses itself.
        bundle: the same, as we parsed it.
        trust_root: trusted_root.json, or None for the one that ships with sigstore.

    Raises:
        Refusal: `bad-certificate` when anything does not hold; `library-missing` without sigstore.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.x509 import ExtensionNotFound
        from sigstore.errors import Error
        from sigstore.models import Bundle as SigstoreBundle
        from sigstore.verify import Verifier
    except ImportError as error:
        message = "checking its certificate needs sigstore: pip install 'mlbom[sigstore]'"
        raise Refusal(message, "library-missing") from error
    holder = _Holder()
    # Bytes made by hand reach far into that library before something in it gives up.
    failures = (*_FAILURES, Error, InvalidSignature, ExtensionNotFound)
    try:
        root = _trusted_root(trust_root)
        verified = SigstoreBundle.from_json(data)
        kind, payload = Verifier(trusted_root=root).verify_dsse(verified, holder)
    except failures as error:
        message = f"its certificate or log entry does not hold: {_first_line(error)}"
        raise Refusal(message, "bad-certificate") from error
    if (kind, payload) != (bundle.envelope.payload_type, bundle.envelope.payload):
        message = "its payload is read in two ways"
        raise Refusal(message, "bad-certificate")
    subjects, issuer = holder.told()
    return Certified(subjects, issuer, _proven_time(bundle, root))


def newest_key_of(trust_root: bytes | None) -> str:
    """Return the day from which the newest key of a trust root is valid, or an empty text.

    Raises:
        MalformedError: the trust root is no JSON.
    """
    if PEM_CERTIFICATE in (trust_root or b""):
        return ""  # Ordinary authorities: they date their certificates themselves.
    try:
        told = parse_json(trust_root or _shipped_root(), "the trust root")
    except ImportError:
        return ""  # Without sigstore nothing ships one; the verdict says what that means.
    starts = re.findall(r"'start': '(\d{4}-\d{2}-\d{2})", str(told))
    return max(starts, default="")


class _Holder:
    """A policy of sigstore's that accepts every certificate and keeps it; roles are our matter."""

    def __init__(self) -> None:
        self._certificate: Certificate | None = None

    def verify(self, cert: "Certificate") -> None:
        """Keep the certificate that is being verified."""
        self._certificate = cert

    def told(self) -> tuple[tuple[str, ...], str]:
        """Return the subject alternative names, and the issuer who vouched for them."""
        if self._certificate is None:
            message = "sigstore verified no certificate"
            raise Refusal(message, "bad-certificate")
        return subject_names(self._certificate), _issuer(self._certificate)


def subject_names(certificate: "Certificate") -> tuple[str, ...]:
    """Return the subject alternative names of a certificate: mail, URI, Sigstore's user names."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    found = [
        *names.get_values_for_type(x509.RFC822Name),
        *names.get_values_for_type(x509.UniformResourceIdentifier),
    ]
    others = (o for o in names.get_values_for_type(x509.OtherName))
    named = (o.value for o in others if o.type_id.dotted_string == _OTHER_NAME)
    return (*found, *map(_utf8_string, named))


def _issuer(certificate: "Certificate") -> str:
    from cryptography import x509

    told: dict[str, bytes] = {
        extension.oid.dotted_string: extension.value.value
        for extension in certificate.extensions
        if isinstance(extension.value, x509.UnrecognizedExtension)
    }
    if _ISSUER_V2 in told:
        return _utf8_string(told[_ISSUER_V2])
    return told.get(_ISSUER_V1, b"").decode("utf-8", "replace")


def _utf8_string(der: bytes) -> str:
    """Return the text of a short DER UTF8String, or an empty text (X.690 section 8.23)."""
    tag, length, text = der[:1], der[1:2], der[2:]
    is_whole = tag == _UTF8_STRING and list(length) == [len(text)] and len(text) < _LONG_DER
    return text.decode("utf-8", "replace") if is_whole else ""


def _trusted_root(data: bytes | None) -> "TrustedRoot":
    from sigstore.models import TrustedRoot

    # The library reads a trust root from a file only.
    with tempfile.TemporaryDirectory("-mlbom") as folder:
        place = Path(folder) / "trusted_root.json"
        place.write_bytes(data or _shipped_root())
        return TrustedRoot.from_file(str(place))


def _shipped_root() -> bytes:
    from importlib.resources import files

    return files("sigstore").joinpath("_store", *_SHIPPED.split("/")).read_bytes()


def _proven_time(bundle: Bundle, root: "TrustedRoot") -> int | None:
    """Return the time that the verified log entry or a timestamp proves, in seconds since 1970.

    A time inside a log entry counts only beside the log's promise, which signs it.
    """
    logged = [
        int(entry["integratedTime"])
        for entry in bundle.log_entries
        if entry.get("inclusionPromise") and str(entry.get("integratedTime", "")).isdigit()
    ]
    if times := [time for time in logged if time]:
        return min(times)
    from cryptography.hazmat.primitives.serialization import Encoding

    chains = [a.certificates(allow_expired=True) for a in root.get_timestamp_authorities()]
    roots = [chain[-1].public_bytes(Encoding.PEM) for chain in chains if chain]
    return trusted_time(bundle.timestamps, bundle.envelope.signature, roots)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
