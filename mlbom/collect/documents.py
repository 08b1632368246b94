"""Documents beside the code and the model: licence texts and readme titles."""

import hashlib
import posixpath
import re
from collections.abc import Iterator

from mlbom.collect.cards import split_front_matter
from mlbom.collect.licence_texts import identify_text
from mlbom.collect.scope import Scope, Witness
from mlbom.errors import UnreadableError
from mlbom.evidence.digest import Digest
from mlbom.evidence.nodes import Document
from mlbom.evidence.observation import Gap, Observation
from mlbom.evidence.origin import Method

_KINDS = {
    "licence": re.compile(r"(LICEN[CS]E|COPYING|NOTICE)([.-].*)?", re.IGNORECASE),
    "readme": re.compile(r"README(\.(md|rst|txt))?", re.IGNORECASE),
    "citation": re.compile(r"CITATION(\.(cff|bib))?", re.IGNORECASE),
    "security-policy": re.compile(r"SECURITY\.md", re.IGNORECASE),
    "model-card": re.compile(r"(MODEL_CARD\.md|modelcard\.ya?ml)", re.IGNORECASE),
}
_TITLE = re.compile(r"^(?:#\s+(.+?)\s*#*|(.+)\n=+)\s*$", re.MULTILINE)


class DocumentsCollector:
    """Reads the documents at PATH and in the model root."""

    name = "documents"

    def collect(self, scope: Scope) -> Iterator[Observation | Gap]:
        """Yield a `Document` for each, with the licence that its text is and the title it has."""
        witness = Witness(self.name, Method.MEASURED)
        folders = {"", "" if scope.model.root == "." else scope.model.root}
        for entry in scope.files():
            kind = document_kind(entry.path)
            if kind is None or posixpath.dirname(entry.path) not in folders or entry.target:
                continue
            try:
                data = scope.read_bytes(entry.path)
            except UnreadableError as error:
                yield witness.at(entry.path).cannot_read(f"doc:{entry.path}", error)
                continue
            yield from _document(entry.path, kind, data, witness.at(entry.path))


def document_kind(path: str) -> str | None:
    """Return what kind of document a file is by its name, or None."""
    name = posixpath.basename(path)
    return next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(name)), None)


def _document(path: str, kind: str, data: bytes, witness: Witness) -> Iterator[Observation | Gap]:
    subject = f"doc:{path}"
    digest = Digest("sha256", hashlib.sha256(data).hexdigest())
    node = Document(id=subject, path=path, kind=kind, digest=digest, nbytes=len(data))
    yield witness.observes(node)
    text = data.decode("utf-8-sig", errors="replace")
    if kind == "licence":
        licence = identify_text(text)
        if licence:
            yield witness.observes(Document(id=subject, licence=licence), key="text")
        else:
            reason = "the text is no licence that mlbom can tell by its wording"
            yield witness.misses(subject, reason, field="licence")
    if kind == "readme":
        title = _TITLE.search(split_front_matter(text)[1])
        if title:
            found = (title[1] or title[2]).strip()
            yield witness.by(Method.DECLARED).observes(Document(id=subject, title=found))
