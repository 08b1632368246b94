"""Documents beside the code and the model: licence texts and readme titles."""

import hashlib
import posixpath
import re
from collections.abc import Iterator

from mlbom.collect.cards import split_front_matter
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
# A sentence that only one licence's text has, and what it identifies. Texts are compared without
# case, punctuation and line breaks.
_LICENCE_MARKS = (
    ("Apache-2.0", "apache license version 2 0 january 2004"),
    ("AGPL-3.0-only", "gnu affero general public license version 3 19 november 2007"),
    ("LGPL-3.0-only", "gnu lesser general public license version 3 29 june 2007"),
    ("LGPL-2.1-only", "gnu lesser general public license version 2 1 february 1999"),
    ("GPL-3.0-only", "gnu general public license version 3 29 june 2007"),
    ("GPL-2.0-only", "gnu general public license version 2 june 1991"),
    ("MPL-2.0", "mozilla public license version 2 0 1 definitions"),
    ("Unlicense", "this is free and unencumbered software released into the public domain"),
    ("CC0-1.0", "cc0 1 0 universal"),
    ("CC-BY-NC-SA-4.0", "attribution noncommercial sharealike 4 0 international"),
    ("CC-BY-NC-4.0", "attribution noncommercial 4 0 international"),
    ("CC-BY-SA-4.0", "attribution sharealike 4 0 international"),
    ("CC-BY-4.0", "creative commons attribution 4 0 international"),
    ("BSL-1.0", "boost software license version 1 0 august 17th 2003"),
    ("MIT", "permission is hereby granted free of charge to any person obtaining a copy of this "
            "software and associated documentation files the software to deal in the software "
            "without restriction"),
    ("ISC", "permission to use copy modify and or distribute this software for any purpose with "
            "or without fee is hereby granted"),
    ("BSD-3-Clause", "redistributions in binary form must reproduce the above copyright notice "
                     "this list of conditions and the following disclaimer in the documentation "
                     "and or other materials provided with the distribution neither the name of"),
    ("BSD-2-Clause", "redistributions in binary form must reproduce the above copyright notice "
                     "this list of conditions and the following disclaimer in the documentation "
                     "and or other materials provided with the distribution"),
)  # fmt: skip
_TITLE = re.compile(r"^(?:#\s+(.+?)\s*#*|(.+)\n=+)\s*$", re.MULTILINE)
_MAX_TEXT = 1024 * 1024


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


def match_licence_text(text: str) -> str | None:
    """Return the SPDX identifier of a licence text, by a sentence that only it has, or None."""
    plain = " ".join(re.sub(r"[^a-z0-9]+", " ", text[:_MAX_TEXT].lower()).split())
    return next((name for name, mark in _LICENCE_MARKS if mark in plain), None)


def _document(path: str, kind: str, data: bytes, witness: Witness) -> Iterator[Observation | Gap]:
    subject = f"doc:{path}"
    digest = Digest("sha256", hashlib.sha256(data).hexdigest())
    node = Document(id=subject, path=path, kind=kind, digest=digest, nbytes=len(data))
    yield witness.observes(node)
    text = data.decode("utf-8-sig", errors="replace")
    if kind == "licence":
        licence = match_licence_text(text)
        if licence:
            yield witness.observes(Document(id=subject, licence=licence), key="text")
        else:
            reason = "the text matches no licence that mlbom knows"
            yield witness.misses(subject, reason, field="licence")
    if kind == "readme":
        title = _TITLE.search(split_front_matter(text)[1])
        if title:
            found = (title[1] or title[2]).strip()
            yield witness.by(Method.DECLARED).observes(Document(id=subject, title=found))
