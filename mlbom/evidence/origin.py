"""Where a fact comes from: which collector, by what method, at what place."""

from dataclasses import dataclass
from enum import StrEnum


class Method(StrEnum):
    """How a witness knows: a person decided, mlbom measured, a file declares, mlbom inferred."""

    HUMAN = "human"
    MEASURED = "measured"
    DECLARED = "declared"
    INFERRED = "inferred"


# Strongest first. Of two witnesses that disagree the stronger one is believed (and both shown).
STRENGTH = (Method.HUMAN, Method.MEASURED, Method.DECLARED, Method.INFERRED)


class Visibility(StrEnum):
    """Whether a fact may be published, or stays in `.mlbom/private/`."""

    PUBLIC = "public"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Origin:
    """The witness of a fact.

    Args:
        collector: name of the collector, for example `weights`.
        method: how the collector knows.
        path: project-relative POSIX path of the file read, empty when it was no file.
        line: line in that file, from 1; 0 when a line says nothing.
        key: key inside the file, for example `card.license`.
        confidence: from 0 to 1; below 1 only for inferences.
    """

    collector: str
    method: Method
    path: str = ""
    line: int = 0
    key: str = ""
    confidence: float = 1.0

    @property
    def place(self) -> str:
        """Return `path:line key`, as much of it as there is."""
        where = f"{self.path}:{self.line}" if self.line else self.path
        return " ".join(part for part in (where, self.key) if part)
