"""The root of the exception tree."""

from collections.abc import Sequence
from typing import ClassVar

from mlbom.status import ExitStatus


class MlbomError(Exception):
    """mlbom could not do its work.

    Args:
        message: one line, without a final full stop, that names the thing concerned.
        looked: the places where mlbom looked, in order.
        hint: what the user can do; the class's own hint when empty.
    """

    code: ClassVar[str] = "E0000"
    status: ClassVar[ExitStatus] = ExitStatus.ENVIRONMENT
    hint: str = ""

    def __init__(self, message: str, *, looked: Sequence[str] = (), hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.looked = tuple(looked)
        self.hint = hint or type(self).hint
