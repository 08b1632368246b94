"""`mlbom reproduce`: re-train from a clean clone, compare, name the first difference, attest it."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlbom.cli.main import Parser, shown
from mlbom.cli.signing import add_key_options, choose_signer, configured_key
from mlbom.config import Settings, find_project_root, load_settings
from mlbom.errors import ConfigurationError, ConsentError, PathNotFoundError, UsageError
from mlbom.pipeline.reproduction.consent import has_consented, remember_consent
from mlbom.pipeline.reproduction.prepare import Prepared, prepare
from mlbom.pipeline.reproduction.reproduce import reproduce
from mlbom.pipeline.reproduction.request import LEAST_RUNS, Mode, ReproduceRequest, ReproduceResult
from mlbom.render.reproduction.report import reproduction_report
from mlbom.render.reproduction.summary import summary_lines
from mlbom.reproduce.values import LADDER, Level
from mlbom.status import ExitStatus

_MOST_COUNT = 1_000_000_000


class _Parser(Parser):
    """Takes everything after `--` as the command, whatever it looks like."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]  # noqa: ANN401 - argparse's own signature
        """Return the options, with the command in `command`."""
        words = list(args or ())
        at = words.index("--") if "--" in words else len(words)
        options = super().parse_args(words[:at], namespace)
        options.command = words[at + 1 :]
        if at < len(words) and not options.command:
            self.error("no command after --")
        return options


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = _Parser(
        prog=prog,
        usage=f"{prog} [RUN] [options] [-- CMD ...]",
        description="Re-train from a clean clone, compare step by step and tensor by tensor, name "
        "the first difference, sign the verdict. Runs the project's own code.",
        epilog="example: mlbom reproduce train --mode pin-env --yes",
    )
    add = parser.add_argument
    add("run", nargs="?", default="", metavar="RUN", help="a recorded run: id, step name or file")
    required = [level.value for level in LADDER]
    default = Level.EXACT_WEIGHTS.value
    add(
        "--require", choices=required, default=default, help=f"below it exit 1 (default: {default})"
    )
    modes = [mode.value for mode in Mode]
    add("--mode", choices=modes, default=modes[0], help="as-is sets nothing (default); pin-env "
        "sets numeric variables; deterministic also asks torch for deterministic ops")  # fmt: skip
    add("--runs", type=_count, default=LEAST_RUNS, metavar="N", help="how often (default: 2)")
    add("--inject-seed", type=_seed, metavar="N", help="seed what nobody seeds")
    add("--steps", type=_count, default=0, metavar="N", help="stop after N optimizer steps")
    add("--from-checkpoint", metavar="P", help="replay a segment: CMD resumes from this file; "
        "{checkpoint} in CMD stands for it")  # fmt: skip
    add("--device", default="", metavar="D", help="cpu, cuda or cuda:N (default: CMD's choice)")
    add("--control", action="store_true", help="also make a run that must be told apart")
    add("--vary", action="store_true", help="vary path, locale, threads, ... one at a time")
    add("--input", action="append", default=[], metavar="P", help="an untracked file it reads")
    add("--python", metavar="EXE", help="the interpreter to train with (default: on the PATH)")
    add("--timeout", type=_seconds, metavar="S", help="seconds for each run (default: 10 times the "
        "recorded time)")  # fmt: skip
    add("--allow-env-mismatch", action="store_true", help="another environment may decide too")
    add("--report", metavar="FILE", help="write what was found as one HTML file")
    add("--format", choices=("human", "json"), default="human", help="default: human")
    add("--yes", action="store_const", const=True, help="run the project's code without asking")
    signing = parser.add_mutually_exclusive_group()
    add_key_options(signing)
    signing.add_argument("--no-sign", action="store_true", help="sign nothing")
    add("-q", "--quiet", action="store_true", help="print the verdict only")
    add("--debug", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(options: argparse.Namespace) -> int:
    """Run the command."""
    cwd = Path.cwd().resolve()
    root = find_project_root(cwd).resolve()
    settings = load_settings(
        root, {"key": options.key, "yes": options.yes, "python": options.python}
    )
    request = _request(options, settings, root, cwd)
    report = _report_place(options.report)
    prepared = prepare(request)
    _ask_consent(settings, root, prepared)
    signer = None if options.no_sign else choose_signer(configured_key(settings, root), root)
    tell = _silent if options.quiet else _tell
    result = reproduce(request, prepared, signer, tell)
    _print(result, options)
    if report:
        report.write_bytes(reproduction_report(result.details))
    if result.failure:
        raise result.failure
    return _status(result)


def _request(
    options: argparse.Namespace, settings: Settings, root: Path, cwd: Path
) -> ReproduceRequest:
    if options.from_checkpoint and not options.command:
        message = "--from-checkpoint needs the command that resumes from it"
        raise UsageError(
            message, hint="mlbom reproduce RUN --from-checkpoint P -- CMD {checkpoint}"
        )
    python = settings.text("python")
    key = Path(configured_key(settings, root).removeprefix("file:"))
    return ReproduceRequest(
        project_root=root,
        cwd=cwd,
        release=root / settings.text("output"),
        run=options.run,
        command=tuple(options.command),
        required=Level(options.require),
        mode=Mode(options.mode),
        runs=options.runs,
        inject_seed=options.inject_seed,
        steps=options.steps,
        checkpoint=cwd / options.from_checkpoint if options.from_checkpoint else None,
        device=_device(options.device),
        has_control=options.control,
        varies=options.vary,
        inputs=tuple(cwd / place for place in options.input),
        hidden=(key.absolute(),) if key.is_file() else (),
        python=settings.base("python", root) / python if python else None,
        timeout_s=options.timeout,
        allows_mismatch=options.allow_env_mismatch,
    )


def _count(text: str) -> int:
    return _whole(text, 1, _MOST_COUNT)


def _seed(text: str) -> int:
    return _whole(text, 0, 2**32 - 1)


def _whole(text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        message = f"takes a whole number from {least} to {most}, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        message = f"takes seconds above 0, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return value


def _device(text: str) -> str:
    kind, _, index = text.partition(":")
    if text and (kind not in ("cpu", "cuda") or (":" in text and not index.isdecimal())):
        message = f"--device takes cpu, cuda or cuda:N, not {text!r}"
        raise UsageError(message, hint="--device cuda:0 shows the training one GPU, cpu none")
    return text


def _report_place(told: str | None) -> Path | None:
    if told is None:
        return None
    path = Path(told)
    if not path.absolute().parent.is_dir():
        message = f"no folder for the report: {path.parent}"
        raise PathNotFoundError(message)
    return path


def _ask_consent(settings: Settings, root: Path, prepared: Prepared) -> None:
    """Ask once for each project whether its code may be run.

    Raises:
        ConfigurationError: the project's own file consents.
        ConsentError: nobody consents.
    """
    if settings.is_from_file("yes"):
        message = f"{settings.origins['yes']} says yes: no project consents to its own code"
        raise ConfigurationError(message, hint="mlbom reproduce --yes, or MLBOM_YES=1")
    is_known = has_consented(root) and not prepared.is_foreign
    if settings.flag("yes") or is_known:
        return
    what = " ".join(prepared.plan.command)
    if not (sys.stdin and sys.stdin.isatty()):
        message = f"reproduce would run the project's code: {what}"
        raise ConsentError(message)
    print(f"reproduce runs the code of {shown(str(root))}:\n  {shown(what)}", file=sys.stderr)
    print("in a sandbox that is no wall against code that wants to do harm.", file=sys.stderr)
    when = "this once" if prepared.is_foreign else "now and from now on"
    print(f"Run it, {when}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        message = "not run: no consent"
        raise ConsentError(message)
    if not prepared.is_foreign:
        remember_consent(root)


def _tell(line: str) -> None:
    print(shown(line), file=sys.stderr, flush=True)


def _silent(_: str) -> None:
    """Say nothing."""


def _print(result: ReproduceResult, options: argparse.Namespace) -> None:
    if options.format == "json":
        print(json.dumps(result.details, indent=2))
    else:
        told = summary_lines(result.details)
        print("\n".join(told[:1] if options.quiet else told))
    if options.quiet:
        return
    places = [f"kept in {os.path.relpath(result.folder)}"]
    places += [f"report: {options.report}"] if options.report else []
    places += [f"not signed: {result.untold}"] if result.untold else []
    places += [f"signed by {result.signer}: {os.path.relpath(path)}" for path in result.bundles]
    print("\n".join(shown(place) for place in places), file=sys.stderr)


def _status(result: ReproduceResult) -> int:
    if result.judgement.level is Level.INCONCLUSIVE:
        return ExitStatus.INCOMPLETE
    return ExitStatus.DONE if result.judgement.is_met else ExitStatus.FINDINGS
