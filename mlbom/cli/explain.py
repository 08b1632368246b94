"""`mlbom explain CODE`: what an error code or a verification rule means."""

import argparse
import difflib
import inspect
from collections.abc import Iterator

from mlbom import errors
from mlbom.cli.main import Parser
from mlbom.errors import MlbomError, UsageError
from mlbom.status import ExitStatus
from mlbom.verify.rules import RULES


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = Parser(prog=prog, description="Say what an error code or a rule of verify means.")
    parser.add_argument("code", nargs="?", help="for example E0103 or digest-mismatch")
    return parser


def main(options: argparse.Namespace) -> int:
    """Print the page of one code, or the list of all."""
    pages = _pages()
    if not options.code:
        for code, page in pages.items():
            print(f"{code}  {page.splitlines()[0]}")
        return ExitStatus.DONE
    wanted = options.code.strip()
    code = wanted.upper() if wanted.upper() in pages else wanted.lower()
    if code not in pages:
        near = difflib.get_close_matches(wanted, pages, n=1)
        message = f"there is no code {wanted!r}"
        hint = f"did you mean {near[0]!r}?" if near else "mlbom explain lists all codes"
        raise UsageError(message, hint=hint)
    print(f"{code}: {pages[code]}")
    return ExitStatus.DONE


def _pages() -> dict[str, str]:
    errors = {e.code: inspect.getdoc(e) or "" for e in sorted(all_errors(), key=lambda e: e.code)}
    statuses = {e.code: int(e.status) for e in all_errors()}
    pages = {
        code: f"{page.split('Args:')[0].rstrip()}\n\nExit status: {statuses[code]}"
        for code, page in errors.items()
    }
    rules = {
        rule.id: f"{rule.title}\n\n{rule.text}\n\nExit status: {int(rule.status)}" for rule in RULES
    }
    return {**pages, **rules}


def all_errors(root: type[MlbomError] = MlbomError) -> Iterator[type[MlbomError]]:
    """Yield every error class of `mlbom.errors`, parents before children."""
    yield root
    for child in root.__subclasses__():
        if child.__module__.startswith(f"{errors.__name__}."):
            yield from all_errors(child)
