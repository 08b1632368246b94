"""Files of the model tree and their digests as evidence, each with the role it plays."""

import posixpath
from collections.abc import Iterator, Mapping

from mlbom.collect.scope import ModelTree, Witness
from mlbom.digest.hashing import FileDigest
from mlbom.digest.tree import Entry, EntryKind
from mlbom.errors import UnreadableError
from mlbom.evidence.nodes import File, Model
from mlbom.evidence.observation import Gap, GapKind, Observation
from mlbom.evidence.origin import Method
from mlbom.formats.weight_names import is_weight_name

_TOKENIZER = {
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "chat_template.jinja",
    "chat_template.json",
    "bpe.codes",
}


def file_role(path: str) -> str:
    """Return weights, tokenizer, configuration, code, document or other for a model file."""
    name = posixpath.basename(path)
    if is_weight_name(path):
        return "weights"
    if name in _TOKENIZER:
        return "tokenizer"
    suffix = posixpath.splitext(name)[1].lower()
    if suffix in (".json", ".yaml", ".yml", ".toml", ".cfg"):
        return "configuration"
    if suffix in (".py", ".so", ".dll", ".dylib", ".sh", ".jinja"):
        return "code"
    if suffix in (".md", ".rst", ".pdf") or name.upper().startswith(("LICENSE", "LICENCE")):
        return "document"
    return "other"


def _not_a_file(entry: Entry, witness: Witness) -> Iterator[Observation | Gap]:
    subject = f"file:{entry.path}"
    if entry.kind is EntryKind.LINK:
        yield witness.observes(File(id=subject, path=entry.path, link=entry.target))
        reason = "a link is recorded and not followed: verify trusts no directory that holds one"
        yield witness.misses(subject, reason, field="digests")
        return
    special = entry.kind is EntryKind.SPECIAL
    what = "a device, pipe or socket is not read" if special else "it cannot be read"
    yield witness.misses(subject, what, kind=GapKind.UNREADABLE)


def observe_files(
    tree: ModelTree, digests: Mapping[str, FileDigest | UnreadableError]
) -> Iterator[Observation | Gap]:
    """Yield a `File` for each file of the model tree, and the totals of the model.

    Args:
        tree: the model's files, relative to the model root.
        digests: what hashing found, by the same paths.
    """
    witness = Witness("files", Method.MEASURED)
    nbytes = 0
    for entry in tree.files:
        subject = f"file:{entry.path}"
        if entry.kind is not EntryKind.FILE:
            yield from _not_a_file(entry, witness)
            continue
        found = digests[entry.path]
        if isinstance(found, UnreadableError):
            yield witness.cannot_read(subject, found)
            continue
        nbytes += found.nbytes
        node = File(
            id=subject,
            path=entry.path,
            role=file_role(entry.path),
            nbytes=found.nbytes,
            digests=found.digests,
        )
        yield witness.observes(node)
    total = Model(id=f"model:{tree.root}", file_count=len(tree.files), nbytes=nbytes)
    yield witness.observes(total)
