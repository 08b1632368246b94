"""The files of a model, and their digests for a signature over all of them.

Source: ossf/model-signing-spec v1.0 section 6. Ignored paths are the same as everywhere
(`mlbom.digest.ignore`); links, devices and names that cannot be written down are refused.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbom import guard
from mlbom.attest.oms import WHOLE_FILE
from mlbom.attest.statement import unsafe_name
from mlbom.digest.cache import StatCache
from mlbom.digest.hashing import FileDigest, Hashing, Reading
from mlbom.digest.ignore import CACHE_FOLDER, ignore_list
from mlbom.digest.tree import Entry, EntryKind, walk_files
from mlbom.errors import FileNameError, UnreadableError, UsageError


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model.

    Args:
        root: folder that their paths are relative to.
        entries: the files.
        ignored: root-relative prefixes that were left out.
        is_file: whether the model is one file, which the statement calls `WHOLE_FILE`.
    """

    root: Path
    entries: tuple[Entry, ...]
    ignored: tuple[str, ...] = ()
    is_file: bool = False

    def name_of(self, entry: Entry) -> str:
        """Return how the statement calls a file."""
        return WHOLE_FILE if self.is_file else entry.path

    def by_location(self, digests: Mapping[str, str]) -> Mapping[str, str]:
        """Return digests by the place of the bytes instead of by the statement's names."""
        named = ((self.name_of(entry), entry.location) for entry in self.entries)
        return {location: digests[name] for name, location in named if name in digests}


class AgreeingCache:
    """A digest cache that is believed only where an earlier signature says the same.

    Args:
        cache: what was hashed before.
        root: folder of the model.
        signed: SHA-256 of the earlier signature by place below the root; empty believes nothing.
    """

    def __init__(self, cache: StatCache, root: Path, signed: Mapping[str, str]) -> None:
        self._cache = cache
        self._skip = len(os.path.join(root, ""))
        self._signed = signed
        self.taken = 0

    def get(self, path: str, status: os.stat_result) -> FileDigest | None:
        """Return the digests of a file that is unchanged, and was signed with them."""
        signed = self._signed.get(path[self._skip :])
        known = self._cache.get(path, status) if signed else None
        if known is None or known.sha256 != signed:
            return None
        self.taken += 1
        return known

    def put(self, path: str, reading: Reading, found: FileDigest) -> None:
        """Remember what was hashed, for the next time."""
        self._cache.put(path, reading, found)

    def save(self) -> None:
        """Write what is new."""
        self._cache.save()


def find_model_files(path: Path, signature: Path) -> ModelFiles:
    """Return the files of a model, in bytewise path order.

    Args:
        path: a directory or a file, absolute.
        signature: where the signature lies or will lie, absolute; it is no part of the model.

    Raises:
        UnreadableError, FileNameError: something that cannot be signed.
        UsageError: no file at all.
    """
    if not path.is_dir():
        entry = Entry(path.name, EntryKind.LINK if path.is_symlink() else EntryKind.SPECIAL)
        if path.is_file() and not path.is_symlink():
            entry = Entry(path.name, EntryKind.FILE, path.stat().st_size)
        return ModelFiles(path.parent, tuple(_signable([entry])), is_file=True)
    is_inside = signature.is_relative_to(path)
    extra = (signature.relative_to(path).as_posix(),) if is_inside else ()
    covered = ignore_list(model_directory=True, extra=extra)
    entries = list(walk_files(path, covered.covers))
    skipped = {entry.path for entry in entries if entry.kind is EntryKind.SKIPPED}
    files = tuple(_signable(e for e in entries if e.kind is not EntryKind.SKIPPED))
    if not files:
        message = f"{path} holds no file to sign"
        raise UsageError(message, hint="name the directory of the model, or its only file")
    caches = {name for name in skipped if name.rsplit("/", 1)[-1] == CACHE_FOLDER}
    return ModelFiles(path, files, tuple(sorted({*covered.prefixes, *caches})))


def _signable(entries: Iterable[Entry]) -> Iterable[Entry]:
    """Yield files; refuse everything else, as the reference tool does."""
    kinds = {
        EntryKind.LINK: "is a link, and a signature covers files",
        EntryKind.SPECIAL: "is a device, pipe or socket",
        EntryKind.UNREADABLE: "cannot be read",
    }
    for entry in entries:
        if entry.kind is not EntryKind.FILE:
            message = f"{guard.unicode_path(entry.path) or 'the model'} {kinds[entry.kind]}"
            raise UnreadableError(message, hint="put the file itself there, or move it away")
        if reason := unsafe_name(entry.path):
            message = f"the file name {guard.unicode_path(entry.path)!r} {reason}"
            raise FileNameError(message, hint="rename the file")
        yield entry


def hash_model(tree: ModelFiles, cache: AgreeingCache) -> Mapping[str, str]:
    """Return SHA-256 by the names of the statement.

    Raises:
        UnreadableError: a file cannot be read, or changed meanwhile.
    """
    wanted = [(entry.location, entry.nbytes) for entry in tree.entries]
    with Hashing(tree.root, cache=cache) as hashing:
        outcomes = hashing.start(wanted).result()
    cache.save()
    files = {}
    for entry in tree.entries:
        outcome = outcomes[entry.location]
        if isinstance(outcome, UnreadableError):
            raise outcome
        files[tree.name_of(entry)] = outcome.sha256
    return files
