"""The manifest of a file tree: plain `sha256sum` lines in bytewise path order.

Its own SHA-256 is the tree's name-bound identity, `dirHash1` (in-toto/attestation
spec/v1/digest_set.md). `sha256sum -c` verifies a manifest, so lines follow GNU coreutils: a line
whose name holds a backslash, newline or carriage return begins with a backslash and escapes them.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping

from mlbom.errors import MalformedError

_LINE = re.compile(rb"(\\?)([0-9a-f]{64})  (.+)", re.DOTALL)
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}
_UNESCAPES = {escaped: plain for plain, escaped in _ESCAPES.items()}


def manifest_bytes(entries: Iterable[tuple[str, str]]) -> bytes:
    """Return the manifest of files given as (POSIX path, SHA-256 hex) in any order.

    Raises:
        MalformedError: the same path twice.
    """
    lines: dict[bytes, bytes] = {}
    for path, sha256 in entries:
        name = os.fsencode(path)
        if name in lines:
            message = f"the path {path!r} appears twice in a manifest"
            raise MalformedError(message)
        lines[name] = sha256.encode("ascii")
    return b"".join(_line(lines[name], name) for name in sorted(lines))


def parse_manifest(data: bytes) -> Mapping[str, str]:
    """Return path -> SHA-256 hex of a manifest.

    Raises:
        MalformedError: a line of another form, the same path twice, or lines out of order.
    """
    if data and not data.endswith(b"\n"):
        message = "a manifest ends with a newline"
        raise MalformedError(message)
    files: dict[str, str] = {}
    previous = b""
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        match = _LINE.fullmatch(line)
        if not match:
            message = f"line {number} of the manifest is not a sha256sum line"
            raise MalformedError(message)
        name = _unescaped(match[3]) if match[1] else match[3]
        if name <= previous:
            message = f"line {number} of the manifest is out of order or a repetition"
            raise MalformedError(message)
        previous = name
        files[os.fsdecode(name)] = match[2].decode("ascii")
    return files


def dir_hash(manifest: bytes) -> str:
    """Return `dirHash1`, the SHA-256 of a manifest, in hexadecimal digits."""
    return hashlib.sha256(manifest).hexdigest()


def _line(sha256: bytes, name: bytes) -> bytes:
    escaped = re.sub(rb"[\\\n\r]", lambda m: _ESCAPES[m.group()], name)
    mark = b"\\" if escaped != name else b""
    return mark + sha256 + b"  " + escaped + b"\n"


def _unescaped(name: bytes) -> bytes:
    return re.sub(rb"\\[\\nr]", lambda m: _UNESCAPES[m.group()], name)
