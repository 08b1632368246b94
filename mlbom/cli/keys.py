"""`mlbom keys`: make a signing key pair, show the public half of one, or replace one."""

import argparse
import json
import re
import time
from getpass import getpass
from pathlib import Path

from mlbom.attest.moment import timestamp
from mlbom.attest.publickey import KeyType, parse_public_key
from mlbom.cli.main import Parser
from mlbom.cli.signing import key_access
from mlbom.config import find_project_root
from mlbom.errors import UsageError
from mlbom.sign.keyfile import take_passphrase
from mlbom.sign.newkey import KEY_NAMES, LOST_VERIFIERS, KeyPaths, default_key_paths, make_key
from mlbom.sign.rotate import Rotation, is_encrypted, rotate_key
from mlbom.sign.signer import open_signer
from mlbom.status import ExitStatus

_PLAIN = re.compile(r"[A-Za-z][\w-]*")


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = Parser(prog=prog, description="Make a signing key, show one, or replace one.")
    actions = parser.add_subparsers(dest="action", required=True, parser_class=Parser)
    new = actions.add_parser("new", help="make a key pair; nothing is ever overwritten")
    show = actions.add_parser("show", help="print the public half of a key, by file or URI")
    rotate = actions.add_parser(
        "rotate", help="make a new pair under the same name; the old one is kept beside it"
    )
    for action in (new, show, rotate):
        add = action.add_argument
        add("path", nargs="?", metavar="FILE", help="private half (default: your own key)")
        add("--debug", action="store_true", help=argparse.SUPPRESS)
    for action, default in ((new, "p256"), (rotate, None)):
        add = action.add_argument
        told = "default: p256" if default else "default: as the old key"
        add("--type", choices=tuple(KEY_NAMES), default=default, help=told)
        add("--encrypt", action="store_true", help="protect the new key by a passphrase")
    return parser


def main(options: argparse.Namespace) -> int:
    """Run the chosen action."""
    paths = KeyPaths.of(Path(options.path)) if options.path else default_key_paths()
    if options.action == "show":
        return _show(options.path or str(paths.private), paths.public)
    return _new(options, paths) if options.action == "new" else _rotate(options, paths)


def _new(options: argparse.Namespace, paths: KeyPaths) -> int:
    key_type = KEY_NAMES[options.type]
    passphrase = _new_passphrase() if options.encrypt else ""
    public = make_key(paths, key_type, passphrase=passphrase, forbidden=_forbidden(paths))
    print(f"private key  {paths.private} (keep it secret)")
    print(f"public key   {paths.public} (give it to whoever verifies)")
    print(f"fingerprint  {public.hint}")
    _print_lost(key_type)
    return ExitStatus.DONE


def _rotate(options: argparse.Namespace, paths: KeyPaths) -> int:
    access = key_access(*_forbidden(paths))
    encrypts = options.encrypt or is_encrypted(paths, access.forbidden)
    passphrase = _new_passphrase() if encrypts else ""
    key_type = KEY_NAMES[options.type] if options.type else None
    done = rotate_key(paths, access, key_type, passphrase)
    print(f"private key  {paths.private} (keep it secret)")
    print(f"public key   {paths.public} (give it to whoever verifies)")
    print(f"fingerprint  {done.new.hint}")
    print(f"old key      {done.kept.private} and {done.kept.public.name}")
    _print_lost(done.new.key_type)
    print("\nfor the policy of whoever verifies (the hour is this machine's):\n")
    print(_policy_snippet(paths, done), end="")
    return ExitStatus.DONE


def _policy_snippet(paths: KeyPaths, done: Rotation) -> str:
    """Return the two keys as a policy names them: each counts in its own window."""
    now = timestamp(int(time.time()))
    name = paths.private.stem
    return (
        "keys:\n"
        f"  {_yaml(name)}: {{file: {_yaml(paths.public.name)}, since: {now}}}\n"
        f"  {_yaml(f'{name}-{done.old.hint[:8]}')}: "
        f"{{file: {_yaml(done.kept.public.name)}, until: {now}}}\n"
    )


def _yaml(text: str) -> str:
    """Return a text as YAML takes it: plain where that is safe, else as JSON writes it."""
    is_plain = _PLAIN.fullmatch(text.replace(".", "-")) and text.lower() not in {"null", "true"}
    return text if is_plain else json.dumps(text)


def _forbidden(paths: KeyPaths) -> tuple[Path, ...]:
    root = find_project_root(paths.private.absolute().parent)
    return (root,) if (root / ".git").exists() else ()


def _print_lost(key_type: KeyType) -> None:
    for lost in LOST_VERIFIERS[key_type]:
        print(f"note         {lost} cannot check signatures of {key_type} keys")


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


def _show(uri: str, beside: Path) -> int:
    """Print a public half: the file beside a key file, else what the key itself tells."""
    if beside.is_file():
        public = parse_public_key(beside.read_bytes(), str(beside))
    else:
        public = open_signer(uri, key_access()).public_key
    print(public.pem.decode(), end="")
    print(f"fingerprint  {public.hint}")
    return ExitStatus.DONE
