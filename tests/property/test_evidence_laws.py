"""The laws of the evidence graph: merge is union-like, and equal graphs give equal bytes."""

import json
import string
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mlbom.evidence.digest import Digest
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Count, Dataset, Metric, Model, Pair, Weights
from mlbom.evidence.observation import Gap, GapKind, Observation
from mlbom.evidence.origin import Method, Origin, Visibility
from mlbom.evidence.store import dump_graph, load_graph

words = st.text(string.ascii_letters + "äß/.-'\"\\\n", min_size=1, max_size=6)
origins = st.builds(
    Origin,
    collector=st.sampled_from(["cards", "weights", "hub"]),
    method=st.sampled_from(Method),
    path=st.sampled_from(["", "README.md", "config.json"]),
    line=st.integers(0, 3),
    confidence=st.sampled_from([1.0, 0.5]),
)
visibilities = st.sampled_from(Visibility)
digests = st.builds(lambda n: Digest("sha256", f"{n:064x}"), st.integers(0, 2))
counts = st.builds(Count, words, st.integers(0, 10**6)).map(lambda c: (c,))
pairs = st.builds(Pair, words, words).map(lambda p: (p,))
nodes = st.one_of(
    st.builds(Model, id=st.sampled_from(["model:a", "model:b"]), name=words, dtypes=counts),
    st.builds(Model, id=st.just("model:a"), parameters=st.integers(1, 3), tags=st.tuples(words)),
    st.builds(Dataset, id=st.just("data:x"), pinned=st.booleans(), manifest=digests),
    st.builds(Weights, id=st.just("weights:w"), metadata=pairs),
    st.builds(
        Metric, id=st.just("metric:m"), value=st.floats(allow_nan=False, allow_infinity=False)
    ),
)
observations = st.builds(Observation, node=nodes, origin=origins, visibility=visibilities)
gaps = st.builds(
    Gap,
    subject=words,
    kind=st.sampled_from(GapKind),
    reason=words,
    origin=origins,
    visibility=visibilities,
)
told = st.lists(st.one_of(observations, gaps), max_size=8)
graphs = told.map(Graph.of)


@given(graphs, graphs, graphs)
def test_merge_is_associative(a: Graph, b: Graph, c: Graph) -> None:
    assert a.merge(b).merge(c) == a.merge(b.merge(c))


@given(graphs, graphs)
def test_merge_is_commutative_down_to_the_bytes(a: Graph, b: Graph) -> None:
    assert a.merge(b) == b.merge(a)
    assert dump_graph(a.merge(b)) == dump_graph(b.merge(a))


@given(graphs)
def test_merge_is_idempotent(a: Graph) -> None:
    assert a.merge(a) == a
    assert a.merge(Graph()) == a


@given(told, st.randoms())
def test_the_order_of_witnesses_does_not_show(
    items: Sequence[Observation | Gap],
    random: object,
) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = Graph.of(items), Graph.of(shuffled)
    assert dump_graph(first) == dump_graph(second)
    assert first.nodes(Model) == second.nodes(Model)
    assert first.gaps == second.gaps


@given(graphs)
def test_a_stored_graph_reads_back_equal(graph: Graph) -> None:
    data = dump_graph(graph)
    again = load_graph(json.loads(data))
    assert again == graph
    assert dump_graph(again) == data
    assert again.gaps == graph.gaps


@given(graphs)
def test_equal_bytes_mean_equal_graphs(graph: Graph) -> None:
    more = graph.merge(Graph.of([_extra()]))
    assert (dump_graph(more) == dump_graph(graph)) == (more == graph)


@given(graphs)
def test_what_is_published_holds_nothing_private(graph: Graph) -> None:
    published = graph.published()
    assert all(f.visibility is Visibility.PUBLIC for f in published.facts)
    assert b'"private"' not in dump_graph(published)
    assert all(g.visibility is Visibility.PUBLIC for g in published.gaps)


def _extra() -> Observation:
    origin = Origin(collector="extra", method=Method.MEASURED)
    return Observation(node=Model(id="model:extra", name="x"), origin=origin)
