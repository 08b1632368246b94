"""How two files pack their tensors, where they do it differently: this changes no tensor."""

from mlbom.formats.tensors.file import Fact, Packaging, TensorFile
from mlbom.guard import clean_text
from mlbom.reproduce.tensors.comparison import MOST_TOLD, PackagingDifference
from mlbom.reproduce.tensors.pairing import first_out_of_order

# In this order they are told; what is not in it comes last.
_ORDER = (
    "format", "size", "order of tensors", "archive prefix", "metadata", "import", "code", "value",
    "shards", "member", "alignment", "padding of the header", "bytes of no tensor",
    "shared storage", "strides", "shard", "first differing byte",
)  # fmt: skip
# These tell names of tensors, which are told as they are.
_OF_TENSORS = ("order of tensors", "shared storage", "strides", "shard")
# These tell what loading a file imports or runs.
_RUN = ("import", "code")
# Of a longer text so much is looked through for secrets, and so much of that is told.
_MOST_CLEANED, _MOST_TEXT = 4000, 500


def packaging_differences(
    a: TensorFile, b: TensorFile, first_byte: int | None
) -> tuple[tuple[PackagingDifference, ...], int]:
    """Return the differences of two containers, and how many more there are.

    Args:
        a: an open file.
        b: the other.
        first_byte: where the files differ first, None when they are the same or nobody looked.
    """
    ours, theirs = _facts(a), _facts(b)
    order = first_out_of_order(a.rows, b.rows)
    if order:
        ours[Fact("order of tensors")], theirs[Fact("order of tensors")] = order
    facts = [f for f in ours | theirs if ours.get(f) != theirs.get(f)]
    if not facts and first_byte is not None:
        facts = [Fact("first differing byte")]
        ours[facts[0]] = theirs[facts[0]] = str(first_byte)
    facts.sort(key=lambda f: (_place(f.kind), f))
    told, counted = [], dict.fromkeys((f.kind for f in facts), 0)
    for fact in facts:
        counted[fact.kind] += 1
        if counted[fact.kind] <= MOST_TOLD:
            told.append(_difference(fact, ours.get(fact), theirs.get(fact)))
    return tuple(told), len(facts) - len(told)


def code_differences(a: TensorFile, b: TensorFile) -> tuple[PackagingDifference, ...]:
    """Return what only one of two files would import or run, or each in another way.

    None of it is left out for its number, as `packaging_differences` does: one is too many. At most
    `MOST_TOLD` are told.
    """
    ours, theirs = a.packaging, b.packaging
    facts = (f for f in ours | theirs if f.kind in _RUN and ours.get(f) != theirs.get(f))
    differing = sorted(facts, key=lambda f: (_place(f.kind), f))[:MOST_TOLD]
    return tuple(_difference(fact, ours.get(fact), theirs.get(fact)) for fact in differing)


def _facts(opened: TensorFile) -> Packaging:
    return opened.packaging | {Fact("size"): f"{opened.nbytes} bytes"}


def _place(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _difference(fact: Fact, a: str | None, b: str | None) -> PackagingDifference:
    if fact.kind in _OF_TENSORS:
        return PackagingDifference(kind=fact.kind, name=fact.name, a=a, b=b)
    return PackagingDifference(
        kind=fact.kind,
        name=_cleaned(fact.name),
        a=None if a is None else _cleaned(a),
        b=None if b is None else _cleaned(b),
    )


def _cleaned(text: str) -> str:
    """Return a text that somebody else wrote, without secrets, and its length when it is cut."""
    told = clean_text(text[:_MOST_CLEANED])
    if len(text) <= _MOST_CLEANED and len(told) <= _MOST_TEXT:
        return told
    return f"{told[:_MOST_TEXT]}... ({len(text)} characters)"
