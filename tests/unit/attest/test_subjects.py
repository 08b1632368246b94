"""Subject names of a release: model and output never confused."""

import pytest

from mlbom.attest.statement import Statement, Subject
from mlbom.attest.subjects import split_subjects
from mlbom.errors import MalformedError

A = "a" * 64


def of(*names: str) -> Statement:
    return Statement(tuple(Subject(name, A) for name in names), "urn:x", {})


def test_subjects_are_told_apart_by_their_prefix() -> None:
    found = split_subjects(of("model", "model/mlbom-out/x", "mlbom-out/model/y"))
    assert found.directory == Subject("model", A)
    assert set(found.model_files) == {"mlbom-out/x"}
    assert set(found.outputs) == {"model/y"}


def test_a_model_of_files_has_no_directory() -> None:
    assert split_subjects(of("model/a")).directory is None


@pytest.mark.parametrize("names", [("mlbom-out/x",), ("model", "models/x"), ("model", "mlbom-out")])
def test_other_names_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(MalformedError):
        split_subjects(of(*names))
