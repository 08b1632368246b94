"""The OMS predicate: order, root digest, and reading what another signer wrote."""

import hashlib
import json

import pytest

from mlbom.attest.oms import oms_statement, parse_oms, root_digest
from mlbom.attest.statement import Statement, Subject, parse_statement
from mlbom.errors import FileNameError, MalformedError

FILES = {
    name: hashlib.sha256(name.encode()).hexdigest()
    for name in ("a-c", "a/b", "a.txt", "Z", "é", "z", "\U0001f600", "\ufffd")
}


def test_resources_are_sorted_by_code_point() -> None:
    """The reference signer sorts by path parts instead, `a/b` before `a-c`."""
    statement = oms_statement("m", FILES, ())
    names = [resource["name"] for resource in statement.predicate["resources"]]
    assert names == ["Z", "a-c", "a.txt", "a/b", "z", "é", "\ufffd", "\U0001f600"]
    assert names == sorted(names, key=str.encode)


def test_equal_models_give_equal_bytes() -> None:
    reversed_files = dict(reversed(FILES.items()))
    one = oms_statement("m", FILES, ("b", "a"))
    assert one.payload() == oms_statement("m", reversed_files, ("a", "b", "a")).payload()


def test_the_root_covers_the_raw_digests_in_order() -> None:
    raw = b"".join(bytes.fromhex(FILES[name]) for name in sorted(FILES))
    statement = oms_statement("m", FILES, ())
    assert statement.subjects == (Subject("m", hashlib.sha256(raw).hexdigest()),)


def test_the_predicate_says_how_files_were_hashed() -> None:
    predicate = oms_statement("m", {"a": "0" * 64}, (".git",)).predicate
    assert predicate["serialization"] == {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [".git"],
    }


def test_a_statement_survives_its_bytes() -> None:
    payload = oms_statement("m", FILES, (".git",)).payload()
    signed = parse_oms(parse_statement(json.loads(payload)))
    assert (signed.name, dict(signed.files), signed.ignored) == ("m", FILES, (".git",))


def test_another_order_is_read_in_the_order_found() -> None:
    predicate = dict(oms_statement("m", FILES, ()).predicate)
    predicate["resources"] = list(reversed(predicate["resources"]))
    digests = [resource["digest"] for resource in predicate["resources"]]
    found = Statement(
        (Subject("m", root_digest(digests)),), "https://model_signing/signature/v1.0", predicate
    )
    assert dict(parse_oms(found).files) == FILES


def test_an_empty_model_cannot_be_signed() -> None:
    with pytest.raises(MalformedError, match="at least one file"):
        oms_statement("m", {}, ())


@pytest.mark.parametrize("name", ["../a", "a\\b", "a\nb", "\ud800"])
def test_a_file_with_an_unsafe_name_cannot_be_signed(name: str) -> None:
    with pytest.raises(FileNameError, match="file name"):
        oms_statement("m", {name: "0" * 64}, ())


def test_two_subjects_are_no_oms_statement() -> None:
    statement = oms_statement("m", FILES, ())
    two = (*statement.subjects, Subject("n", "0" * 64))
    with pytest.raises(MalformedError, match="one model"):
        parse_oms(Statement(two, statement.predicate_type, statement.predicate))


def test_a_model_that_is_one_file_is_called_by_a_dot() -> None:
    """As the reference tool does; no other statement may name the folder itself."""
    statement = oms_statement("m.gguf", {".": "0" * 64}, ())
    signed = parse_oms(parse_statement(json.loads(statement.payload())))
    assert dict(signed.files) == {".": "0" * 64}
    with pytest.raises(FileNameError, match="dotted"):
        oms_statement("m", {".": "0" * 64, "a": "0" * 64}, ())
    two = dict(oms_statement("m", FILES, ()).predicate)
    two["resources"] = [{**two["resources"][0], "name": "."}, *two["resources"][1:]]
    with pytest.raises(FileNameError, match="dotted"):
        parse_oms(Statement(statement.subjects, statement.predicate_type, two))
