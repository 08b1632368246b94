"""Compare two weight files and show what came out: the use case of `mlbom tensors diff`."""

import json
from pathlib import Path
from typing import Any

from mlbom.errors import PathNotFoundError, UsageError
from mlbom.render.tensor_diff import tensor_diff_html
from mlbom.render.tensor_diff_text import tensor_diff_lines
from mlbom.reproduce.tensors.compare import compare_files
from mlbom.status import ExitStatus

FORMATS = ("human", "json", "html")


def diff_tensors(a: Path, b: Path, *, numbers: bool = True) -> dict[str, Any]:
    """Return the document of a comparison (`urn:mlbom:tensor-diff/1`).

    Args:
        a: a weight file, or an index of shards.
        b: another.
        numbers: whether to measure how far tensors lie apart.

    Raises:
        PathNotFoundError, UsageError: a path that names no file.
        OSError, UnreadableError, MissingExtraError: as `compare_files`.
    """
    for path in (a, b):
        if not path.exists():
            message = f"no such file: {path}"
            raise PathNotFoundError(message)
        if path.is_dir():
            message = f"{path} is a folder: name the weight file in it, or the index of its shards"
            raise UsageError(message)
    return compare_files(a, b, numbers=numbers).document()


def diff_status(document: dict[str, Any]) -> ExitStatus:
    """Return the exit status: unknown before different, and packaging is no difference."""
    if document["notCompared"]:
        return ExitStatus.INCOMPLETE
    return ExitStatus.DONE if document["bitsEqual"] else ExitStatus.FINDINGS


def diff_output(document: dict[str, Any], kind: str, *, quiet: bool = False) -> bytes:
    """Return the comparison in one of `FORMATS`; JSON is ASCII, so that a terminal shows it as is.

    Args:
        document: as `diff_tensors` returns it.
        kind: one of `FORMATS`.
        quiet: of `human`, the verdict alone.
    """
    if kind == "html":
        return tensor_diff_html(document)
    if kind == "json":
        return json.dumps(document, indent=2).encode("ascii") + b"\n"
    text = "\n".join(tensor_diff_lines(document, quiet=quiet)) + "\n"
    return text.encode("utf-8", "backslashreplace")
