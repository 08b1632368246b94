"""When a signature was made, as a timestamp authority that the caller trusts vouches for it.

Source: RFC 3161 sections 2.3 and 2.4; in a Sigstore bundle the token is over the raw signature.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mlbom.attest.types import IMPRINTS
from mlbom.verify.refusal import Refusal

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampResponse

MOST_TOKENS = 32


def trusted_time(tokens: Sequence[bytes], signature: bytes, roots: Iterable[bytes]) -> int | None:
    """Return the earliest time that a token proves, in seconds since 1970, or None.

    None means that there is no token, or no root to check one by: then nothing proves a time.

    Args:
        tokens: DER TimeStampResp from the bundle.
        signature: the raw signature.
        roots: PEM certificates of the authorities that the caller trusts.

    Raises:
        Refusal: `bad-timestamp` when a token is about another signature, cannot be read, or when
            none holds by the roots: chain valid at the token's time, certificate for time stamping
            alone. `library-missing` without rfc3161-client.
    """
    trusted = tuple(_certificates(roots)) if tokens else ()
    if not tokens or not trusted:
        return None
    if len(tokens) > MOST_TOKENS:
        message = f"the bundle carries {len(tokens)} timestamps, more than {MOST_TOKENS}"
        raise Refusal(message, "bad-timestamp")
    times: list[int] = []
    reasons: list[str] = []
    for token in tokens:
        response = _decoded(token)
        _check_imprint(response, signature)
        if reason := _reason_against(response, trusted, signature):
            reasons.append(reason)
        else:
            times.append(int(response.tst_info.gen_time.timestamp()))
    if not times:
        message = f"no timestamp authority that you trust vouches for its time: {reasons[0]}"
        raise Refusal(message, "bad-timestamp")
    return min(times)


def _certificates(roots: Iterable[bytes]) -> "Iterable[Certificate]":
    from cryptography.x509 import load_pem_x509_certificates

    for pem in roots:
        yield from load_pem_x509_certificates(pem)


def _decoded(token: bytes) -> "TimeStampResponse":
    try:
        from rfc3161_client import decode_timestamp_response
    except ImportError as error:
        message = "checking its timestamp needs rfc3161-client: pip install 'mlbom[sigstore]'"
        raise Refusal(message, "library-missing") from error
    try:
        return decode_timestamp_response(token)
    except ValueError as error:
        message = "its timestamp is no response of a timestamp authority"
        raise Refusal(message, "bad-timestamp") from error


def _check_imprint(response: "TimeStampResponse", signature: bytes) -> None:
    """Refuse a token that is about other bytes, whoever signed it."""
    try:
        imprint = response.tst_info.message_imprint
        algorithm = IMPRINTS.get(imprint.hash_algorithm.dotted_string, "")
        stamped = bool(algorithm) and hashlib.new(algorithm, signature).digest() == imprint.message
    except ValueError as error:
        message = "its timestamp holds no token"
        raise Refusal(message, "bad-timestamp") from error
    if not stamped:
        message = "its timestamp is about another signature"
        raise Refusal(message, "bad-timestamp")


def _reason_against(
    response: "TimeStampResponse", roots: "Sequence[Certificate]", signature: bytes
) -> str:
    """Return why a token does not hold by the trusted roots, or an empty text."""
    from rfc3161_client import VerificationError, VerifierBuilder

    try:
        VerifierBuilder(roots=list(roots)).build().verify_message(response, signature)
    except (VerificationError, ValueError) as error:
        return str(error)
    return ""
