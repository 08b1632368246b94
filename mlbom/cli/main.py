"""The command line's frame: commands by name, one place where errors become exit codes."""

import argparse
import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from mlbom import __version__
from mlbom.errors import EnvironmentFailureError, MlbomError
from mlbom.status import ExitStatus

# Command -> (module that builds its parser and runs it, what it does). A module is imported when
# its command is chosen, so that --help imports the standard library only.
COMMANDS = {
    "run": ("mlbom.cli.run", "run one step and record what it read, wrote and ran on"),
    "generate": ("mlbom.cli.generate", "inspect a project; write BOM, card, report, signed"),
    "verify": ("mlbom.cli.verify", "check a release: signatures, digests, chain"),
    "reproduce": ("mlbom.cli.reproduce", "re-train, compare, name the first difference, attest it"),
    "tensors": ("mlbom.cli.tensors", "compare two files of weights"),
    "policy": ("mlbom.cli.policy", "check, sign or compile a policy; withdraw a release"),
    "sign": ("mlbom.cli.sign", "sign every file of a model (OpenSSF Model Signing)"),
    "keys": ("mlbom.cli.keys", "make a signing key, show one, or replace one"),
    "explain": ("mlbom.cli.explain", "say what an error code or a rule means"),
    "config": ("mlbom.cli.config", "print every setting and where it came from"),
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors look like every other error of mlbom."""

    def error(self, message: str) -> NoReturn:
        """Print the error with the nearest known name, and exit with 2."""
        print(f"error[E0100]: {message}", file=sys.stderr)
        print(f"hint: {self.prog} --help", file=sys.stderr)
        raise SystemExit(ExitStatus.USAGE)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    # One run makes many long-lived objects and few cycles: looking for cycles at Python's default
    # pace costs a tenth of the whole run.
    gc.set_threshold(100_000, 50, 50)
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = _frame()
    if not words or words[0].startswith("-"):
        parser.parse_args(words)
        parser.print_help(sys.stderr)
        return ExitStatus.USAGE
    if words[0] not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(words[0], COMMANDS, n=1)
        print(f"error[E0100]: unknown command {words[0]!r}", file=sys.stderr)
        hint = f"did you mean {near[0]!r}?" if near else "mlbom --help lists the commands"
        print(f"hint: {hint}", file=sys.stderr)
        return ExitStatus.USAGE
    command = import_module(COMMANDS[words[0]][0])
    options = command.build_parser(f"mlbom {words[0]}").parse_args(words[1:])
    return _guarded(command.main, options)


def _frame() -> Parser:
    width = max(len(name) for name in COMMANDS)
    listed = "\n".join(f"  {name:<{width}}  {what}" for name, (_, what) in COMMANDS.items())
    parser = Parser(
        prog="mlbom",
        usage="mlbom COMMAND [options]",
        description="Signed provenance, ML-BOM and model card for machine-learning projects.",
        epilog=f"commands:\n{listed}\n\nmlbom COMMAND --help tells more about one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mlbom {__version__}")
    return parser


def _guarded(main, options: argparse.Namespace) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Run a command; the one place where an exception becomes a message and an exit code."""
    if getattr(options, "debug", False):
        import logging

        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    try:
        status: int = main(options)
    except MlbomError as error:
        _trace(options)
        print_error(error)
        return error.status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return ExitStatus.ENVIRONMENT
    except OSError as error:
        _trace(options)
        place = f": {error.filename}" if isinstance(error.filename, str) else ""
        print_error(EnvironmentFailureError(f"{error.strerror or error}{place}"))
        return EnvironmentFailureError.status
    return status


def _trace(options: argparse.Namespace) -> None:
    if getattr(options, "debug", False):
        import traceback

        traceback.print_exc()


def print_error(error: MlbomError) -> None:
    """Print an error on stderr: what, where mlbom looked, and what to do."""
    print(f"error[{error.code}]: {shown(error.message)}", file=sys.stderr)
    if error.looked:
        print("looked in: " + shown("; ".join(error.looked)), file=sys.stderr)
    if error.hint:
        print(f"hint: {shown(error.hint)}", file=sys.stderr)
    print(f"more: mlbom explain {error.code}", file=sys.stderr)


def shown(text: str) -> str:
    """Return text fit for one line of a terminal: no secret, no control character."""
    from mlbom import guard

    return guard.printable(guard.clean_text(text))
