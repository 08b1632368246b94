"""Walk the opcodes of pickles: what loading would import and call, and the plain data in them.

Nothing is imported and nothing is called. A file can hold several pickles, and a damaged one still
runs up to the damage when it is loaded: so the walk lists the globals of all parts that it finds,
and says in `problem` what it could not read.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from mlbom.errors import LimitError, MalformedError
from mlbom.evidence.nodes import Count
from mlbom.formats.opcode_machine import Machine, TruncatedError
from mlbom.formats.opcode_table import HANDLERS
from mlbom.formats.opcode_values import Call

# How many pickles are looked for behind or inside bytes that are none, and how far.
MAX_ATTEMPTS = 64
MAX_SEARCH_BYTES = 16 * 1024 * 1024
_PROTO = re.compile(rb"\x80[\x02-\x05]")
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PickleFacts:
    """What a walk found.

    Args:
        values: the inert value of each pickle that reached its STOP, in order.
        globals: sorted `module.name` of all that loading would import, in all parts.
        calls: how often each calling opcode occurs (REDUCE, NEWOBJ, BUILD, ...).
        persistent_count: how many persistent ids there are.
        protocol: the highest protocol announced; 0 when none is.
        end: offset behind the last STOP; where the walk began when there is none.
        trailing: how many bytes behind `end` are no pickle.
        truncated: whether a pickle ends without its STOP.
        problem: the first thing that could not be read, empty when all was.
    """

    values: tuple[Any, ...]
    globals: tuple[str, ...]
    calls: tuple[Count, ...]
    persistent_count: int
    protocol: int
    end: int
    trailing: int
    truncated: bool
    problem: str


def walk(
    stream: BinaryIO,
    nbytes: int,
    *,
    max_streams: int | None = None,
    payload: Callable[[Call, BinaryIO], int] | None = None,
) -> PickleFacts:
    """Walk the pickles of a stream from its position; what is wrong is told, never raised.

    Args:
        stream: seekable bytes.
        nbytes: where the bytes end.
        max_streams: walk at most so many pickles that follow one another, and search for no
            others; None walks all, and searches what is no pickle for pickles.
        payload: asked after each BUILD of an object how many raw bytes follow it inside the
            pickle (`mlbom.formats.opcode_machine.NESTED`: another pickle does).
    """
    walker = _Walker(Machine(stream, nbytes, payload), stream.tell())
    walker.follow(max_streams)
    if max_streams is None:
        walker.search()
    return walker.facts()


class _Walker:
    """Collects the results of several runs of one machine, which keeps the budgets."""

    def __init__(self, machine: Machine, start: int) -> None:
        self.machine = machine
        self.end = start
        self.values: list[Any] = []
        self.problem = ""
        self.truncated = False
        self.exhausted = False

    def follow(self, max_streams: int | None) -> None:
        """Walk pickles that follow one another, until one fails or the bytes end."""
        while self.end < self.machine.nbytes or not self.values:
            if max_streams is not None and len(self.values) >= max_streams:
                return
            first = not self.values
            if not self.attempt(self.end, trusted=first):
                return

    def search(self) -> None:
        """Look for pickles in what is none: behind a junk prefix, in or behind a broken pickle."""
        position, searched = self.end + 1, 0
        for _ in range(MAX_ATTEMPTS):
            if self.exhausted or position >= self.machine.nbytes or not self.problem:
                return
            found = self._next_proto(position, MAX_SEARCH_BYTES - searched)
            if found is None:
                return
            searched += found - position
            position = self.end if self.attempt(found, trusted=False) else found + 1

    def attempt(self, position: int, *, trusted: bool) -> bool:
        """Walk one pickle; a failed one keeps its globals, unless random bytes made them up."""
        machine = self.machine
        known = len(machine.globals)
        machine.stream.seek(position)
        try:
            self.values.append(machine.run(HANDLERS))
        except (MalformedError, LimitError) as error:
            self.exhausted = isinstance(error, LimitError)
            self.truncated |= isinstance(error, TruncatedError)
            self.problem = self.problem or error.message
            if not trusted:
                for module, name in list(machine.globals)[known:]:
                    if not _is_identifier(module) or not _is_identifier(name):
                        del machine.globals[module, name]
            return False
        self.end = machine.stream.tell()
        return True

    def _next_proto(self, position: int, budget: int) -> int | None:
        stream = self.machine.stream
        stop = min(self.machine.nbytes, position + budget)
        while position < stop:
            stream.seek(position)
            chunk = stream.read(min(_CHUNK, stop - position))
            match = _PROTO.search(chunk)
            if match:
                return position + match.start()
            if len(chunk) < 2:  # noqa: PLR2004 - a marker has two bytes
                return None
            position += len(chunk) - 1
        return None

    def facts(self) -> PickleFacts:
        """Return what all runs found."""
        machine = self.machine
        return PickleFacts(
            values=tuple(self.values),
            globals=tuple(sorted({str(ref) for ref in machine.globals.values()})),
            calls=tuple(Count(name, number) for name, number in sorted(machine.calls.items())),
            persistent_count=machine.persistent,
            protocol=machine.protocol,
            end=self.end,
            trailing=machine.nbytes - self.end,
            truncated=self.truncated,
            problem=self.problem,
        )


def _is_identifier(dotted: str) -> bool:
    return dotted.isascii() and all(part.isidentifier() for part in dotted.split("."))
