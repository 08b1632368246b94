"""Changed, missing, extra, renamed: laws of the comparison."""

from hypothesis import given
from hypothesis import strategies as st

from mlbom.verify.files.compare import Differences, compare, differing

FILES = st.dictionaries(
    st.sampled_from("abcdef"), st.sampled_from("123").map(lambda d: {"sha256": d}), max_size=6
)


@given(FILES)
def test_equal_trees_do_not_differ(files: dict[str, dict[str, str]]) -> None:
    assert compare(files, dict(reversed(files.items()))) == Differences((), (), (), ())


@given(FILES, FILES)
def test_every_file_is_accounted_for_once(
    listed: dict[str, dict[str, str]], found: dict[str, dict[str, str]]
) -> None:
    d = compare(listed, found)
    same = [p for p in listed if found.get(p) == listed[p]]
    assert sorted((*same, *d.changed, *d.missing, *(old for old, _ in d.renamed))) == sorted(listed)
    kept = [p for p in listed if p in found]
    assert sorted((*kept, *d.extra, *(new for _, new in d.renamed))) == sorted(found)
    assert all(listed[old] == found[new] for old, new in d.renamed)


def test_one_new_file_explains_one_lost_file_only() -> None:
    one = {"sha256": "1"}
    assert compare({"a": one, "b": one}, {"c": one}) == Differences((), ("b",), (), (("a", "c"),))


def test_every_signed_digest_must_hold() -> None:
    both = {"sha256": "1", "sha512": "2"}
    assert differing(both, both) == ""
    assert differing(both, {"sha256": "1", "sha512": "3"}) == "sha512"
    assert differing(both, {"sha256": "1"}) == "sha512"
    assert differing({"sha256": "1"}, both) == ""
    assert compare({"a": both}, {"b": {"sha256": "1", "sha512": "3"}}).missing == ("a",)
