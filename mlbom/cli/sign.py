"""`mlbom sign`: one signature over every file of a model, as OpenSSF Model Signing v1.0 has it."""

import argparse
import sys
from pathlib import Path

from mlbom.cli.main import Parser, shown
from mlbom.cli.signing import add_key_options, choose_signer, configured_key, timestamper
from mlbom.config import find_project_root, load_settings
from mlbom.pipeline.sign import SignRequest, SignResult, sign_model
from mlbom.sign.newkey import LOST_VERIFIERS
from mlbom.sign.signer import BundleSigner, Signer
from mlbom.status import ExitStatus

_EPILOG = """\
example: mlbom sign models/tiny --key ~/.config/mlbom/keys/default.pem

A timestamp without a network: `--timestamp FILE.tsr` signs, writes the query to FILE.tsq while
FILE.tsr is not there, and ends with 4. Carry the query to an authority, for example with
  curl -H 'Content-Type: application/timestamp-query' --data-binary @FILE.tsq URL > FILE.tsr
bring FILE.tsr back and give the same command again: the response is checked and put into the
signature.

`--reuse OLD.sig` takes the digest of a file over from OLD.sig when your own digest cache says that
the file has not changed since; every other file is hashed."""


def build_parser(prog: str) -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog=prog,
        description="Sign every file of a model; the result is accepted by model_signing too.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("path", metavar="PATH", help="directory of the model, or its only file")
    add(
        "-o",
        "--signature",
        metavar="FILE",
        help="where to (default: PATH/model.sig, or FILE.sig beside a file)",
    )
    add_key_options(parser.add_mutually_exclusive_group())
    add("--timestamp", metavar="URL|FILE", help="trusted time from an RFC 3161 authority")
    add("--reuse", metavar="OLD", help="earlier signature by the same key: hash what changed only")
    add("-q", "--quiet", action="store_true", help="print nothing but errors")
    add("--debug", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(options: argparse.Namespace) -> int:
    """Run the command."""
    request = _request(options)
    root = find_project_root(request.path if request.path.is_dir() else request.path.parent)
    settings = load_settings(root, {"key": options.key})
    stamp = timestamper(options.timestamp)
    signer = choose_signer(configured_key(settings, root), root)
    result = sign_model(request, signer, stamp)
    if not options.quiet:
        _print(request, result, signer)
    if result.query:
        print(
            f"not timestamped yet: carry {shown(str(result.query))} to an authority, bring its "
            "response back and give this command again",
            file=sys.stderr,
        )
        return ExitStatus.INCOMPLETE
    return ExitStatus.DONE


def _request(options: argparse.Namespace) -> SignRequest:
    path = _absolute(options.path)
    if path.is_dir():
        path = path.resolve()
    default = path / "model.sig" if path.is_dir() else path.with_name(f"{path.name}.sig")
    signature = _absolute(options.signature) if options.signature else default
    reuse = _absolute(options.reuse) if options.reuse else None
    return SignRequest(path=path, signature=signature, reuse=reuse)


def _absolute(told: str) -> Path:
    """Return a path with its folders resolved and its last part as it was named."""
    path = Path(told)
    return path.resolve() if path.name in {"", ".."} else path.parent.resolve() / path.name


def _print(request: SignRequest, result: SignResult, signer: Signer) -> None:
    files = "1 file" if result.files == 1 else f"{result.files} files"
    taken = f", {result.reused} taken over from {request.reuse}" if result.reused else ""
    lines = [
        f"signed       {result.name}: {files}, {result.nbytes} bytes{taken}",
        f"signature    {request.signature}",
        f"signer       {result.signer}",
    ]
    if not isinstance(signer, BundleSigner):
        kind = signer.public_key.key_type
        lines += [f"note         {lost} cannot check {kind} keys" for lost in LOST_VERIFIERS[kind]]
    print("\n".join(shown(line) for line in lines), file=sys.stderr)
