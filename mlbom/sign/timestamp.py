"""RFC 3161 timestamps over signatures: from an authority's URL, or carried there and back by hand.

What is stamped are the raw bytes of the DSSE signature (sigstore/protobuf-specs
protos/sigstore_bundle.proto, RFC3161SignedTimestamp), which fix key and statement with them. A
response is checked for what it covers before it is stored; whom it is from is the verifier's
question.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlbom.attest.types import IMPRINTS
from mlbom.errors import LimitError, SigningError, UsageError
from mlbom.openfile import read_regular

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

    from rfc3161_client import TimeStampRequest, TimeStampResponse

TIMEOUT_S = 30
MAX_BYTES = 1024 * 1024
# PKIStatus (RFC 3161 section 2.4.2). What is granted with modifications, verifiers refuse.
_GRANTED = 0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class AuthorityTimestamper:
    """Asks a timestamp authority over HTTP (RFC 3161 section 3.4).

    Args:
        url: of the authority; https, or http on the loopback.

    Raises:
        UsageError: another kind of URL.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
        if not parts.hostname or not (parts.scheme == "https" or is_local):
            message = f"a timestamp authority is asked by https, not by {url}"
            hint = "for others: --timestamp FILE writes the query, which any tool can carry there"
            raise UsageError(message, hint=hint)
        self._url = url

    def stamp(self, signature: bytes) -> bytes:
        """Return the authority's response for a raw signature.

        Raises:
            SigningError: it did not answer, or its answer does not fit.
        """
        request = _new_request(signature)
        response = self._post(request.as_bytes())
        check_response(response, signature, request.nonce)
        return response

    def _post(self, query: bytes) -> bytes:
        from http.client import HTTPException
        from urllib.request import Request

        headers = {"Content-Type": "application/timestamp-query"}
        request = Request(self._url, query, headers)  # noqa: S310 - checked above
        try:
            with _opener().open(request, timeout=TIMEOUT_S) as answer:
                data = bytes(answer.read(MAX_BYTES + 1))
        except (OSError, ValueError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            message = f"the timestamp authority did not answer: {reason}"
            raise SigningError(message, hint=_AGAIN) from error
        if len(data) > MAX_BYTES:
            message = f"the timestamp authority's answer is larger than {MAX_BYTES} bytes"
            raise SigningError(message, hint=_AGAIN)
        return data


_AGAIN = "nothing was written: try again, name another authority, or leave out --timestamp"


class CarriedTimestamp:
    """A response that somebody fetched, and the query for it: for houses without a network.

    Args:
        response: where the response lies, or will lie; the query is kept beside it as `.tsq`.
    """

    def __init__(self, response: Path) -> None:
        self.response = response
        self.query = response.with_suffix(".tsq")
        if self.query == response:
            message = f"{response} is the name of a query, and --timestamp takes the response's"
            raise UsageError(message, hint=f"--timestamp {response.with_suffix('.tsr')}")

    @property
    def is_here(self) -> bool:
        """Return whether the response has come."""
        return self.response.is_file()

    @staticmethod
    def query_for(signature: bytes) -> bytes:
        """Return the DER query over a raw signature, to be carried to an authority."""
        return _new_request(signature).as_bytes()

    def stamp(self, signature: bytes) -> bytes:
        """Return the response that was fetched for a raw signature.

        Which of several queries it answers does not matter: the signature is what it covers.

        Raises:
            SigningError: there is none, it cannot be read, or it is for another signature.
        """
        try:
            response = read_regular(self.response, MAX_BYTES, str(self.response))
        except (OSError, LimitError) as error:
            message = f"cannot read the timestamp {self.response}: {error}"
            raise SigningError(message) from error
        check_response(response, signature, nonce=None)
        return response


def check_response(data: bytes, signature: bytes, nonce: int | None) -> None:
    """Refuse a response that is no timestamp of this signature.

    Args:
        data: DER TimeStampResp.
        signature: the raw signature that it must cover.
        nonce: of the query, or None when that does not matter.

    Raises:
        SigningError: malformed, not granted, over other bytes, of another query, or without the
            authority's certificate.
    """
    try:
        response: TimeStampResponse = _library().decode_timestamp_response(data)
        fault = _fault(response, signature, nonce)
    except ValueError as error:
        fault = f"is malformed: {error}"
    if fault:
        message = f"the timestamp {fault}"
        raise SigningError(message, hint="nothing was written: get another one")


def _fault(response: "TimeStampResponse", signature: bytes, nonce: int | None) -> str:
    """Return why a response is no timestamp of a signature, or an empty text."""
    if response.status != _GRANTED:
        return f"was refused: {', '.join(response.status_string) or f'status {response.status}'}"
    info = response.tst_info
    oid = info.message_imprint.hash_algorithm.dotted_string
    if oid not in IMPRINTS:
        return f"uses the hash {oid}"
    if info.message_imprint.message != hashlib.new(IMPRINTS[oid], signature).digest():
        return "is for another signature"
    if nonce is not None and info.nonce != nonce:
        return "answers another query"
    if not response.signed_data.certificates:
        return "comes without the authority's certificate"
    return ""


def _new_request(signature: bytes) -> "TimeStampRequest":
    client = _library()
    builder = client.TimestampRequestBuilder().data(signature)
    builder = builder.hash_algorithm(client.HashAlgorithm.SHA256)
    request: TimeStampRequest = builder.nonce(nonce=True).cert_request(cert_request=True).build()
    return request


def _library() -> Any:  # noqa: ANN401 - a module
    try:
        import rfc3161_client
    except ImportError as error:
        message = "timestamps need the package rfc3161-client"
        raise SigningError(message, hint="pip install 'mlbom[sigstore]'") from error
    return rfc3161_client


def _opener() -> "OpenerDirector":
    """Return what asks an authority: a redirected query would become another request elsewhere."""
    from urllib.request import HTTPRedirectHandler, build_opener

    class NoRedirect(HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    return build_opener(NoRedirect)
