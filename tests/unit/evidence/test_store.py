"""Reading evidence.json: strictly what `dump_graph` writes, nothing else."""

import json
from typing import Any

import pytest

from mlbom.errors import MalformedError
from mlbom.evidence.canonical import canonical_json
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Model
from mlbom.evidence.observation import Observation
from mlbom.evidence.origin import Method, Origin
from mlbom.evidence.store import dump_graph, load_graph


def stored() -> dict[str, Any]:
    origin = Origin(collector="c", method=Method.MEASURED)
    node = Model(id="model:.", parameters=3, tags=("a",))
    document: dict[str, Any] = json.loads(
        dump_graph(Graph.of([Observation(node=node, origin=origin)]))
    )
    return document


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(schema="urn:mlbom:evidence:2"),
        lambda d: d.pop("gaps"),
        lambda d: d["nodes"][0].update(type="Unknown"),
        lambda d: d["nodes"][0]["facts"][0].update(field="unknown"),
        lambda d: d["nodes"][0]["facts"][0].update(value="3"),
        lambda d: d["nodes"][0]["facts"][0].update(value=True),
        lambda d: d["nodes"][0]["facts"][0].update(origins=[7]),
        lambda d: d["origins"][0].update(method="guessed"),
        lambda d: d["origins"][0].update(unknown=1),
        lambda d: d.update(nodes=None),
    ],
)
def test_anything_else_is_malformed(change: Any) -> None:
    document = stored()
    change(document)
    with pytest.raises(MalformedError):
        load_graph(document)


def test_canonical_json_refuses_what_readers_could_differ_on() -> None:
    for value in (float("nan"), float("inf"), 2**53 + 1, "\ud800"):
        with pytest.raises(ValueError):
            canonical_json([value])
    with pytest.raises(TypeError):
        canonical_json({1: "a"})
    assert (
        canonical_json({"b": [1, 2.5, None, True], "a": "ü"})
        == '{"a":"ü","b":[1,2.5,null,true]}'.encode()
    )
