"""How a release names its subjects: a model file and an output file can never be confused.

| subject name | what it is |
|---|---|
| `model` | a model directory: the digest is that of `model.manifest` (dirHash1) |
| `model/PATH` | a file of the model, PATH relative to the model root |
| `mlbom-out/PATH` | a file of the output directory, whatever the directory itself is called |

Exactly a model directory has the subject `model`; all other models are named file by file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlbom.attest.statement import Statement, Subject
from mlbom.errors import MalformedError

# The file whose digest stands for a model directory.
MANIFEST = "model.manifest"
MODEL_NAME = "model"
MODEL_PREFIX = "model/"
OUTPUT_PREFIX = "mlbom-out/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSubjects:
    """The subjects of a statement about a release, told apart.

    Args:
        directory: the subject `model` of a model directory, else None.
        model_files: subjects by path relative to the model root.
        outputs: subjects by path relative to the output directory.
    """

    directory: Subject | None
    model_files: Mapping[str, Subject]
    outputs: Mapping[str, Subject]


def split_subjects(statement: Statement) -> ReleaseSubjects:
    """Tell the subjects of a statement about a release apart.

    Raises:
        MalformedError: a name of another form, or no subject that stands for the model.
    """
    directory: Subject | None = None
    model_files: dict[str, Subject] = {}
    outputs: dict[str, Subject] = {}
    for subject in statement.subjects:
        if subject.name == MODEL_NAME:
            directory = subject
        elif subject.name.startswith(MODEL_PREFIX):
            model_files[subject.name.removeprefix(MODEL_PREFIX)] = subject
        elif subject.name.startswith(OUTPUT_PREFIX):
            outputs[subject.name.removeprefix(OUTPUT_PREFIX)] = subject
        else:
            message = f"the subject {subject.name!r} names neither a model file nor an output"
            raise MalformedError(message)
    if directory is None and not model_files:
        message = "no subject stands for the model"
        raise MalformedError(message)
    return ReleaseSubjects(directory=directory, model_files=model_files, outputs=outputs)


def in_name_order(subjects: Iterable[Subject]) -> tuple[Subject, ...]:
    """Return subjects by code point of their name, so that equal releases give equal bytes."""
    return tuple(sorted(subjects, key=lambda subject: subject.name))
