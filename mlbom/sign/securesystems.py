"""Keys that lie in devices and services, through the signers of securesystemslib, by key URI.

One adapter for PKCS#11 tokens, cloud key services, HashiCorp Vault and TKey: the public half is
asked from the device, the DSSE encoding is signed there, and what comes back is an envelope like
any other. `gnupg:` has no place here: an OpenPGP signature covers a trailer of its own, so nobody
could verify it as a signature of DSSE.

Source: securesystemslib 1.6, `securesystemslib.signer`; its URIs are taken as they are.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

from mlbom.attest.dsse import Envelope, pae
from mlbom.attest.publickey import PublicKey, public_key_value
from mlbom.errors import PublicKeyError, SigningError, UsageError
from mlbom.guard import PASSPHRASE_VARIABLE
from mlbom.sign.keyfile import KeyFileSigner, take_passphrase
from mlbom.sign.signer import KeyAccess

# Signature schemes that `PublicKey.verify` knows; a key of any other would sign in vain.
_SCHEMES = frozenset(
    "ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ed25519 rsassa-pss-sha256 "
    "ml-dsa-44/1 ml-dsa-65/1 ml-dsa-87/1".split()
)
# What the drivers raise beside the errors of Python; looked up only when a driver is loaded.
_FAILURES = (
    ("securesystemslib.exceptions", "Error"),
    ("pkcs11.exceptions", "PKCS11Error"),
    ("google.api_core.exceptions", "GoogleAPIError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("azure.core.exceptions", "AzureError"),
    ("securesystemslib.signer._azure_signer", "UnsupportedKeyType"),
    ("hvac.exceptions", "VaultError"),
)
# A key's complete URI, and its public half: a securesystemslib `SSlibKey`.
_Imported = tuple[str, Any]


class DeviceSigner:
    """Signs with a private key that never leaves its device or service.

    Args:
        uri: the key's URI, complete.
        key: its public half as securesystemslib holds it.
        secret: hands out the device's PIN or passphrase.
    """

    scheme: ClassVar[str]
    # What `pip install` needs for this scheme.
    needs: ClassVar[str]

    def __init__(
        self,
        uri: str,
        key: Any,  # noqa: ANN401 - an SSlibKey
        secret: Callable[[str], str],
    ) -> None:
        if key.scheme not in _SCHEMES:
            message = f"{uri} signs with {key.scheme}, which mlbom does not verify"
            raise SigningError(message, hint="take a P-256 key, or RSA with PSS and SHA-256")
        try:
            self._public = public_key_value(key._crypto_key(), uri)  # noqa: SLF001 - hex or PEM
        except PublicKeyError as error:
            raise SigningError(error.message) from error
        self._uri = uri
        self._device = _library().Signer.from_priv_key_uri(uri, key, secret)

    @classmethod
    def open(cls, location: str, access: KeyAccess) -> Self:
        """Ask the device for the key's public half and prepare to sign with it.

        Raises:
            UsageError: the URI has another form.
            SigningError: a library or driver is missing, the device or the key is not there, or
                it refused.
        """
        uri = f"{cls.scheme}:{location}"
        secret = _Secret(uri, access)
        with _coded(uri, cls.needs):
            found, key = cls._import(location, secret)
            if not cls._is_same(uri, found):
                message = f"{uri} is not the key's newest version, which is {found}"
                raise SigningError(message, hint="sign with the newest version")
            return cls(found, key, secret)

    @classmethod
    def _import(cls, location: str, secret: Callable[[str], str]) -> _Imported:
        """Return the complete URI and the public half of the key that a location names."""
        raise NotImplementedError

    @staticmethod
    def _is_same(uri: str, found: str) -> bool:
        """Return whether the key that was found is the one named, a version being optional."""
        return found == uri or found.startswith(f"{uri.rstrip('/')}/")

    @property
    def public_key(self) -> PublicKey:
        """Return the public half."""
        return self._public

    def sign(self, payload: bytes, payload_type: str) -> Envelope:
        """Return the payload with one DSSE signature.

        Raises:
            SigningError: the device is gone, or refused.
        """
        with _coded(self._uri, self.needs):
            signature = self._device.sign(pae(payload_type, payload))
            return Envelope(payload, payload_type, bytes.fromhex(signature.signature))


class TokenSigner(DeviceSigner):
    """A PKCS#11 token: `hsm:[KEYID][?label=TOKEN]`; PYKCS11LIB names the driver."""

    scheme = "hsm"
    needs = "securesystemslib python-pkcs11 asn1crypto"

    @classmethod
    def _import(cls, location: str, secret: Callable[[str], str]) -> _Imported:
        if not os.environ.get("PYKCS11LIB"):
            message = "PYKCS11LIB does not name the token's PKCS#11 driver"
            raise SigningError(message, hint="set it to the path of the driver, a shared library")
        number, _, query = location.partition("?")
        if number and not number.isdecimal():
            message = f"hsm: takes the number of a key, not {number!r}"
            raise UsageError(message, hint="hsm:2?label=TOKEN")
        label = parse_qs(query).get("label", [None])[0]
        keyid = int(number) if number else None
        found: _Imported = _library().HSMSigner.import_(keyid, label, secret)
        return found

    @staticmethod
    def _is_same(uri: str, found: str) -> bool:
        # What is left out of the URI was chosen by the token; what is in it was obeyed.
        return bool(uri and found)


