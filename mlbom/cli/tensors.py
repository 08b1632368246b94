"""`mlbom tensors diff`: what differs in two files of weights, level by level."""

import argparse
import sys
from pathlib import Path

from mlbom.cli.main import Parser
from mlbom.errors import OutputError
from mlbom.outdir import replace_file
from mlbom.pipeline.tensors import FORMATS, diff_output, diff_status, diff_tensors

_EPILOG = """\
example: mlbom tensors diff run-1/model.safetensors run-2/model.safetensors

Reads safetensors, torch checkpoints, TorchScript, .npz, .npy and indexes of shards, without loading
them; A and B may be of different formats. Ends with 0 when every tensor is equal bit for bit, 1
when one differs, 4 when that could not be told. How the files pack the same tensors is told and is
no difference. Measuring how far tensors lie apart needs numpy: pip install 'mlbom[reproduce]'."""


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = Parser(prog=prog, description="Look at the tensors in files of weights.")
    actions = parser.add_subparsers(dest="action", required=True, parser_class=Parser)
    diff = actions.add_parser(
        "diff",
        help="compare two files: container, names, shapes, bits",
        description="Compare two files of weights: container, names, dtypes and shapes, bits.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = diff.add_argument
    add("a", metavar="A", help="weight file, or *.index.json of shards")
    add("b", metavar="B", help="the other")
    add("--format", choices=FORMATS, default="human", help="default: human")
    add("-o", "--output", default="-", metavar="FILE", help="where to (default: - is stdout)")
    add("--bits", action="store_true", help="only whether bits are equal; needs no numpy")
    add("-q", "--quiet", action="store_true", help="print the verdict only")
    add("--debug", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(options: argparse.Namespace) -> int:
    """Run the command."""
    document = diff_tensors(Path(options.a), Path(options.b), numbers=not options.bits)
    output = diff_output(document, options.format, quiet=options.quiet)
    if options.output == "-":
        sys.stdout.buffer.write(output)
        sys.stdout.buffer.flush()
    else:
        _write(Path(options.output), output)
    return diff_status(document)


def _write(path: Path, data: bytes) -> None:
    try:
        replace_file(path, data)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        raise OutputError(message) from error
    print(f"wrote {path}", file=sys.stderr)
