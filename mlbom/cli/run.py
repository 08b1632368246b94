"""`mlbom run`: run one step unmodified, watch it, and sign what it read, wrote and ran on."""

import argparse
import re
import sys
from pathlib import Path

from mlbom.attest.run_claim import StepKind
from mlbom.cli.main import Parser, print_error, shown
from mlbom.cli.signing import (
    TIMESTAMP_HELP,
    add_key_options,
    authority,
    choose_signer,
    configured_key,
)
from mlbom.config import find_project_root, load_settings
from mlbom.errors import UsageError
from mlbom.pipeline.run import RunRequest, RunResult, run
from mlbom.record.observers.observing import CHOICES
from mlbom.record.probe import TraceLevel
from mlbom.status import ExitStatus
from mlbom.verify.verdict import counted

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")
# How many metrics, and how many things not observed, are told in the terminal.
_SHOWN = 8
# What a shell makes of a command that a signal ended.
_SIGNALLED = 128


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog=prog,
        usage=f"{prog} [options] -- CMD ...",
        description="Run one step unmodified and record what it read, wrote and ran on, signed.",
        epilog="example: mlbom run --name train --kind train -- python train.py --epochs 3",
    )
    add = parser.add_argument
    add("--name", metavar="STEP", help="name of the step (default: its kind)")
    add(
        "--kind",
        choices=[kind.value for kind in StepKind],
        help="what the step is for (default: the name, when it is one of these; else other)",
    )
    add("--input", action="append", default=[], metavar="P", help="a file or folder that it reads")
    add("--output", action="append", default=[], metavar="P", help="one that it writes")
    add(
        "--observe",
        choices=CHOICES,
        default=CHOICES[0],
        help="how its files are watched (default: the best that works here)",
    )
    add(
        "--trace",
        choices=[level.value for level in (TraceLevel.OFF, TraceLevel.STEP)],
        default=TraceLevel.OFF.value,
        help="write digests of every training step, so that `mlbom reproduce` can compare step by"
        " step (default: off; costs some 5 %% of the time, more for steps of a few milliseconds)",
    )
    add("--publish-names", action="store_const", const=True, help="name untracked inputs too")
    add("--export", metavar="FILE", help="write the record there too")
    signing = parser.add_mutually_exclusive_group()
    add_key_options(signing)
    signing.add_argument("--no-sign", action="store_true", help="sign nothing")
    add("--timestamp", metavar="URL", help=TIMESTAMP_HELP)
    add("-q", "--quiet", action="store_true", help="print nothing of our own but errors")
    add("--debug", action="store_true", help=argparse.SUPPRESS)
    add("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command, as it is")
    return parser


def main(options: argparse.Namespace) -> int:
    """Run the command."""
    argv = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not argv:
        message = "no command to run"
        raise UsageError(message, hint="mlbom run --name train -- python train.py")
    cwd = Path.cwd()
    root = find_project_root(cwd).resolve()
    flags = {"key": options.key, "publish-names": options.publish_names}
    settings = load_settings(root, flags)
    kind = _kind(options.kind, options.name)
    request = RunRequest(
        name=_name(options.name or kind.value),
        kind=kind,
        argv=tuple(argv),
        cwd=cwd,
        project_root=root,
        inputs=_places(cwd, options.input, must_exist=True),
        outputs=_places(cwd, options.output, must_exist=False),
        observe=options.observe,
        trace=TraceLevel(options.trace),
        publish_names=settings.flag("publish-names"),
        export=cwd / options.export if options.export else None,
    )
    stamp = authority(options.timestamp)
    signer = None if options.no_sign else choose_signer(configured_key(settings, root), root)
    result = run(request, signer, stamp)
    if not options.quiet:
        _print_result(result)
    status = _status(result)
    if result.failure is None:
        return status
    if status == ExitStatus.DONE:
        raise result.failure
    print_error(result.failure)
    return status


def _kind(kind: str | None, name: str | None) -> StepKind:
    if kind:
        return StepKind(kind)
    return StepKind(name) if name in set(StepKind) else StepKind.OTHER


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        message = f"{name!r} is no name of a step: letters, digits and . _ - only, at most 64"
        raise UsageError(message, hint="for example --name train")
    return name


def _places(cwd: Path, given: list[str], *, must_exist: bool) -> tuple[Path, ...]:
    places = tuple(cwd / place for place in given)
    missing = [place for place in places if must_exist and not place.exists()]
    if missing:
        message = f"declared input not found: {missing[0]}"
        raise UsageError(message, looked=[str(missing[0])])
    return places


def _status(result: RunResult) -> int:
    recording = result.recording
    if recording.signal is not None:
        return _SIGNALLED + recording.signal
    return ExitStatus.DONE if recording.exit_code is None else recording.exit_code


def _print_result(result: RunResult) -> None:
    """Tell on stderr what was recorded, and what was not observed."""
    claim, recording = result.claim, result.recording
    outcome = "done" if claim.succeeded else _failure(recording.exit_code, recording.signal)
    counts = f"read {counted(len(recording.reads), 'file')}, wrote {len(recording.writes)}"
    lines = [
        f"{claim.name} ({claim.kind.value}): {outcome} in {recording.usage.wall_s:.1f} s",
        f"  {counts}, seen by {', '.join(recording.observers) or 'nobody'}",
    ]
    metrics = [f"{metric['name']} {metric['value']:g}" for metric in claim.metrics[:_SHOWN]]
    if metrics:
        lines.append(f"  reported {', '.join(metrics)}")
    lines += [f"  not observed: {text}" for text in claim.unseen[:_SHOWN]]
    if len(claim.unseen) > _SHOWN:
        lines.append(f"  and {len(claim.unseen) - _SHOWN} more that were not observed")
    signed = f"signed by {result.signer}" if result.signer else "not signed"
    lines.append(f"recorded in {result.record}, {signed}")
    print("\n".join(shown(line) for line in lines), file=sys.stderr)


def _failure(exit_code: int | None, signal: int | None) -> str:
    return f"ended by signal {signal}" if signal is not None else f"failed with {exit_code}"
