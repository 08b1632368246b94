"""What a collector yields: an Observation (a node, its witness) or a Gap (sought, not there)."""

from dataclasses import dataclass
from enum import StrEnum

from mlbom.evidence.nodes import Node
from mlbom.evidence.origin import Origin, Visibility


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one witness says about one node."""

    node: Node
    origin: Origin
    visibility: Visibility = Visibility.PUBLIC


class GapKind(StrEnum):
    """Why something is not known. Only `unreadable` makes a run incomplete (exit 4)."""

    ABSENT = "absent"
    DECLINED = "declined"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Gap:
    """Something that was looked for and is not known.

    Args:
        subject: id of the node, or the path or name of the thing looked for.
        kind: absent (not here, or not knowable from what was read), declined (offline, not asked
            for), unreadable (bytes that were here and could not be read or parsed).
        reason: one sentence for a person.
        origin: who looked, and where.
        field: the field of the node that stays unknown; empty for the whole node.
    """

    subject: str
    kind: GapKind
    reason: str
    origin: Origin
    field: str = ""
    visibility: Visibility = Visibility.PUBLIC

    @property
    def about(self) -> str:
        """Return the subject and field as a person reads them."""
        return " ".join(part for part in (self.subject.rstrip(":"), self.field) if part)
