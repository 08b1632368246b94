"""Which key a command signs with: the one named, none, or the user's own, made at first use."""

import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from mlbom.errors import KeyChoiceError
from mlbom.sign.newkey import default_key_paths, make_key
from mlbom.sign.signer import KeyAccess, Signer, open_signer


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
