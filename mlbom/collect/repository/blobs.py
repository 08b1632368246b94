"""Files of a work tree as git blobs, hashed from their raw bytes."""

import errno
import hashlib
import os
import stat
from typing import NamedTuple

from mlbom.git import GitRepository
from mlbom.git.lfs import POINTER_LIMIT
from mlbom.openfile import open_regular

# Only files up to this size are looked at again for line endings.
TEXT_LIMIT = 16 * 1024 * 1024
# Modes of index entries (git: gitformat-index).
LINK, SUBMODULE, EXECUTABLE = b"120000", b"160000", b"100755"
# Error numbers that say "not there, or something else is there"; `open_regular` gives none.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, None)
_LARGE = 1024 * 1024


class Tracked(NamedTuple):
    """One entry of the index.

    Args:
        path: bytes of the path relative to the top of the repository.
        mode: six octal digits.
        blob: object id in hexadecimal digits.
        is_conflicted: whether a merge has left it undecided.
        is_left_out: whether a sparse checkout leaves its file out.
    """

    path: bytes
    mode: bytes
    blob: str
    is_conflicted: bool
    is_left_out: bool


class BlobReader:
    """Identifies the files of a work tree; follows no link and runs no filter."""

    def __init__(self, repository: GitRepository, *, trusts_mode: bool) -> None:
        """Make a reader for one work tree.

        Args:
            repository: gives the top and the object format.
            trusts_mode: whether the executable bit means something (git's core.fileMode).
        """
        self._top = os.fsencode(repository.top) + b"/"
        self._algorithm = repository.object_format
        self._trusts_mode = trusts_mode
        self._folders: dict[bytes, bool] = {b"": True}

    def identify(self, entry: Tracked) -> tuple[str, bytes]:
        """Return the blob id of a file's raw bytes, and its first bytes.

        Both are empty for a large file: hashing it can wait until it is known to be no content of
        a Git LFS pointer.

        Raises:
            OSError: it is not there or of another kind than the index says (an error number in
                `GONE`), or it cannot be read.
        """
        if not self._is_real(entry.path.rpartition(b"/")[0]):
            raise OSError(errno.ENOTDIR, "a parent is no folder")
        full = self._top + entry.path
        if entry.mode == LINK:
            return self._link(full)
        descriptor = open_regular(os.fsdecode(full))
        try:
            status = os.fstat(descriptor)
            is_executable = bool(status.st_mode & stat.S_IXUSR)
            if self._trusts_mode and is_executable != (entry.mode == EXECUTABLE):
                raise OSError(errno.ELOOP, "another mode")
            content = os.read(descriptor, _LARGE) if status.st_size < _LARGE else None
        finally:
            os.close(descriptor)
        return ("", b"") if content is None else (self._blob_id(content), content[:POINTER_LIMIT])

    def identify_large(self, entry: Tracked) -> str:
        """Return the blob id of a file of any size.

        Raises:
            OSError: it cannot be read.
        """
        descriptor = open_regular(os.fsdecode(self._top + entry.path))
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            head = b"blob %d\0" % os.fstat(descriptor).st_size
            hasher = hashlib.new(self._algorithm, head, usedforsecurity=False)
            while piece := stream.read(_LARGE):
                hasher.update(piece)
        return hasher.hexdigest()

    def identify_with_lf(self, entry: Tracked) -> str:
        """Return the blob id that a text file would have with LF line endings.

        Raises:
            OSError: it cannot be read.
        """
        descriptor = open_regular(os.fsdecode(self._top + entry.path))
        with os.fdopen(descriptor, "rb") as stream:
            text = stream.read(TEXT_LIMIT)
        return self._blob_id(text.replace(b"\r\n", b"\n"))

    def _link(self, full: bytes) -> tuple[str, bytes]:
        try:
            return self._blob_id(os.readlink(full)), b""
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise OSError(errno.ELOOP, "no link") from error
            raise

    def _blob_id(self, content: bytes) -> str:
        """Return the object id of a blob: the hash of `blob SIZE NUL content`."""
        blob = b"blob %d\0%b" % (len(content), content)
        return hashlib.new(self._algorithm, blob, usedforsecurity=False).hexdigest()

    def _is_real(self, folder: bytes) -> bool:
        """Return whether a folder and all above it, up to the top, are folders and no links."""
        known = self._folders.get(folder)
        if known is None:
            ends = [i for i, char in enumerate(folder + b"/") if char == ord("/")]
            known = all(self._is_folder(folder[:end]) for end in ends)
            self._folders[folder] = known
        return known

    def _is_folder(self, folder: bytes) -> bool:
        known = self._folders.get(folder)
        if known is not None:
            return known
        try:
            return stat.S_ISDIR(os.lstat(self._top + folder).st_mode)
        except OSError:
            return False