class GoogleSigner(DeviceSigner):
    """Google Cloud KMS: `gcpkms:projects/…/cryptoKeyVersions/N`."""

    scheme = "gcpkms"
    needs = "securesystemslib google-cloud-kms"

    @classmethod
    def _import(cls, location: str, secret: Callable[[str], str]) -> _Imported:  # noqa: ARG003
        found: _Imported = _library().GCPSigner.import_(location)
        return found


class AmazonSigner(DeviceSigner):
    """AWS KMS: `awskms:KEY`, the key's id, alias or ARN."""

    scheme = "awskms"
    needs = "securesystemslib boto3"

    @classmethod
    def _import(cls, location: str, secret: Callable[[str], str]) -> _Imported:  # noqa: ARG003
        found: _Imported = _library().AWSSigner.import_(location)
        return found


class AzureSigner(DeviceSigner):
    """Azure Key Vault: `azurekms://VAULT.vault.azure.net/keys/NAME[/VERSION]`."""

    scheme = "azurekms"
    needs = "securesystemslib azure-identity azure-keyvault-keys"

    @classmethod
    def _import(cls, location: str, secret: Callable[[str], str]) -> _Imported:  # noqa: ARG003
        parts = urlsplit(location)
        vault, _, domain = (parts.hostname or "").partition(".")
        words = parts.path.strip("/").split("/")
        if domain != "vault.azure.net" or words[0] != "keys" or len(words) not in {2, 3}:
            message = f"azurekms:{location} names no key of a vault"
            raise UsageError(message, hint="azurekms://VAULT.vault.azure.net/keys/NAME")
        found: _Imported = _library().AzureSigner.import_(vault, words[1])
        return found


class VaultSigner(DeviceSigner):
    """HashiCorp Vault's transit engine: `hv:NAME[/VERSION]`; VAULT_ADDR and VAULT_TOKEN say where.

    The library supports Ed25519 keys there.
    """

    scheme = "hv"
    needs = "securesystemslib hvac"

    @classmethod
    def _import(cls, location: str, secret: Callable[[str], str]) -> _Imported:  # noqa: ARG003
        found: _Imported = _library().VaultSigner.import_(location.partition("/")[0])
        return found


class TKeySigner(DeviceSigner):
    """A Tillitis TKey: `tkey:[DEVICE]?digest=HEX[&passphrase=true]`; it signs ML-DSA-44."""

    scheme = "tkey"
    needs = "securesystemslib keylet"

    @classmethod
    def _import(cls, location: str, secret: Callable[[str], str]) -> _Imported:
        device, _, query = location.partition("?")
        told = parse_qs(query)
        passphrase = secret("passphrase") if told.get("passphrase") == ["true"] else None
        digest = told.get("digest", [None])[0]
        found: _Imported = _library().TKeySigner.import_(digest, device or None, passphrase)
        return found

    @staticmethod
    def _is_same(uri: str, found: str) -> bool:
        # The device answers with seven digits of its program's digest, however many were asked for.
        return bool(uri and found)


class PlainFileSigner(KeyFileSigner):
    """A key file by securesystemslib's name for it: read with the same care as `file:`."""

    scheme: ClassVar[str] = "file2"

    @classmethod
    def open(cls, location: str, access: KeyAccess) -> Self:
        """Read a private key; CRYPTO_SIGNER_PATH_PREFIX is put before the path as the library does.

        Raises:
            PathNotFoundError, UnsafeKeyFileError, SigningError: as `KeyFileSigner.open`.
        """
        return super().open(
            os.path.join(os.environ.get("CRYPTO_SIGNER_PATH_PREFIX", ""), location), access
        )


class _Secret:
    """Hands out a device's PIN: from the environment, else from a person, asked once."""

    def __init__(self, uri: str, access: KeyAccess) -> None:
        self._uri = uri
        self._ask = access.ask_passphrase
        self._told = take_passphrase()

    def __call__(self, what: str) -> str:
        if self._told is None and self._ask:
            self._told = self._ask(self._uri)
        if not self._told:
            message = f"{self._uri} needs a {what}, and none was given"
            hint = f"put it into {PASSPHRASE_VARIABLE}, or run in a terminal to be asked"
            raise SigningError(message, hint=hint)
        return self._told


def _library() -> Any:  # noqa: ANN401 - its package does not declare what it exports
    return import_module("securesystemslib.signer")


@contextmanager
def _coded(uri: str, needs: str) -> Iterator[None]:
    """Turn what libraries and drivers raise into one error with a code."""
    try:
        yield
    except ImportError as error:
        raise _missing(uri, needs) from error
    except (ValueError, TypeError, LookupError, OSError, RuntimeError) as error:
        raise _failed(uri, error) from error
    except _driver_failures() as error:
        if type(error).__name__ == "UnsupportedLibraryError":
            raise _missing(uri, needs) from error
        raise _failed(uri, error) from error


def _driver_failures() -> tuple[type[BaseException], ...]:
    modules = ((sys.modules.get(module), name) for module, name in _FAILURES)
    return tuple(getattr(m, name) for m, name in modules if m is not None and hasattr(m, name))


def _missing(uri: str, needs: str) -> SigningError:
    message = f"the libraries that sign with {uri.partition(':')[0]}: keys are not installed"
    return SigningError(message, hint=f"pip install {needs}")


def _failed(uri: str, error: BaseException) -> SigningError:
    # Drivers of tokens raise errors without a text: the class is what they say.
    return SigningError(f"{uri} did not sign: {str(error) or type(error).__name__}")
