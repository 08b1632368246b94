"""What others declare of the model: reproductions as claims with their evidence and reasoning.

CycloneDX 1.6 and 1.7 `declarations` (ECMA-424): whoever trained again is an assessor; what came
out is a claim about the model, a counter-claim when the level required was not reached; the signed
statements are its evidence. Nothing here is of our own judging: the claims are those of the files.
"""

from collections.abc import Iterable
from typing import Any

from mlbom.attest.ladder import LEVEL_PROPERTY, LEVELS
from mlbom.attest.moment import timestamp
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Model
from mlbom.render.cited import Cited, cite, stated
from mlbom.render.reproduced import Reproduced, reproductions_of


def declarations(graph: Graph) -> dict[str, Any]:
    """Return the declarations of a BOM; empty when nobody declares anything."""
    found = reproductions_of(graph)
    model = next(iter(graph.nodes(Model)), None)
    if not found or model is None:
        return {}
    return {
        "assessors": [_assessor(one) for one in found],
        "attestations": [_attestation(one) for one in found],
        "claims": [_claim(graph, one, model.id) for one in found],
        "evidence": [_evidence(one) for one in found],
    }


def _ref(kind: str, one: Reproduced) -> str:
    return f"{kind}:{one.node.id}"


def _assessor(one: Reproduced) -> dict[str, Any]:
    name = f"whoever signed {' and '.join(one.places)}"
    return {"bom-ref": _ref("assessor", one), "organization": {"name": name}}


def _attestation(one: Reproduced) -> dict[str, Any]:
    kind = "claims" if one.is_passed else "counterClaims"
    return {
        "summary": f"the model was trained again; {one.verdict}",
        "assessor": _ref("assessor", one),
        "map": [{kind: [_ref("claim", one)]}],
    }


def _claim(graph: Graph, one: Reproduced, model: str) -> dict[str, Any]:
    return stated(
        {
            "bom-ref": _ref("claim", one),
            "target": model,
            "predicate": _cited(graph, one),
            "reasoning": "; ".join((*one.reasoning, *_limits(one.limits))),
            "evidence": [_ref("evidence", one)],
        }
    )


def _cited(graph: Graph, one: Reproduced) -> Cited | None:
    return cite(graph, one.node, "level", one.verdict)


def _limits(limits: Iterable[str]) -> list[str]:
    return [f"Not observed: {text}" for text in limits]


def _evidence(one: Reproduced) -> dict[str, Any]:
    node = one.node
    level = node.level if node.level in LEVELS else "none"
    details = f"details {node.details}" if node.details else "no details"
    return stated(
        {
            "bom-ref": _ref("evidence", one),
            "propertyName": f"{LEVEL_PROPERTY}{level}",
            "description": f"{one.verdict}; {details}",
            "data": [
                {"name": place.rpartition("/")[2], "contents": {"url": place}}
                for place in one.places
            ],
            "created": None if node.finished is None else timestamp(node.finished),
        }
    )
