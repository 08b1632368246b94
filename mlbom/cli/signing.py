"""Which key a command signs with: the one named, none, or the user's own, made at first use."""

import argparse
import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from mlbom.config import Settings
from mlbom.errors import KeyChoiceError
from mlbom.sign.newkey import default_key_paths, make_key
from mlbom.sign.signer import KEYLESS, KeyAccess, Signer, open_signer
from mlbom.sign.timestamp import AuthorityTimestamper, CarriedTimestamp

TIMESTAMP_HELP = "have signatures timestamped (RFC 3161) by the authority at this https URL"


def add_key_options(group: argparse._ActionsContainer) -> None:
    """Add `--key URI` and `--keyless`, which are two ways to say one thing."""
    group.add_argument("--key", metavar="URI", help="sign with this key: a file, hsm:, gcpkms: ...")
    group.add_argument(
        "--keyless",
        dest="key",
        action="store_const",
        const=KEYLESS,
        help="sign with this machine's OIDC identity, through Sigstore (network)",
    )


def configured_key(settings: Settings, root: Path) -> str:
    """Return the URI of the key; a path in a file is relative to that file."""
    key = settings.text("key")
    place = settings.base("key", root) / key
    return str(place) if key and place.is_file() else key


def authority(url: str | None) -> AuthorityTimestamper | None:
    """Return who timestamps signatures, for commands that sign several statements.

    Raises:
        UsageError: no URL of an authority.
    """
    return AuthorityTimestamper(url) if url else None


def timestamper(told: str | None) -> AuthorityTimestamper | CarriedTimestamp | None:
    """Return where the timestamp comes from: a URL, or a file that somebody carries.

    Raises:
        UsageError: a URL that is not asked, or the name of a query.
    """
    if told and "://" not in told:
        path = Path(told)
        return CarriedTimestamp(path.parent.resolve() / path.name)
    return authority(told)


def choose_signer(
    key: str, project_root: Path, environment: Mapping[str, str] = os.environ
) -> Signer:
    """Return the signer of a key URI, or of the user's default key when none is given.

    Raises:
        KeyChoiceError: no key is given, and under CI none is made.
        UnsafeKeyFileError, SigningError, PathNotFoundError: the key cannot be used.
    """
    access = key_access(project_root)
    if key:
        return open_signer(key, access)
    if environment.get("CI"):
        message = "under CI mlbom needs to be told how to sign"
        raise KeyChoiceError(message, looked=["--key", "MLBOM_KEY", "the setting `key`"])
    paths = default_key_paths()
    if not paths.private.exists():
        public = make_key(paths, forbidden=access.forbidden)
        told = f"made your signing key; its public half is {paths.public}"
        print(f"{told}\nfingerprint: {public.hint}", file=sys.stderr)
    return open_signer(str(paths.private), access)


def key_access(*forbidden: Path) -> KeyAccess:
    """Return where keys may not lie, and how a person is asked for a passphrase."""
    ask = _ask if sys.stdin and sys.stdin.isatty() else None
    return KeyAccess(forbidden=forbidden, ask_passphrase=ask)


def _ask(what: str) -> str | None:
    try:
        return getpass.getpass(f"passphrase of {what}: ", stream=sys.stderr) or None
    except EOFError:
        return None
