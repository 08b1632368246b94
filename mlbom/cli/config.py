"""`mlbom config`: every setting, its value, and where the value came from."""

import argparse
from pathlib import Path

from mlbom.cli.main import Parser
from mlbom.config import SETTINGS, find_project_root, load_settings
from mlbom.status import ExitStatus


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = Parser(prog=prog, description="Print every setting of the project.")
    parser.add_argument("path", nargs="?", default=".", help="the project (default: here)")
    parser.add_argument("--show-origin", action="store_true", help="also where each came from")
    return parser


def main(options: argparse.Namespace) -> int:
    """Print one line for each setting."""
    settings = load_settings(find_project_root(Path(options.path).resolve()), {})
    for setting in SETTINGS:
        value = settings.values[setting.name]
        told = ", ".join(value) if isinstance(value, tuple) else str(value)
        line = f"{setting.name} = {told or '(not set)'}"
        if options.show_origin:
            line = f"{line:<44} # {settings.origins[setting.name]}: {setting.meaning}"
        print(line)
    return ExitStatus.DONE
