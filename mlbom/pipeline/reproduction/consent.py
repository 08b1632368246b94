"""Whose code the user has agreed to run: one line for each project, in the user's state folder."""

import os
from pathlib import Path

from mlbom.errors import OutputError
from mlbom.outdir import replace_file
from mlbom.verify.memory import default_state_path

_LARGEST = 1024 * 1024


def has_consented(project_root: Path) -> bool:
    """Return whether the user has agreed to run the code of this project.

    Args:
        project_root: absolute, links resolved.
    """
    return os.fsencode(project_root) in _lines()


def remember_consent(project_root: Path) -> None:
    """Keep that the user has agreed.

    Raises:
        OutputError: the user's state folder cannot be written.
    """
    path, line = _place(), os.fsencode(project_root)
    if path is None or b"\n" in line:
        return
    lines = {*_lines(), line}
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, b"".join(line + b"\n" for line in sorted(lines)), 0o600)
    except OSError as error:
        message = f"cannot remember your consent: {error.strerror or error}"
        raise OutputError(message) from error


def _lines() -> set[bytes]:
    path = _place()
    try:
        data = path.read_bytes()[:_LARGEST] if path else b""
    except OSError:
        return set()
    return set(data.split(b"\n")) - {b""}


def _place() -> Path | None:
    state = default_state_path()
    return state.with_name("consent") if state else None
