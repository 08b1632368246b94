"""The canonical digest of the tensors in a file: the same for every packaging of the same tensors.

How to compute it again, from any file of tensors:

1. Each tensor gives one row `[name, dtype, shape, sha256]`. `dtype` is the name that safetensors
   uses (`F32`, `BF16`, `I64`, ...; `C32`, `C128` and the like where it has none), `shape` a list of
   integers (empty for a scalar), `sha256` the SHA-256, in lower-case hexadecimal digits, of the
   elements as little-endian bytes in row-major order (what `tensor.contiguous()` holds, and what a
   safetensors file stores). Elements narrower than a byte are packed as safetensors packs them.
2. A tensor whose values depend on more than these bytes has a fifth item, that as a text: `conj` or
   `neg` for torch's lazy conjugation and negation, a quantiser's scheme, scale and zero point, the
   size of the sparse tensor that it is a part of. A tensor without data (`meta`) has that text and
   an empty `sha256`.
3. Rows are sorted by name, by code point. A name that stands for another tensor (tied weights) has
   a row as every other; that it shares its storage is packaging.
4. The digest is the SHA-256 of the rows as one JSON array of arrays, in UTF-8, without white space,
   with no escapes but those that JSON demands.

In Python, for a safetensors file: `sha256(json.dumps(sorted([name, dtype, shape, digest] for ...),
separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()`.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlbom.errors import UnreadableError
from mlbom.evidence.canonical import canonical_json
from mlbom.formats.tensors.file import TensorFile
from mlbom.formats.tensors.opening import open_tensors
from mlbom.formats.tensors.rows import TensorRow

CHUNK = 4 * 1024 * 1024


def canonical_digest(path: Path) -> str:
    """Return the canonical digest of all tensors in a file, in hexadecimal digits.

    Raises:
        OSError: missing or unreadable.
        UnreadableError: the tensors, or one of them, cannot be read (`open_tensors`), or the file
            changed meanwhile.
    """
    with open_tensors(path) as opened:
        digests: dict[str, str] = {}
        for row in opened.rows:
            if row.problem:
                message = f"{row.name[:80]!a} in {opened.name} cannot be read: {row.problem}"
                raise UnreadableError(message)
            digests[row.name] = digests[row.alias_of] if row.alias_of else row_digest(opened, row)
        opened.check_unchanged()
        return digest_of(opened.rows, digests)


def row_digest(opened: TensorFile, row: TensorRow) -> str:
    """Return the SHA-256 of one tensor's bytes, empty when it has none."""
    if not row.has_data:
        return ""
    hasher = hashlib.sha256()
    for _, data in opened.chunks(row, CHUNK):
        hasher.update(data)
    return hasher.hexdigest()


def digest_of(rows: Iterable[TensorRow], digests: Mapping[str, str]) -> str:
    """Return the canonical digest of rows.

    Args:
        rows: in any order, none with a problem.
        digests: SHA-256 of each row's bytes, by name.
    """
    return hashlib.sha256(
        canonical_json(sorted(_canonical(row, digests[row.name]) for row in rows))
    ).hexdigest()


def _canonical(row: TensorRow, digest: str) -> list[Any]:
    told = [row.name, row.dtype, list(row.shape), digest]
    return [*told, row.traits] if row.traits else told
