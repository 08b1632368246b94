"""`mlbom keys`: make a signing key pair, or show the public half of one."""

import argparse
from getpass import getpass
from pathlib import Path

from mlbom.attest.publickey import parse_public_key
from mlbom.cli.main import Parser
from mlbom.cli.signing import key_access
from mlbom.config import find_project_root
from mlbom.errors import UsageError
from mlbom.sign.keyfile import take_passphrase
from mlbom.sign.newkey import KEY_NAMES, LOST_VERIFIERS, KeyPaths, default_key_paths, make_key
from mlbom.sign.signer import open_signer
from mlbom.status import ExitStatus


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = Parser(prog=prog, description="Make a signing key, or show one.")
    actions = parser.add_subparsers(dest="action", required=True, parser_class=Parser)
    new = actions.add_parser("new", help="make a key pair; nothing is ever overwritten")
    new.add_argument("path", nargs="?", metavar="FILE", help="private half (default: your own key)")
    new.add_argument("--type", choices=tuple(KEY_NAMES), default="p256", help="default: p256")
    new.add_argument("--encrypt", action="store_true", help="protect it by a passphrase")
    show = actions.add_parser("show", help="print the public half of a key")
    show.add_argument(
        "path", nargs="?", metavar="FILE", help="private half (default: your own key)"
    )
    for action in (new, show):
        action.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(options: argparse.Namespace) -> int:
    """Run the chosen action."""
    paths = KeyPaths.of(Path(options.path)) if options.path else default_key_paths()
    return _new(options, paths) if options.action == "new" else _show(paths)


def _new(options: argparse.Namespace, paths: KeyPaths) -> int:
    key_type = KEY_NAMES[options.type]
    root = find_project_root(paths.private.absolute().parent)
    forbidden = (root,) if (root / ".git").exists() else ()
    passphrase = _new_passphrase() if options.encrypt else ""
    public = make_key(paths, key_type, passphrase=passphrase, forbidden=forbidden)
    print(f"private key  {paths.private} (keep it secret)")
    print(f"public key   {paths.public} (give it to whoever verifies)")
    print(f"fingerprint  {public.hint}")
    for lost in LOST_VERIFIERS[key_type]:
        print(f"note         {lost} cannot check signatures of {options.type} keys")
    return ExitStatus.DONE


def _new_passphrase() -> str:
    told = take_passphrase()
    passphrase = told if told is not None else getpass("new passphrase: ")
    if told is None and getpass("once more: ") != passphrase:
        message = "the two passphrases differ"
        raise UsageError(message, hint="nothing was written: run the command again")
    if not passphrase:
        message = "the passphrase is empty"
        raise UsageError(message, hint="leave out --encrypt to make a key without one")
    return passphrase


def _show(paths: KeyPaths) -> int:
    if paths.public.is_file():
        public = parse_public_key(paths.public.read_bytes(), str(paths.public))
    else:
        public = open_signer(str(paths.private), key_access()).public_key
    print(public.pem.decode(), end="")
    print(f"fingerprint  {public.hint}")
    return ExitStatus.DONE
