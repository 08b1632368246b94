"""The classic in-toto links that lie beside records: copied along when they are well formed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbom.attest.classic import LINK_SUFFIX, LINK_TYPE, MOST_LINK
from mlbom.attest.dsse import parse_envelope
from mlbom.collect.runs.record import Record
from mlbom.errors import MalformedError, UnreadableError
from mlbom.formats.strict_json import parse_json
from mlbom.openfile import read_regular

# in-toto names a link after its step and the first digits of the key id (models/link.py).
_NAME = re.compile(r"[\w.+ -]{1,120}\.[0-9a-f]{8}" + re.escape(LINK_SUFFIX))


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The links of joined records.

    Args:
        files: bytes by file name.
        unreadable: place and reason of each one that is left out.
    """

    files: Mapping[str, bytes]
    unreadable: tuple[tuple[str, UnreadableError], ...]


def find_links(records: Iterable[Record]) -> Links:
    """Return the links that lie beside records and are of their steps."""
    files: dict[str, bytes] = {}
    unreadable: list[tuple[str, UnreadableError]] = []
    for record in records:
        for path in sorted(record.path.parent.glob(f"*{LINK_SUFFIX}")):
            place = f"{record.place.rpartition('/')[0]}/{path.name}".lstrip("/")
            try:
                data = _read(path, place, record.claim.name)
            except UnreadableError as error:
                unreadable.append((place, error))
                continue
            if data is None:
                continue
            # Of two runs of one step the later one's link stands: they cannot share a name.
            files[path.name] = data
    return Links(files=files, unreadable=tuple(unreadable))


def _read(path: Path, place: str, step: str) -> bytes | None:
    """Return a link's bytes, or None when it is of another step.

    Raises:
        UnreadableError: its name, size or content is not that of a link in a DSSE envelope.
    """
    if not _NAME.fullmatch(path.name):
        message = "a link has a name of another form than STEP.KEYID8.link"
        raise MalformedError(message)
    try:
        data = read_regular(path, MOST_LINK, place)
    except OSError as error:
        message = f"cannot read {place}: {error.strerror or error}"
        raise UnreadableError(message) from error
    try:
        envelope = parse_envelope(parse_json(data, place, safe_integers=True))
        told = parse_json(envelope.payload, place, safe_integers=True)
    except MalformedError as error:
        message = f"{place} is no link: {error}"
        raise MalformedError(message) from error
    if not isinstance(told, dict) or told.get("_type") != LINK_TYPE:
        message = f"{place} is no link: its payload is of another type"
        raise MalformedError(message)
    return data if told.get("name") == step else None
