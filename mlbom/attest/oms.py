"""The OpenSSF Model Signing predicate version 1.0: which files a model consists of.

Source: ossf/model-signing-spec spec/v1.0.md sections 5 and 6. The predicate stays pure, because its
schema forbids further fields. The root digest covers the digests of the files and not their names,
so it identifies nothing outside this statement: names are bound by the list of resources itself.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlbom.attest.statement import Statement, Subject, json_object, unsafe_name
from mlbom.attest.types import OMS_PREDICATE
from mlbom.errors import FileNameError, MalformedError
from mlbom.evidence.digest import Digest

# What the reference tool calls the only file of a model that is one file.
WHOLE_FILE = "."
_METHOD = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedFiles:
    """What an OMS statement says.

    Args:
        name: the model's name, which binds nothing.
        files: SHA-256 by path relative to the model root, in the order found; `WHOLE_FILE` when
            the model is one file.
        ignored: root-relative prefixes that the signer left out, by its own account.
    """

    name: str
    files: Mapping[str, str]
    ignored: tuple[str, ...]


def oms_statement(name: str, files: Mapping[str, str], ignored: Iterable[str]) -> Statement:
    """Return the OMS statement of a model.

    Args:
        name: the model's name.
        files: SHA-256 hex by POSIX path relative to the model root; at least one; or
            `WHOLE_FILE` alone.
        ignored: root-relative prefixes left out.

    Raises:
        FileNameError: a path that may not stand in a statement.
        MalformedError: no file, or a digest of another form.
    """
    resources = []
    for path in sorted(files):
        _check_resource(path, files[path], is_only=len(files) == 1)
        resources.append({"name": path, "algorithm": "sha256", "digest": files[path]})
    if not resources:
        message = "an OMS statement needs at least one file"
        raise MalformedError(message)
    predicate = {
        "serialization": {**_METHOD, "ignore_paths": sorted(set(ignored))},
        "resources": resources,
    }
    root = root_digest(files[path] for path in sorted(files))
    return Statement((Subject(name, root),), OMS_PREDICATE, predicate)


def root_digest(digests: Iterable[str]) -> str:
    """Return the OMS root: SHA-256 over the raw file digests, one after the other, as hex."""
    return hashlib.sha256(b"".join(bytes.fromhex(d) for d in digests)).hexdigest()


def parse_oms(statement: Statement) -> SignedFiles:
    """Read the OMS statement of a model, in whatever order its files are listed.

    The reference signer sorts by path parts instead of by name, so the root is computed over the
    order found.

    Raises:
        MalformedError: another predicate, several subjects, a method other than whole files with
            SHA-256 and no links, a file listed twice, or a root that does not fit the files.
        FileNameError: a name that leads out of the model root.
    """
    if statement.predicate_type != OMS_PREDICATE or len(statement.subjects) != 1:
        message = "the statement is no OMS statement of one model"
        raise MalformedError(message)
    told = json_object(statement.predicate, "OMS predicate", {"serialization", "resources"})
    serialization = told["serialization"]
    ignored = serialization.get("ignore_paths", []) if isinstance(serialization, dict) else None
    if not isinstance(ignored, list) or not all(isinstance(path, str) for path in ignored):
        message = "the OMS serialization is no object, or its ignore_paths no list of texts"
        raise MalformedError(message)
    stated = {key: value for key, value in serialization.items() if key != "ignore_paths"}
    if stated != _METHOD or stated["allow_symlinks"] is not False:
        message = "the OMS statement was not made from whole files, with SHA-256, without links"
        raise MalformedError(message)
    files = _parse_resources(told["resources"])
    subject = statement.subjects[0]
    if root_digest(files.values()) != subject.sha256:
        message = "the OMS root digest does not fit the listed files"
        raise MalformedError(message)
    return SignedFiles(name=subject.name, files=files, ignored=tuple(ignored))


def _parse_resources(document: object) -> dict[str, str]:
    if not isinstance(document, list) or not document:
        message = "the OMS statement lists no files"
        raise MalformedError(message)
    files: dict[str, str] = {}
    for item in document:
        told = json_object(item, "OMS resource", {"name", "algorithm", "digest"})
        name, digest = told["name"], told["digest"]
        if not isinstance(name, str) or not isinstance(digest, str):
            message = "an OMS resource's name or digest is not a text"
            raise MalformedError(message)
        if told["algorithm"] != "sha256":
            message = f"the OMS resource {name[:200]!r} is not hashed with SHA-256"
            raise MalformedError(message)
        if name in files:
            message = f"the OMS statement lists {name[:200]!r} twice"
            raise MalformedError(message)
        _check_resource(name, digest, is_only=len(document) == 1)
        files[name] = digest
    return files


def _check_resource(name: str, digest: str, *, is_only: bool) -> None:
    is_whole = is_only and name == WHOLE_FILE
    if not is_whole and (reason := unsafe_name(name)):
        message = f"the file name {name[:200]!r} {reason}"
        raise FileNameError(message)
    try:
        Digest("sha256", digest)
    except ValueError as error:
        message = f"the digest of {name[:200]!r} is malformed: {error}"
        raise MalformedError(message) from error
