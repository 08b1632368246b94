"""Read one file of training code and parse it; nothing of it is imported or run."""

import ast
import io
import tokenize
import warnings
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from mlbom.errors import MlbomError
from mlbom.formats.strict_json import parse_json
from mlbom.openfile import read_regular

MOST_BYTES = 1024 * 1024
_BOMS = (b"\xff\xfe", b"\xfe\xff")


class UnreadableSourceError(ValueError):
    """The file cannot be read as Python source; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The code of one file.

    Args:
        path: POSIX, relative to the project.
        tree: its syntax tree.
        nbytes: size of the file.
        cells: of a notebook: the first line, in the tree, of each code cell; else empty.
    """

    path: str
    tree: ast.Module
    nbytes: int
    cells: tuple[int, ...] = ()

    def place(self, line: int) -> tuple[int, str]:
        """Return the line as the reader counts it, and `cell N: ` in a notebook."""
        if not self.cells:
            return line, ""
        cell = bisect_right(self.cells, line)
        return line - self.cells[cell - 1] + 1, f"cell {cell}: "


def read_source(root: Path, path: str) -> Source:
    """Read and parse a `.py` file or the code cells of an `.ipynb` file.

    Args:
        root: of the project, absolute.
        path: POSIX, relative to it.

    Raises:
        UnreadableSourceError: missing, outside the project, no regular file, larger than 1 MiB, in
            an unknown encoding, or no Python.
    """
    try:
        if not (root / path).resolve().is_relative_to(root.resolve()):
            message = "it lies outside the project"
            raise UnreadableSourceError(message)
        data = read_regular(root / path, MOST_BYTES, path)
        if path.endswith(".ipynb"):
            text, cells = _notebook(data, path)
            return Source(path=path, tree=_parse(text), nbytes=len(data), cells=cells)
        return Source(path=path, tree=_parse(_text(data)), nbytes=len(data))
    except OSError as error:
        message = error.strerror or "it cannot be opened"
        raise UnreadableSourceError(message) from error
    except MlbomError as error:
        raise UnreadableSourceError(str(error)) from error


def _text(data: bytes) -> str:
    """Decode source as Python does (PEP 263), UTF-16 with its mark besides."""
    if data.startswith(_BOMS):
        encoding = "utf-16"
    else:
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        except SyntaxError as error:
            message = "its encoding is not known"
            raise UnreadableSourceError(message) from error
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        message = f"it is not {encoding}"
        raise UnreadableSourceError(message) from error


def _parse(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes of the inspected code
            return ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        message = f"it is not Python that can be parsed: {type(error).__name__}"
        raise UnreadableSourceError(message) from error


def _notebook(data: bytes, path: str) -> tuple[str, tuple[int, ...]]:
    """Return the code cells as one text, and the line at which each begins.

    Lines for the shell and magic commands are kept as comments, so that lines stay countable.
    """
    document = parse_json(data, path, max_bytes=MOST_BYTES)
    cells = document.get("cells") if isinstance(document, dict) else None
    lines: list[str] = []
    starts: list[int] = []
    for cell in cells if isinstance(cells, list) else ():
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        told = cell.get("source", "")
        text = "".join(part for part in told if isinstance(part, str))
        starts.append(len(lines) + 1)
        lines += [_without_magic(line) for line in text.split("\n")]
    return "\n".join(lines) + "\n", tuple(starts)


def _without_magic(line: str) -> str:
    code = line.lstrip()
    indent = line[: len(line) - len(code)]
    return f"{indent}pass  # {code}" if code.startswith(("%", "!", "?")) else line
