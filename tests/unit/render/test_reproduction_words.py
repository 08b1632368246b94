"""Sentences about traces of which only the roots are known: they name no place."""

from typing import Any

from mlbom.render.reproduction.document import readable
from mlbom.render.reproduction.words import headline, traces_text
from mlbom.reproduce.details import divergence_document
from mlbom.reproduce.traces.divergence import root_divergence

ROOTS = {"a": "original", "b": "run-1", "divergence": divergence_document(root_divergence())}


def document(culprit: dict[str, Any] | None) -> dict[str, Any]:
    verdict = {"level": "diverged", "required": "exact-weights", "met": False}
    return readable({"verdict": verdict, "comparisons": [ROOTS], "culprit": culprit})


def test_the_headline_names_no_step() -> None:
    assert headline(document(None)) == (
        "NOT REPRODUCIBLE: the traces differ somewhere; the recorded trace is not here, "
        "only its root"
    )


def test_the_headline_names_a_culprit_and_no_step() -> None:
    told = headline(document({"kind": "seed", "what": "torch was seeded with 1", "step": 0}))
    assert told.startswith("NOT REPRODUCIBLE: torch was seeded with 1; the traces differ somewhere")
    assert "step" not in told
    assert "before that" not in told


def test_a_comparison_names_no_step() -> None:
    assert traces_text(ROOTS) == (
        "the traces differ somewhere; the recorded trace is not here, only its root"
    )
