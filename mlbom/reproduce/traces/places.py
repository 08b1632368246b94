"""Lines of a program as the recorder tells them, made relative to the project."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

# `/abs/train.py:12`, or `/abs/train.py:12 in forward` with the name of the function.
_LINE = re.compile(r"(?P<path>.+?):(?P<line>[0-9]+)(?: in .*)?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the program; an empty path when it is not known or not in the project.

    Args:
        path: of the file, POSIX, relative to the project.
        number: from 1, or 0.
    """

    path: str = ""
    number: int = 0

    @property
    def is_known(self) -> bool:
        """Return whether it names a file."""
        return bool(self.path)

    def __str__(self) -> str:
        """Return `train.py:12`, or an empty text."""
        return f"{self.path}:{self.number}" if self.path else ""


NOWHERE = Line()


def program_line(at: str, root: Path | None) -> Line:
    """Return a line relative to the project that its training saw.

    Args:
        at: `/abs/train.py:12`, with or without the name of its function; may be empty.
        root: the folder of the project; without one the path stays as it is told.

    Returns:
        No line for a place outside the project: such a file is not the program's own.
    """
    found = _LINE.match(at)
    if found is None:
        return Line()
    path, number = found["path"], int(found["line"])
    if root is None:
        return Line(path=path, number=number)
    for base in (os.fspath(root), os.path.realpath(root)):
        if path.startswith(base + os.sep):
            relative = os.path.relpath(path, base).replace(os.sep, "/")
            return Line(path=relative, number=number)
    return Line()
