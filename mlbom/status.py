"""Exit codes of the command line, and which one wins when there are several causes."""

from collections.abc import Sequence
from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit codes of the command line; several causes are combined by `worst`."""

    DONE = 0
    FINDINGS = 1
    USAGE = 2
    UNTRUSTED = 3
    INCOMPLETE = 4
    ENVIRONMENT = 5
    REFUSED = 6
    INTERRUPTED = 130


_PRECEDENCE = (130, 2, 6, 5, 3, 4, 1, 0)


def worst(statuses: Sequence[ExitStatus]) -> ExitStatus:
    """Return the status that wins when several causes are present (130 > 2 > 6 > 5 > 3 > 4 > 1)."""
    return min(statuses, key=_PRECEDENCE.index, default=ExitStatus.DONE)
