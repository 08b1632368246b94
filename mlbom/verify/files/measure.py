"""What lies in a folder now, measured once and held against what was signed."""

import os
import stat
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mlbom.digest.hashing import FileDigest, Hashing
from mlbom.digest.tree import Entry, EntryKind
from mlbom.errors import UnreadableError
from mlbom.verify.files.compare import Digests, compare, differing
from mlbom.verify.files.handover import Handover
from mlbom.verify.verdict import Ledger


@dataclass(slots=True)
class Measured:
    """The entries of a folder.

    Args:
        digests: algorithm -> hex by path, of what could be hashed.
        refused: links, devices, pipes and sockets by path, and what each is.
        unreadable: what could not be read, and why.
    """

    digests: dict[str, Digests] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    def merged(self, other: "Measured") -> "Measured":
        """Return both together."""
        return Measured(
            self.digests | other.digests,
            self.refused | other.refused,
            self.unreadable | other.unreadable,
        )


class Copying(NamedTuple):
    """With which algorithms files are hashed, and who takes a copy on the way, if anyone."""

    algorithms: Sequence[str]
    handover: Handover | None = None


def measure(
    root: Path,
    entries: Iterable[Entry],
    algorithms: Sequence[str],
    known: Mapping[str, Digests] | None = None,
) -> Measured:
    """Hash the files among the entries of a folder, each once and never from a cache.

    Args:
        root: the folder.
        entries: what was found in it.
        algorithms: names out of sha256 and sha512.
        known: digests of files whose bytes were read already; these are not read again.
    """
    measured = Measured()
    # Two names of a hub cache may mean one blob.
    files: dict[str, list[Entry]] = {}
    for entry in entries:
        if known and entry.path in known and entry.kind is EntryKind.FILE:
            measured.digests[entry.path] = known[entry.path]
        elif entry.kind is EntryKind.FILE:
            files.setdefault(entry.location, []).append(entry)
        elif entry.kind is EntryKind.LINK:
            measured.refused[entry.path] = f"a link to {entry.target}"
        elif entry.kind is EntryKind.SPECIAL:
            measured.refused[entry.path] = "a device, pipe or socket"
        elif entry.kind is EntryKind.UNREADABLE:
            measured.unreadable[entry.path] = f"cannot read {entry.path}"
    wanted = ((place, alike[0].nbytes) for place, alike in files.items())
    for place, outcome in Hashing(root, algorithms).start(wanted).result().items():
        for entry in files[place]:
            if isinstance(outcome, FileDigest):
                measured.digests[entry.path] = {d.algorithm: d.value for d in outcome.digests}
            else:
                measured.unreadable[entry.path] = outcome.message
    return measured


def measure_copying(
    root: Path, entries: Iterable[Entry], listed: Container[str], copying: Copying
) -> Measured:
    """Hash the files of a folder as `measure` does, and take a copy of those that are listed.

    Args:
        root: the folder.
        entries: what was found in it.
        listed: paths that belong to the copy; they must be safe names.
        copying: algorithms, and where the copy goes, if anywhere.
    """
    algorithms, handover = copying
    if handover is None:
        return measure(root, entries, algorithms)
    found = list(entries)
    files = [e for e in found if e.kind is EntryKind.FILE and e.path in listed]
    copied = copy_files(root, ((e, e.path) for e in files), copying)
    return copied.merged(measure(root, [e for e in found if e not in files], algorithms))


def copy_files(root: Path, wanted: Iterable[tuple[Entry, str]], copying: Copying) -> Measured:
    """Hash files while they are copied; each is known by the path that it gets in the copy."""
    measured = Measured()
    algorithms, handover = copying
    for path, outcome in handover.take(root, wanted, algorithms) if handover else ():
        if isinstance(outcome, UnreadableError):
            measured.unreadable[path] = outcome.message
        else:
            measured.digests[path] = outcome
    return measured


def locate(root: Path, path: str) -> Entry | None:
    """Return what stands at a safe relative path, or None; no link on the way is followed."""
    place = os.fspath(root)
    parts = path.split("/")
    for number, part in enumerate(parts, start=1):
        place = os.path.join(place, part)
        try:
            status = os.lstat(place)
            if stat.S_ISLNK(status.st_mode):
                return Entry(path, EntryKind.LINK, target=os.readlink(place))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return Entry(path, EntryKind.UNREADABLE)
        if number < len(parts) and not stat.S_ISDIR(status.st_mode):
            return None
    if stat.S_ISREG(status.st_mode):
        return Entry(path, EntryKind.FILE, status.st_size)
    return None if stat.S_ISDIR(status.st_mode) else Entry(path, EntryKind.SPECIAL)


def hold_against(
    ledger: Ledger, listed: Mapping[str, Digests], measured: Measured, witness: str
) -> None:
    """Note every difference between what a witness lists and what was measured.

    Args:
        ledger: takes the problems.
        listed: digests by path, as signed.
        measured: the folder.
        witness: who lists, as messages name it.
    """
    for path, what in sorted(measured.refused.items()):
        ledger.problem("not-a-regular-file", f"{path} is {what}, not a file", path)
    for path, why in sorted(measured.unreadable.items()):
        ledger.problem("unreadable", why, path)
    seen = {p: d for p, d in listed.items() if not _explained(p, measured)}
    differences = compare(seen, measured.digests)
    for path in differences.changed:
        note_mismatch(ledger, path, listed[path], measured.digests[path])
    for path in differences.missing:
        ledger.problem("file-missing", f"{path} is missing, {witness} lists it", path)
    for path in differences.extra:
        ledger.problem("file-extra", f"{path} is here, but {witness} does not list it", path)
    for path, name in differences.renamed:
        message = f"{path} has been renamed: its bytes are here as {name}"
        ledger.problem("file-renamed", message, path)


def note_mismatch(ledger: Ledger, path: str, listed: Digests, found: Digests) -> None:
    """Note that a file has other bytes than the signed ones, with both digests."""
    name = differing(listed, found)
    message = f"{path} was changed: its {name} is {found.get(name)}, signed is {listed[name]}"
    ledger.problem("digest-mismatch", message, path)


def _explained(path: str, measured: Measured) -> bool:
    """Return whether a path is refused or unreadable itself, or lies below what is."""
    parts = path.split("/")
    above = {"/".join(parts[:n]) for n in range(1, len(parts) + 1)}
    return not above.isdisjoint(measured.refused) or not above.isdisjoint(measured.unreadable)
