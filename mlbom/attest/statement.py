"""The in-toto Statement v1 as frozen data: what a signature is about, and what it says.

Source: in-toto/attestation spec/v1/statement.md. Stricter than the specification, so that two
readers cannot understand one statement differently: subjects carry sha256 and at most sha512 beside
it, their names are relative POSIX paths and unique, and unknown fields are refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlbom.attest.types import STATEMENT_TYPE
from mlbom.errors import FileNameError, MalformedError
from mlbom.evidence.canonical import canonical_json
from mlbom.evidence.digest import Digest

MAX_NAME = 4096
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DOTTED = frozenset({"", ".", ".."})
_DIGEST_NAMES = frozenset({"sha256", "sha512"})


def unsafe_name(name: str) -> str:
    """Return why a name may not stand in a statement, or an empty text.

    A safe name is a relative POSIX path that stays below its root on every system: no absolute
    path, drive letter, backslash, empty or dotted component, control character or lone surrogate.
    """
    faults = (
        (not name, "is empty"),
        (len(name) > MAX_NAME, f"is longer than {MAX_NAME} characters"),
        (name.startswith("/") or _DRIVE.match(name), "is absolute"),
        ("\\" in name, "holds a backslash"),
        (_CONTROL.search(name), "holds a control character"),
        (_SURROGATE.search(name), "is not valid UTF-8"),
        (not _DOTTED.isdisjoint(name.split("/")), "holds an empty or dotted component"),
    )
    return next((reason for at_fault, reason in faults if at_fault), "")


@dataclass(frozen=True, slots=True)
class Subject:
    """One artefact that a statement is about.

    Args:
        name: relative POSIX path.
        sha256: 64 lower-case hexadecimal digits.
        sha512: 128 lower-case hexadecimal digits, or None.

    Raises:
        FileNameError: the name is unsafe (`unsafe_name`).
        MalformedError: a digest has another form.
    """

    name: str
    sha256: str
    sha512: str | None = None

    def __post_init__(self) -> None:
        """Refuse unsafe names and malformed digests."""
        if reason := unsafe_name(self.name):
            message = f"the subject name {self.name[:200]!r} {reason}"
            raise FileNameError(message)
        try:
            for algorithm, value in self.digests.items():
                Digest(algorithm, value)
        except ValueError as error:
            message = f"the digest of subject {self.name!r} is malformed: {error}"
            raise MalformedError(message) from error

    @property
    def digests(self) -> Mapping[str, str]:
        """Return algorithm -> hexadecimal digits."""
        both = {"sha256": self.sha256, "sha512": self.sha512}
        return {algorithm: value for algorithm, value in both.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement: some subjects, and a predicate that holds of them.

    Args:
        subjects: at least one, with unique names.
        predicate_type: type URI of the predicate.
        predicate: a JSON object.

    Raises:
        MalformedError: no subject, a name twice, or no predicate type.
    """

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse a statement about nothing, and one that names a subject twice."""
        if not self.subjects:
            message = "a statement needs at least one subject"
            raise MalformedError(message)
        if not self.predicate_type:
            message = "a statement needs a predicate type"
            raise MalformedError(message)
        seen: set[str] = set()
        for subject in self.subjects:
            if subject.name in seen:
                message = f"the statement names the subject {subject.name!r} twice"
                raise MalformedError(message)
            seen.add(subject.name)

    def payload(self) -> bytes:
        """Return the compact canonical JSON that is signed.

        Raises:
            ValueError, TypeError: the predicate is no JSON value (`mlbom.evidence.canonical`).
        """
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [
                    {"name": subject.name, "digest": dict(subject.digests)}
                    for subject in self.subjects
                ],
                "predicateType": self.predicate_type,
                "predicate": dict(self.predicate),
            }
        )


def parse_statement(document: object) -> Statement:
    """Read a statement from parsed JSON, after its signature has been checked.

    Args:
        document: the payload, parsed strictly (no repeated keys, integers within 2^53).

    Raises:
        MalformedError: another type, an unknown field, no subject, a repeated subject, a digest
            set without sha256 or with algorithms beyond sha256 and sha512.
        FileNameError: an unsafe subject name.
    """
    told = json_object(document, "statement", {"_type", "subject", "predicateType", "predicate"})
    if told["_type"] != STATEMENT_TYPE:
        message = f"the statement has the type {str(told['_type'])[:200]!r}"
        raise MalformedError(message)
    subjects, predicate_type = told["subject"], told["predicateType"]
    if not isinstance(subjects, list) or not isinstance(predicate_type, str):
        message = "the statement's subject is no list, or its predicateType no text"
        raise MalformedError(message)
    if not isinstance(told["predicate"], dict):
        message = "the statement's predicate is not an object"
        raise MalformedError(message)
    parsed = tuple(_parse_subject(subject) for subject in subjects)
    return Statement(parsed, predicate_type, told["predicate"])


def json_object(document: object, what: str, keys: set[str]) -> dict[str, Any]:
    """Return a JSON object that has exactly these keys.

    Raises:
        MalformedError: no object, a missing key, or an unknown one.
    """
    if not isinstance(document, dict):
        message = f"the {what} is not an object"
        raise MalformedError(message)
    if unknown := sorted(document.keys() - keys):
        message = f"the {what} has the unknown field {unknown[0][:80]!r}"
        raise MalformedError(message)
    if missing := sorted(keys - document.keys()):
        message = f"the {what} lacks the field {missing[0]!r}"
        raise MalformedError(message)
    return document


def _parse_subject(document: object) -> Subject:
    told = json_object(document, "subject", {"name", "digest"})
    name, digests = told["name"], told["digest"]
    if not isinstance(name, str) or not isinstance(digests, dict):
        message = "a subject's name is no text, or its digest no object"
        raise MalformedError(message)
    if not all(isinstance(value, str) for value in digests.values()):
        message = f"a digest of subject {name[:200]!r} is not a text"
        raise MalformedError(message)
    if unknown := sorted(digests.keys() - _DIGEST_NAMES):
        message = f"subject {name[:200]!r} carries the digest {unknown[0][:40]!r}, not sha256"
        raise MalformedError(message)
    if "sha256" not in digests:
        message = f"subject {name[:200]!r} carries no sha256"
        raise MalformedError(message)
    return Subject(name, digests["sha256"], digests.get("sha512"))
