"""Golden files: what small releases look like, byte for byte. `make goldens` writes them anew."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mlbom.evidence.store import dump_graph
from mlbom.render.registry import render_documents
from tests.fixtures.projects import graph_of, model_directory
from tests.fixtures.records import recorded_project
from tests.fixtures.reproductions import reproduced_project

GOLDENS = Path(__file__).parent
EPOCH = 1_700_000_000


def made(root: Path, make: Callable[[Path], Path]) -> dict[str, bytes]:
    graph = graph_of(make(root), epoch=EPOCH, grams_per_kwh=120.0)
    documents = {d.name: d.data for d in render_documents(graph, "1.7")}
    return {**documents, "evidence.json": dump_graph(graph)}


@pytest.mark.parametrize("name", ["bom.cdx.json", "MODEL_CARD.md", "report.html", "evidence.json"])
@pytest.mark.parametrize(
    ("folder", "make"),
    [
        ("model_directory", model_directory),
        ("recorded_project", recorded_project),
        ("reproduced_project", reproduced_project),
    ],
)
def test_the_documents_are_the_golden_ones(
    tmp_path: Path,
    folder: str,
    make: Callable[[Path], Path],
    name: str,
    request: pytest.FixtureRequest,
) -> None:
    data = made(tmp_path / "model", make)[name]
    golden = GOLDENS / folder / name
    if request.config.getoption("--remake-goldens"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_bytes(data)
    assert data.decode() == golden.read_text(encoding="utf-8")
