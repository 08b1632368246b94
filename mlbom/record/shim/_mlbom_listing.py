"""Makes folders list their files by name, or backwards: file systems promise no order."""
# ruff: noqa: INP001, ANN401, PYI034
# mypy: disable-error-code="import-not-found"

from _mlbom_stand_in import stand_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any


class _Scan:
    """The entries of a folder, with all that an iterator of `os.scandir` can do."""

    def __init__(self, entries: "list[Any]") -> None:
        self._rest = iter(entries)

    def __iter__(self) -> "Iterator[Any]":
        return self

    def __next__(self) -> "Any":
        return next(self._rest)

    def __enter__(self) -> "_Scan":
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is left, as the original does."""
        self._rest = iter(())


def follow(backwards: bool) -> None:  # noqa: FBT001 - one call
    """Put the ordered functions in the place of `os.listdir` and `os.scandir`."""

    def names(found: "list[Any]") -> "list[Any]":
        return sorted(found, reverse=backwards)

    def entries(found: "Any") -> "_Scan":
        with found:
            return _Scan(sorted(found, key=lambda entry: entry.name, reverse=backwards))

    stand_in("listdir", names)
    stand_in("scandir", entries)
