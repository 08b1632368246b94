"""One value of a policy file together with its place, so that every message names the place."""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from mlbom.attest.moment import parse_timestamp
from mlbom.errors import MalformedError, PolicyError

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
TIME = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,9})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)
AGE = r"[1-9][0-9]{0,5}[smhdw]"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MOST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Field:
    """A value of a policy.

    Args:
        value: plain data from YAML.
        place: path of keys, for example `steps.train.threshold`; empty for the whole file.
        file: how messages name the file.
    """

    value: Any
    place: str
    file: str

    def refuse(self, why: str, hint: str = "") -> NoReturn:
        """Refuse the policy with a message that names the place.

        Raises:
            PolicyError: always.
        """
        message = f"{self.file}: {self.place}: {why}" if self.place else f"{self.file}: {why}"
        raise PolicyError(message, hint=hint)

    def at(self, key: str, value: object) -> "Field":
        """Return a value below this one."""
        place = f"{self.place}.{key}" if self.place else key
        return Field(value, place, self.file)

    def table(self, keys: Iterable[str], required: Iterable[str] = ()) -> dict[str, "Field"]:
        """Return the values of a table by key; only the keys given may stand there.

        Raises:
            PolicyError: no table, an unknown key, or a missing one.
        """
        known = tuple(keys)
        found = dict(self._pairs("a table of settings"))
        for key, field in found.items():
            if key not in known:
                field.refuse("unknown key", did_you_mean(key, known))
        for key in required:
            if key not in found:
                self.refuse(f"the key {key} is missing")
        return found

    def named(self, what: str) -> Iterator[tuple[str, "Field"]]:
        """Yield the values of a table whose keys are names that the policy's author chose.

        Raises:
            PolicyError: no table, or a key that is no name.
        """
        for name, field in self._pairs(f"a table of {what}"):
            if not re.fullmatch(NAME, name):
                field.refuse(f"{name!r} is not a name: letters, digits, dot, dash, underscore")
            yield name, field

    def _pairs(self, wanted: str) -> Iterator[tuple[str, "Field"]]:
        if not isinstance(self.value, dict):
            self.wrong(wanted)
        for key, value in self.value.items():
            yield key, self.at(key, value)

    def items(self) -> tuple["Field", ...]:
        """Return the items of a list.

        Raises:
            PolicyError: no list.
        """
        if not isinstance(self.value, list):
            self.wrong("a list")
        return tuple(
            Field(item, f"{self.place}[{number}]", self.file)
            for number, item in enumerate(self.value)
        )

    def texts(self) -> tuple[str, ...]:
        """Return the texts of a list."""
        return tuple(item.text() for item in self.items())

    def text(self, pattern: str = r".+", meaning: str = "a text") -> str:
        """Return a text of one line that fits a regular expression.

        Raises:
            PolicyError: it is no text, or does not fit.
        """
        if not isinstance(self.value, str):
            is_scalar = isinstance(self.value, bool | int | float)
            self.wrong(meaning, "write it in quotes" if is_scalar else "")
        if not re.fullmatch(pattern, self.value):
            self.wrong(meaning)
        return self.value

    def choice(self, choices: Iterable[str]) -> str:
        """Return a text that is one of some."""
        known = tuple(choices)
        if not isinstance(self.value, str) or self.value not in known:
            hint = did_you_mean(self.value, known) if isinstance(self.value, str) else ""
            self.wrong(f"one of {', '.join(known)}", hint)
        return self.value

    def flag(self) -> bool:
        """Return a truth value."""
        if not isinstance(self.value, bool):
            self.wrong("true or false")
        return self.value

    def whole(self, least: int, most: int) -> int:
        """Return an integer within bounds."""
        is_integer = self._is_number() and self.value == self.value // 1
        if not is_integer or not least <= self.value <= most:
            self.wrong(f"a whole number from {least} to {most}")
        return int(self.value)

    def number(self) -> float:
        """Return a finite number."""
        if not self._is_number():
            self.wrong("a number")
        return float(self.value)

    def _is_number(self) -> bool:
        is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        return is_number and abs(self.value) < float("inf")

    def time(self) -> int:
        """Return a moment in seconds since 1970."""
        meaning = "a time with its zone, such as 2026-01-01T00:00:00Z"
        text = self.text(TIME, meaning)
        try:
            return parse_timestamp(text)
        except MalformedError:
            self.wrong(meaning)

    def age(self) -> int:
        """Return a span of time in seconds."""
        text = self.text(AGE, "a span such as 90d (s, m, h, d or w)")
        return int(text[:-1]) * _SECONDS[text[-1]]

    def wrong(self, wanted: str, hint: str = "") -> NoReturn:
        """Refuse a value that is not what its place takes.

        Raises:
            PolicyError: always.
        """
        shown = "nothing" if self.value is None else repr(self.value)[:_MOST_SHOWN]
        self.refuse(f"takes {wanted}, not {shown}", hint)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known word, or all of them."""
    choices = tuple(known)
    near = difflib.get_close_matches(word, choices, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(choices)}"
