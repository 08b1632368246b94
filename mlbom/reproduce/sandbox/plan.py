"""What is run again, and within which bounds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlbom.git import GitRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPlan:
    """A training that runs again.

    Args:
        command: the training, as it was started.
        folder: where it was started, relative to the project; empty for the project itself.
        project: the folder of the project, absolute; it is not written to.
        repository: what is cloned, or None.
        commit: full object id of what is cloned; empty without a repository.
        source: a folder whose files are copied where there is nothing to clone, or None.
        inputs: name relative to the project -> present file or folder that is copied in.
        outputs: names relative to the project of files that are kept afterwards, if the training
            wrote them; empty for every file of the project that it wrote.
        variables: numeric variables that are set.
        passes_numeric: whether the caller's numeric variables are handed on unchanged.
        python_prefix: an interpreter, or the folder that holds its `bin`; first on the PATH, and
            in place of the Python that the command names.
        timeout_s: seconds that it may take, or None.
        hidden: further files and folders that it must not read: key files.
        scratch: folder for the sandbox; None for the system's temporary folder.
    """

    command: tuple[str, ...]
    folder: str = ""
    project: Path
    repository: GitRepository | None = None
    commit: str = ""
    source: Path | None = None
    inputs: Mapping[str, Path] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    passes_numeric: bool = True
    python_prefix: Path | None = None
    timeout_s: float | None = None
    hidden: tuple[Path, ...] = ()
    scratch: Path | None = None

    @property
    def python(self) -> Path | None:
        """Return the interpreter that takes the place of the command's own, or None."""
        prefix = self.python_prefix
        if prefix is None or not prefix.is_dir():
            return prefix
        names = (prefix / "bin" / name for name in ("python", "python3"))
        return next((path for path in names if path.exists()), None)
