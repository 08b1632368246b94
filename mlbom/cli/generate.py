"""`mlbom generate`: inspect a project and write BOM, card, report, manifest and attestations."""

import argparse
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mlbom.cli.main import Parser
from mlbom.cli.signing import choose_signer
from mlbom.collect.inspect import InspectionPlan
from mlbom.config import ORIGIN_DEFAULT, Settings, find_project_root, load_settings
from mlbom.digest.hashing import ALGORITHMS
from mlbom.errors import ConfigurationError
from mlbom.evidence.observation import GapKind
from mlbom.guard import printable
from mlbom.pipeline.generate import (
    GenerateRequest,
    GenerateResult,
    generate,
    models_below,
    preview_bom,
)
from mlbom.status import ExitStatus, worst

_FLAGS = (
    "model weights data data-depth output python spec key release exclude "
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
    add(
        "-o",
        "--output",
        metavar="DIR",
        help="output directory; - prints the BOM and writes nothing",
    )
    add("--model", metavar="NAME", help="which model, when there are several; else its name")
    add("--all", action="store_true", help="every model, each into DIR/NAME")
    add("--weights", nargs="+", metavar="P", help="weight files that are the model")
    add("--data", nargs="+", metavar="P", help="folders and files that are its datasets")
    add("--data-depth", choices=("declared", "full"), help="read datasets or not (default: full)")
    add("--python", metavar="EXE", help="interpreter or prefix of the environment to inspect")
    add("--spec", choices=("1.7", "1.6"), help="CycloneDX version (default: 1.7)")
    add("--hashes", metavar="A,B", help="sha256[,sha512,blake3] (default: sha256)")
    add("--release", metavar="VERSION", help="version of this release")
    add("--exclude", nargs="+", metavar="GLOB", help="paths below PATH to leave out")
    signing = parser.add_mutually_exclusive_group()
    signing.add_argument("--key", metavar="URI", help="sign with this key")
    signing.add_argument("--no-sign", action="store_true", help="sign nothing")
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
        sys.stdout.buffer.write(preview_bom(request))
        return ExitStatus.DONE
    signer = None if options.no_sign else choose_signer(settings.text("key"), root)
    statuses = []
    for each in _each_model(request) if options.all else (request,):
        result = generate(each, signer)
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
        weights=settings.texts("weights"),
        data=settings.texts("data"),
        data_depth=settings.text("data-depth"),
        python=Path(python).absolute() if python else None,
        hashes=_hashes(settings),
        exclude=settings.texts("exclude"),
        publish_names=settings.flag("publish-names"),
    )
    return GenerateRequest(
        plan=plan,
        version=settings.text("release") or None,
        source_date_epoch=_source_date_epoch(os.environ),
        spec=settings.text("spec"),
    )


def _output(path: Path, root: Path, settings: Settings) -> Path:
    """Return the output directory: in PATH by default, else relative to whoever names it."""
    origin = settings.origins["output"]
    bases = {ORIGIN_DEFAULT: path, "flag": Path.cwd(), "MLBOM_OUTPUT": Path.cwd()}
    return (bases.get(origin, root) / settings.text("output")).resolve()


def _each_model(request: GenerateRequest) -> Iterator[GenerateRequest]:
    """Yield one request for each model below PATH, each with an output directory of its own."""
    for name in models_below(request.plan):
        folder = re.sub(r"[^\w.-]+", "-", "model" if name == "." else name)
        plan = replace(request.plan, model=name, output=request.plan.output / folder)
        yield replace(request, plan=plan)


def _hashes(settings: Settings) -> tuple[str, ...]:
    for name in settings.texts("hashes"):
        if name not in ALGORITHMS:
            message = f"unknown digest {name!r}: --hashes takes {', '.join(ALGORITHMS)}"
            raise ConfigurationError(message)
    return settings.texts("hashes")


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
        causes.append(ExitStatus.FINDINGS)
    return worst(causes)


def _print_result(result: GenerateResult) -> None:
    """Tell on stderr what was made and what is not known."""
    model = result.model
    about = [f"{model.parameters} parameters" if model.parameters is not None else ""]
    about += [model.licence or "", ", ".join(model.formats)]
    lines = [f"{model.name}  {', '.join(part for part in about if part)}"]
    lines += [f"  {name:<44} {len(data):>10} bytes" for name, data in result.files.items()]
    kinds = Counter(gap.kind for gap in result.graph.gaps)
    for gap in result.graph.gaps:
        if gap.kind is GapKind.UNREADABLE:
            lines.append(f"  unreadable: {gap.subject}: {gap.reason}")
    known = ", ".join(f"{kinds[kind]} {kind.value}" for kind in GapKind if kinds[kind])
    lines.append(f"not known: {known or 'nothing that was looked for'}")
    lines.append(f"written to {result.output}" + ("" if result.bundles else ", not signed"))
    print("\n".join(printable(line) for line in lines), file=sys.stderr)
