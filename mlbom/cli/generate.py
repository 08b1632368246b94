"""`mlbom generate`: inspect a project and write BOM, card, report, manifest and attestations."""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mlbom.cli.main import Parser, shown
from mlbom.cli.signing import (
    TIMESTAMP_HELP,
    add_key_options,
    authority,
    choose_signer,
    configured_key,
)
from mlbom.collect.inspect import InspectionPlan
from mlbom.collect.scope import shortened
from mlbom.config import ORIGIN_DEFAULT, Settings, find_project_root, load_settings
from mlbom.errors import ConfigurationError, NoWeightsError, PathNotFoundError, UsageError
from mlbom.evidence.nodes import CodeSurface, Repository, Run
from mlbom.evidence.observation import GapKind
from mlbom.outdir import file_name
from mlbom.pipeline.generate import GenerateRequest, GenerateResult, generate, models_below, preview
from mlbom.status import ExitStatus, worst

_BELOW_HINT = "paths are relative to where they are named, or to PATH, and lie below PATH"
# PEP 440, semantic versions, dates, names of tags: nothing that needs quoting in a path.
_RELEASE = re.compile(r"[A-Za-z0-9][\w.+!~-]*")
# How many gaps are told in the terminal, and how much of each.
_SHOWN = 12
_WIDTH = 160
_FLAGS = (
    "model weights data data-depth output runs python spec key release exclude "
    "publish-names require-clean allow-incomplete"
).split()


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog=prog,
        description="Inspect a project; write BOM, manifest, attestations, model card and report.",
        epilog="example: mlbom generate . --release 1.2.0 --key ~/.config/mlbom/keys/default.pem",
    )
    add = parser.add_argument
    add("path", nargs="?", default=".", metavar="PATH", help="the project (default: here)")
    add("-o", "--output", metavar="DIR", help="where to; - prints the BOM and writes nothing")
    add("--model", metavar="NAME", help="which model, when there are several; else its name")
    add("--all", action="store_true", help="every model; several go to DIR-NAME each")
    add("--weights", nargs="+", metavar="P", help="weight files that are the model")
    add("--data", nargs="+", metavar="P", help="folders and files that are its datasets")
    add(
        "--data-depth",
        choices=("declared", "full"),
        help="read data (default: up to 50 GiB)",
    )
    add("--runs", nargs="+", metavar="P", help="records of runs (default: .mlbom/runs)")
    add("--python", metavar="EXE", help="interpreter or prefix of the environment to inspect")
    add("--spec", choices=("1.7", "1.6"), help="CycloneDX version (default: 1.7)")
    add("--hashes", metavar="A,B", help="sha256[,sha512,blake3] (default: sha256)")
    add("--release", metavar="VERSION", help="version of this release")
    add("--exclude", nargs="+", metavar="GLOB", help="paths below PATH to leave out")
    signing = parser.add_mutually_exclusive_group()
    add_key_options(signing)
    signing.add_argument("--no-sign", action="store_true", help="sign nothing")
    add("--timestamp", metavar="URL", help=TIMESTAMP_HELP)
    for name, meaning in (
        ("publish-names", "publish the names of dataset files"),
        ("require-clean", "end with 1 when the repository holds uncommitted changes"),
        ("allow-incomplete", "end with 0 although something could not be read"),
    ):
        add(f"--{name}", action="store_const", const=True, help=meaning)
    add("-q", "--quiet", action="store_true", help="print nothing but errors")
    add("--debug", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(options: argparse.Namespace) -> int:
    """Run the command."""
    path = Path(options.path).resolve()
    root = find_project_root(path)
    settings = load_settings(root, _flags(options))
    request = _request(path, root, settings)
    if options.output == "-":
        if options.all:
            message = "--all makes several BOMs, and -o - prints one"
            raise UsageError(message, hint="name a directory with -o DIR")
        result = preview(request)
        sys.stdout.buffer.write(result.files["bom.cdx.json"])
        return _status(result, settings)
    stamp = authority(options.timestamp)
    signer = None if options.no_sign else choose_signer(configured_key(settings, root), root)
    statuses = []
    for each in _each_model(request) if options.all else (request,):
        result = generate(each, signer, stamp)
        if not options.quiet:
            _print_result(result)
        statuses.append(_status(result, settings))
    return worst(statuses)


def _flags(options: argparse.Namespace) -> Mapping[str, object]:
    flags = {name: getattr(options, name.replace("-", "_")) for name in _FLAGS}
    if options.hashes is not None:
        flags["hashes"] = [part.strip() for part in options.hashes.split(",") if part.strip()]
    return flags


def _request(path: Path, root: Path, settings: Settings) -> GenerateRequest:
    python = settings.text("python")
    plan = InspectionPlan(
        path=path,
        project_root=root,
        output=_output(path, root, settings),
        model=settings.text("model"),
        weights=_below(path, root, settings, "weights"),
        data=_below(path, root, settings, "data"),
        data_depth=settings.text("data-depth"),
        python=(settings.base("python", root) / python).absolute() if python else None,
        hashes=settings.texts("hashes"),
        exclude=settings.texts("exclude"),
        publish_names=settings.flag("publish-names"),
        runs=tuple(
            Path(os.path.abspath(settings.base("runs", root) / run))
            for run in settings.texts("runs")
        ),
        grams_per_kwh=_grams_per_kwh(settings.text("grid-gco2-per-kwh")),
    )
    release = settings.text("release")
    if release and not _RELEASE.fullmatch(release):
        message = f"{release!r} is no version: letters, digits and . + ! ~ - _ only"
        raise ConfigurationError(message, hint="for example --release 1.2.0")
    return GenerateRequest(
        plan=plan,
        version=release or None,
        source_date_epoch=_source_date_epoch(os.environ),
        spec=settings.text("spec"),
    )


def _grams_per_kwh(told: str) -> float | None:
    if not told:
        return None
    if not re.fullmatch(r"[0-9]{1,5}(?:\.[0-9]{1,6})?", told):
        message = f"grid-gco2-per-kwh takes grams of CO2 for a kWh, not {told!r}"
        raise ConfigurationError(message, hint='for example grid-gco2-per-kwh = "120"')
    return float(told)


def _output(path: Path, root: Path, settings: Settings) -> Path:
    """Return the output directory: in PATH by default, else relative to whoever names it."""
    default = settings.origins["output"] == ORIGIN_DEFAULT
    base = path if default else settings.base("output", root)
    # The last part is not resolved: an output that is a link is refused.
    target = Path(os.path.normpath(base / settings.text("output")))
    target = target.parent.resolve() / target.name
    if settings.is_from_file("output") and not target.is_relative_to(root):
        message = f"a project's settings may not write outside of it: output = {target}"
        raise ConfigurationError(message, hint="name such a place on the command line: -o DIR")
    return target


def _below(path: Path, root: Path, settings: Settings, name: str) -> tuple[str, ...]:
    """Return the paths of a setting relative to PATH.

    A path is looked for where it was named (working directory or project root), then in PATH.

    Raises:
        PathNotFoundError, NoWeightsError: it is in neither place, or not below PATH.
    """
    error = NoWeightsError if name == "weights" else PathNotFoundError
    found = []
    for given in settings.texts(name):
        places = [settings.base(name, root) / given, path / given]
        place = next((p for p in places if os.path.lexists(p)), None)
        if place is None:
            message = f"{name} not found: {given}"
            raise error(message, looked=[str(p) for p in places], hint=_BELOW_HINT)
        # The last part is not resolved: a link is what the user named.
        resolved = place.parent.resolve() / place.name if place.name != ".." else place.resolve()
        if not resolved.is_relative_to(path):
            message = f"{name} must lie below PATH: {given}"
            raise error(message, looked=[str(path)], hint=_BELOW_HINT)
        found.append(resolved.relative_to(path).as_posix())
    return tuple(found)


def _each_model(request: GenerateRequest) -> Iterator[GenerateRequest]:
    """Yield one request for each model below PATH; several get `OUTPUT-MODEL` for an output."""
    names = models_below(request.plan)
    for name in names:
        output = request.plan.output
        if len(names) > 1:
            output = output.with_name(f"{output.name}-{file_name(name)}")
        yield replace(request, plan=replace(request.plan, model=name, output=output))


def _source_date_epoch(environment: Mapping[str, str]) -> int | None:
    told = environment.get("SOURCE_DATE_EPOCH")
    if not told:
        return None
    if not re.fullmatch(r"[0-9]{1,11}", told):
        message = f"SOURCE_DATE_EPOCH takes seconds since 1970, not {told!r}"
        raise ConfigurationError(message)
    return int(told)


def _status(result: GenerateResult, settings: Settings) -> ExitStatus:
    causes = []
    if not result.is_complete and not settings.flag("allow-incomplete"):
        causes.append(ExitStatus.INCOMPLETE)
    if not result.is_clean and settings.flag("require-clean"):
        print("--require-clean: the release is not as in a commit, see above", file=sys.stderr)
        causes.append(ExitStatus.FINDINGS)
    return worst(causes)


def _print_result(result: GenerateResult) -> None:
    """Tell on stderr what was made and what is not known."""
    model = result.model
    about = [f"{model.parameters} parameters" if model.parameters is not None else ""]
    about += [model.licence or "", ", ".join(model.formats)]
    lines = [f"{model.name}  {', '.join(part for part in about if part)}"]
    lines += [f"  {what}" for what in (*_warnings(result), *_records(result))]
    lines += [f"  {name:<44} {len(data):>10} bytes" for name, data in result.files.items()]
    gaps = sorted(result.graph.gaps, key=lambda gap: gap.kind is not GapKind.UNREADABLE)
    lines.append(f"not known: {len(gaps) or 'nothing that was looked for'}")
    lines += [
        f"  {gap.kind.value}: {gap.about}: {shortened(gap.reason, _WIDTH)}" for gap in gaps[:_SHOWN]
    ]
    if len(gaps) > _SHOWN:
        lines.append(f"  and {len(gaps) - _SHOWN} more that are not known: see report.html")
    lines.append(f"written to {result.output}" + ("" if result.bundles else ", not signed"))
    print("\n".join(shown(line) for line in lines), file=sys.stderr)


def _records(result: GenerateResult) -> Iterator[str]:
    """Yield the recorded runs that lead to the model, and the records that do not."""
    for run in sorted(result.graph.nodes(Run), key=lambda run: (run.started or 0, run.id)):
        how = "" if run.signed else ", not signed"
        command = shortened(run.command or "", _WIDTH)
        yield f"{run.kind} recorded as {run.name} ({run.id}{how}): {command}"
    for gap in result.graph.gaps:
        if gap.field == "record" and gap.subject.startswith("run:"):
            place = f"{gap.origin.path}: " if gap.origin.path else ""
            yield f"{place}{shortened(gap.reason, _WIDTH)}"


def _warnings(result: GenerateResult) -> Iterator[str]:
    """Yield what a person should know before they publish the release."""
    for code in result.graph.nodes(CodeSurface):
        names = shortened(", ".join(code.names), _WIDTH)
        yield f"loading {code.path} can run code ({code.kind}): {names}"
    for repository in result.graph.nodes(Repository):
        if repository.dirty:
            changed = shortened(", ".join(repository.changed), _WIDTH)
            what = changed or "code that a recorded step imported, as its record says"
            yield f"not as in commit {repository.commit}: {what}"
    if not result.kept:
        yield ".mlbom cannot be written: the private evidence is not kept"
