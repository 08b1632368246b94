"""What a graph believes when witnesses agree, differ or contradict each other."""

import pytest

from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Model
from mlbom.evidence.observation import GapKind, Observation
from mlbom.evidence.origin import Method, Origin


def says(method: Method, collector: str = "c", **fields: object) -> Observation:
    origin = Origin(collector=collector, method=method)
    return Observation(node=Model(id="model:.", **fields), origin=origin)  # type: ignore[arg-type]


def licence(graph: Graph) -> str | None:
    model = graph.node(Model, "model:.")
    return model.licence if model else None


def test_two_witnesses_who_agree_are_both_named() -> None:
    graph = Graph.of(
        [says(Method.DECLARED, "a", licence="MIT"), says(Method.MEASURED, "b", licence="MIT")]
    )
    model = graph.nodes(Model)[0]
    assert model.licence == "MIT"
    assert [o.collector for o in graph.witnesses(model, "licence")] == ["b", "a"]
    assert graph.gaps == ()


def test_the_stronger_method_is_believed_and_the_contradiction_shown() -> None:
    graph = Graph.of(
        [says(Method.DECLARED, "card", licence="MIT"), says(Method.MEASURED, "text", licence="ISC")]
    )
    assert licence(graph) == "ISC"
    (gap,) = graph.gaps
    assert (gap.subject, gap.field, gap.kind) == ("model:.", "licence", GapKind.ABSENT)
    assert "'ISC' (measured by text)" in gap.reason
    assert "'MIT' (declared by card)" in gap.reason


def test_equally_strong_witnesses_who_differ_leave_the_field_unknown() -> None:
    graph = Graph.of(
        [says(Method.DECLARED, "a", licence="MIT"), says(Method.DECLARED, "b", licence="ISC")]
    )
    assert licence(graph) is None
    assert len(graph.gaps) == 1


def test_an_inference_gives_way_without_a_gap() -> None:
    graph = Graph.of(
        [says(Method.INFERRED, "folder", name="x"), says(Method.DECLARED, "card", name="y")]
    )
    assert graph.nodes(Model)[0].name == "y"
    assert graph.gaps == ()


def test_a_person_settles_a_contradiction() -> None:
    witnesses = [
        says(Method.DECLARED, "a", licence="MIT"),
        says(Method.DECLARED, "b", licence="ISC"),
        says(Method.HUMAN, "review", licence="ISC"),
    ]
    graph = Graph.of(witnesses)
    assert licence(graph) == "ISC"
    assert graph.gaps == ()


def test_sets_are_united() -> None:
    graph = Graph.of([says(Method.DECLARED, tags=("b",)), says(Method.DECLARED, tags=("a", "b"))])
    assert graph.nodes(Model)[0].tags == ("a", "b")


def test_an_observation_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="yield a Gap"):
        Graph.of([says(Method.DECLARED)])


def test_a_field_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(ValueError, match="expected int"):
        Graph.of([says(Method.DECLARED, parameters="many")])
