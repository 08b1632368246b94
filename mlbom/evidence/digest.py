"""The Digest value: an algorithm, its hexadecimal digits, and nothing that could be confused."""

import re
from dataclasses import dataclass

# Names as in the in-toto digest set (in-toto/attestation spec/v1/digest_set.md).
HEX_DIGITS = {"sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128, "blake3": 64}
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A digest with its algorithm.

    Args:
        algorithm: lower-case name, a key of `HEX_DIGITS`.
        value: lower-case hexadecimal digits, as many as the algorithm gives.

    Raises:
        ValueError: unknown algorithm, or not that many hexadecimal digits.
    """

    algorithm: str
    value: str

    def __post_init__(self) -> None:
        """Refuse what is not a digest of the named algorithm."""
        digits = HEX_DIGITS.get(self.algorithm)
        if digits is None:
            message = f"unknown digest algorithm {self.algorithm!r}"
            raise ValueError(message)
        if len(self.value) != digits or not _HEX.fullmatch(self.value):
            message = f"{self.algorithm} takes {digits} lower-case hexadecimal digits"
            raise ValueError(message)

    def __str__(self) -> str:
        """Return `algorithm:hex`, the form used in evidence and messages."""
        return f"{self.algorithm}:{self.value}"

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Read the `algorithm:hex` form.

        Raises:
            ValueError: the text is not of that form.
        """
        algorithm, _, value = text.partition(":")
        return cls(algorithm, value)
