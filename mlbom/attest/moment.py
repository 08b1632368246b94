"""Moments: as statements write them (in-toto Timestamp, RFC 3339 in UTC), and as people read them.

Source: in-toto/attestation spec/v1/field_types.md.
"""

from datetime import UTC, datetime

from mlbom.errors import MalformedError


def timestamp(seconds: int) -> str:
    """Return seconds since 1970 as an in-toto Timestamp."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def told_time(seconds: int) -> str:
    """Return seconds since 1970 as people read them, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def parse_timestamp(text: str) -> int:
    """Read a time as seconds since 1970, fractions cut off.

    Raises:
        MalformedError: not a time of ISO 8601, of which RFC 3339 is a part, or without a zone.
    """
    try:
        told = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text[:80]!r} is not a time"
        raise MalformedError(message) from error
    if told.tzinfo is None:
        message = f"the time {text[:80]!r} has no time zone"
        raise MalformedError(message)
    return int(told.timestamp())
