"""The in-toto Statement: what it is made of, its bytes, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbom.attest.statement import Statement, Subject, parse_statement, unsafe_name
from mlbom.errors import FileNameError, MalformedError

A, B = "a" * 64, "b" * 128
STATEMENT = Statement((Subject("model/a", A), Subject("b", A, B)), "urn:x", {"z": 1, "a": [2]})


def test_the_payload_is_compact_canonical_json() -> None:
    assert STATEMENT.payload() == (
        b'{"_type":"https://in-toto.io/Statement/v1","predicate":{"a":[2],"z":1},'
        b'"predicateType":"urn:x","subject":[{"digest":{"sha256":"' + A.encode() + b'"},'
        b'"name":"model/a"},{"digest":{"sha256":"'
        + A.encode()
        + b'","sha512":"'
        + B.encode()
        + b'"},"name":"b"}]}'
    )


def test_integers_stay_integers() -> None:
    """A protobuf struct would write 42.0 (and lose digits of large ones)."""
    payload = Statement((Subject("a", A),), "urn:x", {"n": 42, "m": 2**53}).payload()
    assert b'"n":42' in payload
    assert b'"m":9007199254740992' in payload
    with pytest.raises(ValueError, match="2\\^53"):
        Statement((Subject("a", A),), "urn:x", {"n": 2**53 + 1}).payload()


def test_a_statement_survives_its_bytes() -> None:
    assert parse_statement(json.loads(STATEMENT.payload())) == STATEMENT


@pytest.mark.parametrize(
    "name",
    [
        *("", "/a", "//a", "a/../b", "..", ".", "./a", "a//b", "a/", "C:", "c:/a", "a\\b"),
        *("a\x00", "a\nb", "a\rb", "a\x1bb", "a\x7f", "a\x85b", "a\ud800", "x" * 4097),
    ],
)
def test_an_unsafe_name_is_refused(name: str) -> None:
    assert unsafe_name(name)
    with pytest.raises(FileNameError):
        Subject(name, A)


@pytest.mark.parametrize("name", ["a", "a/b.c", ".hidden", "..a", "a..", "é/ü 1", "a:b/c", "ab:c"])
def test_an_ordinary_name_is_accepted(name: str) -> None:
    if name == "a:b/c":
        assert unsafe_name(name) == "is absolute"  # a drive letter on Windows
    else:
        assert Subject(name, A).name == name


@given(st.text(max_size=20))
def test_a_name_that_is_accepted_stays_below_its_root(name: str) -> None:
    if not unsafe_name(name):
        name.encode("utf-8")
        parts = name.split("/")
        assert all(parts)
        assert not {".", ".."} & set(parts)


@pytest.mark.parametrize("digest", ["", "A" * 64, "a" * 63, "a" * 65, "g" * 64])
def test_a_malformed_digest_is_refused(digest: str) -> None:
    with pytest.raises(MalformedError, match="malformed"):
        Subject("a", digest)
    with pytest.raises(MalformedError, match="malformed"):
        Subject("a", A, digest)


def test_a_statement_about_nothing_is_refused() -> None:
    with pytest.raises(MalformedError, match="at least one subject"):
        Statement((), "urn:x", {})
    with pytest.raises(MalformedError, match="predicate type"):
        Statement((Subject("a", A),), "", {})


def test_a_repeated_subject_is_refused() -> None:
    with pytest.raises(MalformedError, match="'a' twice"):
        Statement((Subject("a", A), Subject("a", B[:64])), "urn:x", {})


@pytest.mark.parametrize("document", [None, [], "x", 1, {}, {"_type": None}])
def test_what_is_no_statement_is_refused(document: object) -> None:
    with pytest.raises(MalformedError):
        parse_statement(document)
