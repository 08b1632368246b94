"""Keyless signing with Sigstore: the machine's own OIDC identity, a certificate of minutes, a log.

The network is the purpose here. An ambient identity (GitHub Actions, GitLab CI, Buildkite, Google
Cloud) is exchanged for a short-lived certificate, the statement's exact bytes are signed with a key
that is forgotten at once, and the signature is entered in a transparency log. What comes back is
checked offline against the trust root before anybody gets to see it.

Source: sigstore-python 4, `sigstore.sign` and `sigstore.verify`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from mlbom.attest.dsse import Envelope
from mlbom.attest.publickey import PublicKey, public_key_value
from mlbom.errors import PathNotFoundError, SigningError
from mlbom.openfile import read_regular
from mlbom.sign.signer import KeyAccess

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.dsse import Statement
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.oidc import IdentityToken
    from sigstore.sign import Signer as Session

_MAX_CONFIG = 4 * 1024 * 1024
_NO_IDENTITY = (
    "keyless signing works where the machine has an OIDC identity, for example in a workflow with "
    "the permission `id-token: write`; elsewhere sign with --key"
)


class KeylessSigner:
    """Signs in the name of an identity instead of with a key that somebody keeps.

    Args:
        config: a private instance's ClientTrustConfig, or None for the public instance.
        token: who is signing.
    """

    scheme: ClassVar[str] = "sigstore"

    def __init__(self, config: "ClientTrustConfig | None", token: "IdentityToken") -> None:
        self._config = config
        self._token = token
        self._session: Session | None = None
        self._certificate: Certificate | None = None

    @classmethod
    def open(cls, location: str, access: KeyAccess) -> Self:  # noqa: ARG003 - there is no key
        """Find the identity of this machine.

        Args:
            location: path of a ClientTrustConfig (JSON) of a private instance; empty for the
                public one.
            access: not used.

        Raises:
            PathNotFoundError: there is no such file.
            SigningError: sigstore is not installed, the file is no trust configuration, or this
                machine has no identity.
        """
        with _coded("find an identity"):
            return cls(_read_config(Path(location)) if location else None, _ambient_identity())

    @property
    def public_key(self) -> PublicKey:
        """Return the public half of the key that signed last; it signs nothing else later.

        Raises:
            SigningError: nothing has been signed yet.
        """
        return public_key_value(self._last_certificate().public_key(), "the certificate")

    def identity(self) -> str:
        """Return whom the certificate of the last signature names.

        Raises:
            SigningError: nothing has been signed yet.
        """
        from cryptography.x509 import SubjectAlternativeName

        names = self._last_certificate().extensions.get_extension_for_class(SubjectAlternativeName)
        return ", ".join(str(name.value) for name in names.value)

    def sign(self, payload: bytes, payload_type: str) -> Envelope:  # noqa: ARG002
        """Refuse: without its certificate a keyless signature is worth nothing.

        Raises:
            SigningError: always; `bundle` signs.
        """
        message = "a keyless signature exists in a bundle only"
        raise SigningError(message, hint="sign with --key where a plain envelope is needed")

    def bundle(self, payload: bytes) -> bytes:
        """Return Sigstore's bundle over exactly these bytes of a statement.

        Raises:
            SigningError: a service did not answer or refused, or what it gave does not verify.
        """
        from sigstore.dsse import Statement

        with _coded("sign"):
            config = self._trust()
            made = self._sign(config, Statement(payload))
            _check(made, config)
            self._certificate = made.signing_certificate
            return made.to_json().encode()

    def _sign(self, config: "ClientTrustConfig", statement: "Statement") -> "Bundle":
        """Sign with the session's certificate, or with a new one when that has expired."""
        from sigstore._internal.fulcio.client import ExpiredCertificate
        from sigstore.sign import Signer as Session
        from sigstore.sign import SigningContext

        if self._session is not None:
            try:
                return self._session.sign_dsse(statement)
            except ExpiredCertificate:
                self._session = None
        if not self._token.in_validity_period():
            self._token = _ambient_identity()
        self._session = Session(self._token, SigningContext.from_trust_config(config))
        return self._session.sign_dsse(statement)

    def _trust(self) -> "ClientTrustConfig":
        if self._config is None:
            from sigstore.models import ClientTrustConfig

            self._config = ClientTrustConfig.production()
        return self._config

    def _last_certificate(self) -> "Certificate":
        if self._certificate is None:
            message = "a keyless signer has no certificate before it has signed"
            raise SigningError(message)
        return self._certificate


class _AnyIdentity:
    """The policy for a bundle of our own: whose name is in it is not the question."""

    def verify(self, cert: "Certificate") -> None:
        """Accept every certificate that the trust root vouches for."""


def _check(made: "Bundle", config: "ClientTrustConfig") -> None:
    """Verify what the services gave, offline: certificate, log entry, times, signature."""
    from sigstore.verify import Verifier

    Verifier(trusted_root=config.trusted_root).verify_dsse(made, _AnyIdentity())


def _ambient_identity() -> "IdentityToken":
    from sigstore.oidc import IdentityToken, detect_credential

    token = detect_credential()
    if token is None:
        message = "this machine has no identity to sign with"
        raise SigningError(message, hint=_NO_IDENTITY)
    return IdentityToken(token)


def _read_config(path: Path) -> "ClientTrustConfig":
    from sigstore.models import ClientTrustConfig

    try:
        data = read_regular(path, _MAX_CONFIG, str(path))
    except FileNotFoundError as error:
        message = f"trust configuration not found: {path}"
        raise PathNotFoundError(message, looked=[str(path)]) from error
    return ClientTrustConfig.from_json(data.decode())


@contextmanager
def _coded(doing: str) -> Iterator[None]:
    """Turn what the services and their clients raise into one error with a code."""
    try:
        from sigstore._internal.fulcio.client import ExpiredCertificate, FulcioClientError
        from sigstore._internal.rekor import RekorClientError
        from sigstore.errors import Error
        from sigstore.oidc import ExpiredIdentity
    except ImportError as error:
        message = "keyless signing needs the package sigstore"
        raise SigningError(message, hint="pip install 'mlbom[sigstore]'") from error
    services = (Error, FulcioClientError, RekorClientError, ExpiredCertificate, ExpiredIdentity)
    try:
        yield
    except (*services, ValueError, LookupError, OSError) as error:
        cause = error.__cause__ if not str(error) and error.__cause__ else error
        message = f"Sigstore could not {doing}: {str(cause) or type(cause).__name__}"
        raise SigningError(message, hint=_hint(error)) from error


def _hint(error: BaseException) -> str:
    from sigstore.oidc import IdentityError

    if isinstance(error, IdentityError):
        return _NO_IDENTITY
    return "check the network and the instance; nothing was published"
