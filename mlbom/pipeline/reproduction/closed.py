"""Which closed release a reproduction is about, where one was made before it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from mlbom.attest.bundle import FOLDER, MAX_BYTES, SUFFIX, parse_bundle
from mlbom.attest.statement import parse_statement
from mlbom.attest.types import RELEASE_PREDICATE
from mlbom.errors import UnreadableError
from mlbom.formats.strict_json import parse_json
from mlbom.openfile import read_regular


def closing_of(release: Path, weights: Mapping[str, str]) -> str:
    """Return the SHA-256 of the closing bundle of a release that holds all these weights.

    Args:
        release: the output directory; it may be missing.
        weights: SHA-256 by name of the reproduced weight files.

    Returns:
        An empty text where there is no such release, or it holds other weights. Nothing is
        verified here: whoever verifies the release holds the digest against what he trusts.
    """
    found = (
        hashlib.sha256(data).hexdigest()
        for path in sorted((release / FOLDER).glob(f"*{SUFFIX}"))
        if (data := _closing(path, frozenset(weights.values())))
    )
    return next(found, "")


def _closing(path: Path, wanted: frozenset[str]) -> bytes:
    """Return a bundle when it closes a release with these digests, else nothing."""
    try:
        data = read_regular(path, MAX_BYTES, path.name)
        payload = parse_bundle(parse_json(data, path.name)).envelope.payload
        statement = parse_statement(parse_json(payload, path.name))
    except (OSError, UnreadableError):
        return b""
    closes = statement.predicate_type == RELEASE_PREDICATE
    return data if closes and wanted <= {s.sha256 for s in statement.subjects} else b""
