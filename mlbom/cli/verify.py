"""`mlbom verify`: is this the release that a trusted key signed, byte for byte?"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from mlbom.cli.main import Parser
from mlbom.errors import NoTrustedKeyError, PathNotFoundError, UsageError
from mlbom.outdir import MARK
from mlbom.pipeline.verify import verdict_sarif, verify
from mlbom.sign.newkey import default_key_paths
from mlbom.status import ExitStatus
from mlbom.verify.report import lines, verdict_document
from mlbom.verify.trust import TrustedKeys, read_trusted_keys
from mlbom.verify.verdict import Verdict


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog=prog,
        description="Check a release: signatures, digests, chain. Trusts only keys that you name.",
        epilog="example: mlbom verify mlbom-out --key publisher.pub",
    )
    add = parser.add_argument
    add("release", nargs="?", default="mlbom-out", metavar="DIR", help="default: mlbom-out")
    add("--root", metavar="DIR", help="the project or the model root (default: DIR's parent)")
    add("--key", action="append", metavar="[ROLE=]PUB", help="a public key to trust; repeatable")
    add("--check-data", action="append", default=[], metavar="NAME=DIR", help="re-hash a dataset")
    add("--rerender", action="store_true", help="render again from the evidence and compare")
    add("--allow-incomplete", action="store_true", help="0 although something could not be told")
    add("--format", choices=("human", "json", "sarif"), default="human", help="default: human")
    add("-q", "--quiet", action="store_true", help="print the verdict only")
    add("--debug", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(options: argparse.Namespace) -> int:
    """Run the command."""
    release = Path(options.release)
    if not (release / MARK).is_file():
        message = f"no release at {release}"
        looked = [f"{release.absolute()}/{MARK}"]
        hint = "name the directory that mlbom generate wrote, usually PATH/mlbom-out"
        raise PathNotFoundError(message, looked=looked, hint=hint)
    verdict = verify(
        release,
        Path(options.root) if options.root else None,
        _trust(options.key or []),
        check_data=_datasets(options.check_data),
        rerender=options.rerender,
    )
    _print(verdict, options)
    if verdict.status is ExitStatus.INCOMPLETE and options.allow_incomplete:
        return ExitStatus.DONE
    return verdict.status


def _trust(given: list[str]) -> TrustedKeys:
    """Return the keys that were named, or the user's own default key."""
    if given:
        return read_trusted_keys(given)
    public = default_key_paths().public
    if not public.is_file():
        message = "no key to trust: none was given, and you have no key of your own"
        raise NoTrustedKeyError(message, looked=[str(public)])
    print(f"no --key given: trusting your own key {public}", file=sys.stderr)
    return read_trusted_keys([str(public)])


def _datasets(given: list[str]) -> Mapping[str, Path]:
    named: dict[str, Path] = {}
    for option in given:
        name, separator, folder = option.partition("=")
        if not (name and separator and folder):
            message = f"--check-data takes NAME=DIR, not {option!r}"
            raise UsageError(message)
        named[name] = Path(folder)
    return named


def _print(verdict: Verdict, options: argparse.Namespace) -> None:
    if options.format == "json":
        print(json.dumps(verdict_document(verdict), indent=2, ensure_ascii=False))
    elif options.format == "sarif":
        sys.stdout.buffer.write(verdict_sarif(verdict))
    else:
        # Quiet leaves out what holds; problems, remarks and what was skipped are never left out.
        quiet = ("model root", "problem ", "remark ", "skipped", "verdict")
        told = [t for t in lines(verdict) if not options.quiet or t.startswith(quiet)]
        print("\n".join(told))
