"""Golden files: what a small release looks like, byte for byte. `make goldens` writes them anew."""

from pathlib import Path

import pytest

from mlbom.evidence.store import dump_graph
from mlbom.render.registry import render_documents
from tests.fixtures.projects import graph_of, model_directory

GOLDENS = Path(__file__).parent / "model_directory"
EPOCH = 1_700_000_000


def made(tmp_path: Path) -> dict[str, bytes]:
    root = tmp_path / "model"
    graph = graph_of(model_directory(root), epoch=EPOCH)
    documents = {d.name: d.data for d in render_documents(graph, "1.7")}
    return {**documents, "evidence.json": dump_graph(graph)}


@pytest.mark.parametrize("name", ["bom.cdx.json", "MODEL_CARD.md", "report.html", "evidence.json"])
def test_the_documents_are_the_golden_ones(
    tmp_path: Path, name: str, request: pytest.FixtureRequest
) -> None:
    data = made(tmp_path)[name]
    golden = GOLDENS / name
    if request.config.getoption("--remake-goldens"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_bytes(data)
    assert data.decode() == golden.read_text(encoding="utf-8")
