"""What a rule of verification is: an id, a weight, and the paragraph that explains it."""

from dataclasses import dataclass

from mlbom.status import ExitStatus

BAD = ExitStatus.UNTRUSTED
UNKNOWN = ExitStatus.INCOMPLETE
BELOW = ExitStatus.FINDINGS
REMARK = ExitStatus.DONE


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of verification.

    Args:
        id: kebab-case; scripts depend on it.
        status: what the command ends with when the rule is broken; `DONE` is a remark.
        title: one line.
        text: one paragraph, shown by `mlbom explain`.
    """

    id: str
    status: ExitStatus
    title: str
    text: str
