"""`mlbom generate`: inspect a project and write BOM, card, report, manifest and attestations."""

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mlbom.cli.main import Parser
from mlbom.config import Settings, find_project_root, load_settings
from mlbom.errors import ConfigurationError, ExitStatus, KeyChoiceError, UsageError, worst

_LISTS = ("weights", "data", "exclude")
_TEXTS = ("model", "data-depth", "output", "python", "spec", "key", "release")
_SWITCHES = ("publish-names", "require-clean", "allow-incomplete")


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog=prog,
        description="Inspect a project; write BOM, manifest, attestations, model card and report.",
        epilog="example: mlbom generate . --release 1.2.0 --key ~/.config/mlbom/keys/default.pem",
    )
    add = parser.add_argument
    add("path", nargs="?", default=".", metavar="PATH", help="the project (default: here)")
    add("-o", "--output", metavar="DIR", help="output directory; - prints the BOM and writes nothing")
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
    from mlbom import pipeline

    path = Path(options.path).resolve()
    root = find_project_root(path)
    settings = load_settings(root, _flags(options))
    request = _request(path, root, settings)
    if options.output == "-":
        sys.stdout.buffer.write(pipeline.preview_bom(request))
        return ExitStatus.DONE
    signer = None if options.no_sign else _signer(settings, root)
    statuses = []
    for each in _requests(request, all_models=options.all):
        result = pipeline.generate(each, signer)
        if not options.quiet:
            _print_result(result)
        statuses.append(_status(result, settings))
    return worst(statuses)


def _flags(options: argparse.Namespace) -> Mapping[str, object]:
    names = (*_LISTS, *_TEXTS, *_SWITCHES)
    flags = {name: getattr(options, name.replace("-", "_")) for name in names}
    if options.hashes is not None:
        flags["hashes"] = [part.strip() for part in options.hashes.split(",") if part.strip()]
    return flags


def _request(path: Path, root: Path, settings: Settings):  # type: ignore[no-untyped-def]  # noqa: ANN202
    from mlbom.collect.inspect import InspectionPlan
    from mlbom.pipeline import GenerateRequest

    output = settings.text("output")
    in_project = settings.origins["output"] in ("default",)
    python = settings.text("python")
    plan = InspectionPlan(
        path=path,
        project_root=root,
        output=(path / output if in_project else Path(output).absolute()),
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


def _hashes(settings: Settings) -> tuple[str, ...]:
    from mlbom.digest.hashing import ALGORITHMS

    for name in settings.texts("hashes"):
        if name not in ALGORITHMS:
            message = f"unknown digest {name!r}: --hashes takes {', '.join(ALGORITHMS)}"
            raise ConfigurationError(message)
    return settings.texts("hashes")


def _source_date_epoch(environment: Mapping[str, str]) -> int | None:
    told = environment.get("SOURCE_DATE_EPOCH")
    if not told:
        return None
    if not told.isascii() or not told.isdigit() or len(told) > 11:
        message = f"SOURCE_DATE_EPOCH takes seconds since 1970, not {told!r}"
        raise ConfigurationError(message)
    return int(told)
