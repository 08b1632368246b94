"""Two sets of named files side by side: changed, missing, extra and renamed, never mixed up."""

from collections.abc import Mapping
from dataclasses import dataclass

Digests = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs, each in path order.

    Args:
        changed: files of one name whose digests differ.
        missing: listed names that are not there, and whose bytes are nowhere either.
        extra: names that are there and not listed.
        renamed: (listed name, name found) of files with equal bytes.
    """

    changed: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]


def compare(listed: Mapping[str, Digests], found: Mapping[str, Digests]) -> Differences:
    """Compare files by name and digests.

    Args:
        listed: algorithm -> hex by path, as signed; every digest given must hold.
        found: the same as measured, with at least the algorithms listed.
    """
    changed = tuple(p for p in sorted(listed) if p in found and differing(listed[p], found[p]))
    gone = [path for path in sorted(listed) if path not in found]
    new = {path: found[path] for path in sorted(found) if path not in listed}
    renamed: list[tuple[str, str]] = []
    missing: list[str] = []
    by_digest: dict[str, list[str]] = {}
    for path, digests in new.items():
        by_digest.setdefault(digests["sha256"], []).append(path)
    for path in gone:
        same = [p for p in by_digest.get(listed[path]["sha256"], ()) if p in new]
        if same and not differing(listed[path], new[same[0]]):
            renamed.append((path, same[0]))
            del new[same[0]]
        else:
            missing.append(path)
    return Differences(changed, tuple(missing), tuple(new), tuple(renamed))


def differing(listed: Digests, found: Digests) -> str:
    """Return the first algorithm whose digest does not hold, or an empty text."""
    return next((name for name in sorted(listed) if found.get(name) != listed[name]), "")
