"""`mlbom policy`: check, sign or compile a policy; withdraw releases."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from mlbom.attest.moment import parse_timestamp, timestamp
from mlbom.cli.main import Parser
from mlbom.cli.signing import key_access
from mlbom.config import find_repository
from mlbom.errors import MalformedError, OutputError, UsageError
from mlbom.outdir import replace_file
from mlbom.pipeline.policy import compile_policy, sign_policy, withdraw
from mlbom.sign.signer import Signer, open_signer
from mlbom.status import ExitStatus
from mlbom.verify.policy.file import read_policy, read_signed_policy
from mlbom.verify.policy.values import ROLES, Policy
from mlbom.verify.signers.trust import read_public_key


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = Parser(prog=prog, description="Policies: what a release must fulfil to be trusted.")
    actions = parser.add_subparsers(dest="action", required=True, parser_class=Parser)
    check = actions.add_parser("check", help="read a policy and tell what is wrong with it")
    check.add_argument("policy", metavar="FILE")
    check.add_argument("--policy-key", metavar="PUB", help="demand its owner's signature")
    sign = actions.add_parser("sign", help="vouch for a policy: writes FILE.sigstore.json")
    sign.add_argument("policy", metavar="FILE")
    make = actions.add_parser("compile", help="write the classic layout for in-toto-verify")
    make.add_argument("policy", metavar="FILE")
    make.add_argument("--expires", required=True, metavar="DATE", help="2027-01-31, or RFC 3339")
    make.add_argument("-o", "--output", default="root.layout", metavar="FILE", help="or - (stdout)")
    drop = actions.add_parser("withdraw", help="write a signed withdrawal that policies read")
    drop.add_argument(
        "release", nargs="+", metavar="RELEASE", help="folder, manifest or its digest"
    )
    drop.add_argument("--why", required=True, metavar="TEXT", help="the reason, one line")
    drop.add_argument("-o", "--output", required=True, metavar="FILE", help="or - (stdout)")
    for action in (sign, make, drop):
        action.add_argument("--key", required=True, metavar="URI", help="the owner's private key")
    for action in (check, sign, make, drop):
        action.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(options: argparse.Namespace) -> int:
    """Run the chosen action."""
    actions: Mapping[str, Callable[[argparse.Namespace], None]] = {
        "check": _check,
        "sign": _sign,
        "compile": _compile,
        "withdraw": _withdraw,
    }
    actions[options.action](options)
    return ExitStatus.DONE


def _check(options: argparse.Namespace) -> None:
    path = Path(options.policy)
    if options.policy_key:
        owner = read_public_key(options.policy_key)
        policy = read_signed_policy(path, (owner,))
        print(f"signed by   {owner.hint}")
    else:
        policy = read_policy(path)
    print("\n".join(_summary(policy)))


def _summary(policy: Policy) -> list[str]:
    signers = [
        f"signer      {s.name} ({', '.join(r for r in ROLES if r in s.roles)}): "
        + (s.key.hint if s.key else f"{s.identity.subject}" if s.identity else "")
        for s in policy.signers
    ]
    steps = [
        f"step        {rule.name}: {'required' if rule.required else 'checked when it is there'}"
        f", {rule.threshold} of its signers"
        for rule in policy.steps.values()
    ]
    withdrawn = [f"withdrawn   {what}: {why}" for what, why in policy.withdrawn.items()]
    return [f"model       {policy.model or 'any'}", *signers, *steps, *withdrawn, "valid"]


def _sign(options: argparse.Namespace) -> None:
    path = Path(options.policy)
    place, data = sign_policy(path, _signer(options, path))
    _write(str(place), data)
    print(f"wrote {place}", file=sys.stderr)


def _compile(options: argparse.Namespace) -> None:
    path = Path(options.policy)
    expires = _moment(options.expires)
    compiled = compile_policy(read_policy(path), expires, _signer(options, path))
    _write(options.output, compiled.data)
    for remark in compiled.remarks:
        print(f"remark: {remark}", file=sys.stderr)
    print(f"wrote {options.output}, valid until {timestamp(expires)}", file=sys.stderr)


def _withdraw(options: argparse.Namespace) -> None:
    signer = _signer(options, Path(options.output))
    _write(options.output, withdraw(options.release, options.why, signer))
    print(f"wrote {options.output}: name it under `withdrawals` in a policy", file=sys.stderr)


def _signer(options: argparse.Namespace, path: Path) -> Signer:
    repository = find_repository(path.absolute().parent)
    return open_signer(options.key, key_access(*([repository] if repository else [])))


def _moment(text: str) -> int:
    """Return a date (its midnight, UTC) or a time with a zone as seconds since 1970."""
    try:
        told = parse_timestamp(text if "T" in text else f"{text}T00:00:00Z")
    except MalformedError as error:
        message = f"--expires takes a date such as 2027-01-31, not {text!r}"
        raise UsageError(message) from error
    if told <= time.time():
        now = datetime.now(UTC).strftime("%Y-%m-%d")
        message = f"--expires {text} lies in the past: it is {now}"
        raise UsageError(message)
    return told


def _write(name: str, data: bytes) -> None:
    """Write a file whole, or standard output for `-`."""
    if name == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        replace_file(Path(name), data)
    except OSError as error:
        message = f"cannot write {name}: {error.strerror or error}"
        raise OutputError(message) from error
