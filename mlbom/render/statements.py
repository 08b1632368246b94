"""The three statements of every release: weights (OMS), BOM, and the closing one over all of it.

Pure: plain values in, unsigned statements out (chain.md section 2, rows 3, 4 and 8). Equal values
give equal bytes, in whatever order files are handed in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from mlbom.attest.oms import oms_statement
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.subjects import MODEL_NAME, MODEL_PREFIX, OUTPUT_PREFIX, in_name_order
from mlbom.attest.types import CYCLONEDX_PREDICATE, RELEASE_PREDICATE
from mlbom.errors import MalformedError
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Model, Release
from mlbom.formats.strict_json import parse_json

# Number and label in the bundles' file names.
WEIGHTS, BOM, CLOSING = (3, "weights"), (4, "bom"), (8, "release")


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedFile:
    """A file by name and digest.

    Args:
        path: POSIX path, relative to the model root or to the output directory.
        sha256: hexadecimal digits.
        sha512: hexadecimal digits, or None.
    """

    path: str
    sha256: str
    sha512: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedModel:
    """The model of a release, as statements need it.

    Args:
        name: the model's name; subject of the OMS statement, where it binds nothing.
        is_directory: whether the model root is a model directory (chain.md section 1).
        files: every file of the model, as in `model.manifest`.
        weights: which of them hold weights, by path; each becomes a subject.
        manifest: `model.manifest` itself.
        ignored: root-relative prefixes that were left out, each `__pycache__` by its path.
    """

    name: str
    is_directory: bool
    files: tuple[HashedFile, ...]
    weights: tuple[str, ...]
    manifest: HashedFile
    ignored: tuple[str, ...] = ()


def weights_statement(model: SignedModel) -> Statement:
    """Return statement 3: the OMS statement of every file of the model.

    Raises:
        FileNameError: a file name that may not stand in a statement.
        MalformedError: the model has no files.
    """
    files = {file.path: file.sha256 for file in model.files}
    return oms_statement(model.name, files, model.ignored)


def bom_statement(model: SignedModel, bom: bytes) -> Statement:
    """Return statement 4: this BOM describes this model.

    Args:
        model: the subjects.
        bom: the content of `bom.cdx.json`, whose object becomes the predicate.

    Raises:
        FileNameError: a file name that may not stand in a statement.
        MalformedError: the BOM is no JSON object.
    """
    predicate = parse_json(bom, "the BOM", safe_integers=True)
    if not isinstance(predicate, dict):
        message = "the BOM is no JSON object"
        raise MalformedError(message)
    return Statement(in_name_order(model_subjects(model)), CYCLONEDX_PREDICATE, predicate)


def closing_statement(model: SignedModel, purl: str, outputs: Iterable[HashedFile]) -> Statement:
    """Return statement 8: this model and exactly these files are the release.

    Args:
        model: the model.
        purl: package URL of the model with a version (in-toto release predicate, "Fields").
        outputs: every file of the output directory, bundles included, except summary.json and the
            bundle of this statement.

    Raises:
        FileNameError: a file name that may not stand in a statement.
        MalformedError: a purl without version, or an output twice.
    """
    if not purl.startswith("pkg:") or "@" not in purl:
        message = f"the purl of a release names a version, unlike {purl!r}"
        raise MalformedError(message)
    subjects = [_subject(OUTPUT_PREFIX, file) for file in outputs]
    ordered = in_name_order((*model_subjects(model), *subjects))
    return Statement(ordered, RELEASE_PREDICATE, {"purl": purl})


def model_subjects(model: SignedModel) -> tuple[Subject, ...]:
    """Return the subjects that stand for a model.

    A model directory is named by its manifest, and its weight files are listed beside it so that
    they can be looked up by digest. Any other model is named file by file.
    """
    if not model.is_directory:
        return tuple(_subject(MODEL_PREFIX, file) for file in model.files)
    wanted = set(model.weights)
    weights = (_subject(MODEL_PREFIX, file) for file in model.files if file.path in wanted)
    return (Subject(MODEL_NAME, model.manifest.sha256, model.manifest.sha512), *weights)


def _subject(prefix: str, file: HashedFile) -> Subject:
    return Subject(prefix + file.path, file.sha256, file.sha512)


def release_purl(graph: Graph) -> str:
    """Return the model's purl with the version of this release (in-toto release predicate).

    Without --release the version is `0+` and 12 digits of the manifest digest, also where the
    model has another version of its own, such as a commit on a hub.
    """
    release = graph.nodes(Release)[0]
    model = graph.nodes(Model)[0]
    unversioned = (model.purl or "pkg:generic/model").partition("@")[0]
    return f"{unversioned}@{quote(release.version or '0', safe='')}"
