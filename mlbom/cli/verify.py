"""`mlbom verify`: is this the release that a trusted key signed, byte for byte?"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from mlbom.cli.main import Parser
from mlbom.cli.signing import choose_signer
from mlbom.cli.trust import Chosen, add_trust_options, chosen_policy
from mlbom.config import find_project_root
from mlbom.errors import UsageError
from mlbom.pipeline.verdict import attest_verdict, basis
from mlbom.pipeline.verify import Asked, check_place, is_release, verdict_sarif, verify
from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify.memory import default_state_path
from mlbom.verify.policy.values import ROLES
from mlbom.verify.report import lines, verdict_document
from mlbom.verify.signers.trust import Trust
from mlbom.verify.verdict import Verdict


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog=prog,
        description="Check a release: signatures, digests, chain. Trusts only whom you name.",
        epilog="example: mlbom verify mlbom-out --key publisher.pub",
    )
    add = parser.add_argument
    place = "a release directory, a ZIP file of one, or a single bundle (default: mlbom-out)"
    add("release", nargs="?", default="mlbom-out", metavar="DIR|ZIP|BUNDLE", help=place)
    add("--root", metavar="DIR", help="the project or the model root (default: DIR's parent)")
    add_trust_options(parser)
    add("--check-data", action="append", default=[], metavar="NAME=DIR", help="re-hash a dataset")
    add("--state", metavar="FILE", help="memory of earlier releases (default: your state folder)")
    add("--attest", action="store_true", help="sign the verdict, into .mlbom/attestations")
    add("--attest-key", default="", metavar="URI", help="with this key (default: your own)")
    add("--copy-to", metavar="DIR", help="hand over the verified files as a new folder")
    add("--rerender", action="store_true", help="render again from the evidence and compare")
    add("--allow-incomplete", action="store_true", help="0 although something could not be told")
    add("--format", choices=("human", "json", "sarif"), default="human", help="default: human")
    add("-q", "--quiet", action="store_true", help="print the verdict only")
    add("--debug", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(options: argparse.Namespace) -> int:
    """Run the command."""
    place = Path(options.release)
    check_place(place)
    signer = _verifier(place, options)
    chosen = chosen_policy(options)
    trust = Trust(chosen.policy)
    asked = Asked(
        root=Path(options.root) if options.root else None,
        check_data=_datasets(options.check_data),
        rerender=options.rerender,
        state=Path(options.state) if options.state else default_state_path(),
        state_named=bool(options.state),
        signer_named=chosen.file is not None,
        added=frozenset(signer.material for signer in chosen.added),
        copy_to=Path(options.copy_to) if options.copy_to else None,
    )
    verdict = verify(place, trust, asked)
    _print(verdict, options)
    _tell_how_to_trust(verdict)
    if signer:
        _attest(verdict, chosen, trust.now, signer, place)
    if verdict.status is ExitStatus.INCOMPLETE and options.allow_incomplete:
        return ExitStatus.DONE
    return verdict.status


def _tell_how_to_trust(verdict: Verdict) -> None:
    if any(problem.rule == "untrusted-signer" for problem in verdict.problems):
        hint = (
            "hint: a signer that you did not name: get its public key from whoever should hold it, "
            f"then --key ROLE=PUB (roles: {', '.join(ROLES)})"
        )
        print(hint, file=sys.stderr)


def _verifier(place: Path, options: argparse.Namespace) -> Signer | None:
    """Return who signs the verdict, when it is to be signed."""
    if not options.attest:
        return None
    if not is_release(place):
        message = "--attest signs a verdict about a release, not about a single bundle"
        raise UsageError(message)
    return choose_signer(options.attest_key, _project_of(place))


def _attest(verdict: Verdict, chosen: Chosen, now: int, signer: Signer, place: Path) -> None:
    held_against = basis(chosen.file, chosen.added)
    written = attest_verdict(verdict, held_against, now, signer, _project_of(place))
    print(f"signed verdict: {written}", file=sys.stderr)


def _project_of(place: Path) -> Path:
    return find_project_root(place.absolute().parent)


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
        quiet = ("model root", "problem ", "remark ", "skipped", "copied to", "verdict")
        told = [t for t in lines(verdict) if not options.quiet or t.startswith(quiet)]
        print("\n".join(told))
