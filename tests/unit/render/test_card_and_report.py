"""Card and report: what the Hub accepts, what a browser shows, and nothing that runs."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mlbom.render.card import CardRenderer
from mlbom.render.cyclonedx import build_bom
from mlbom.render.registry import RENDERERS, load_renderer, render_documents
from mlbom.render.report import ReportRenderer
from mlbom.render.summary import render_summary
from mlbom.render.templates import human_bytes, markdown_text, template_folder, templates_digest
from tests.fixtures.projects import graph_of, model_directory, training_project, write


def card_of(path: Path) -> str:
    return CardRenderer("1.7").render(graph_of(path)).data.decode()


def test_the_hub_library_reads_the_front_matter(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(card_of(model_directory(tmp_path)))
    told = card.data.to_dict()
    assert told["license"] == "apache-2.0"
    assert told["library_name"] == "sentence-transformers"
    assert told["pipeline_tag"] == "sentence-similarity"
    assert told["datasets"] == ["org/pairs", "snli"]
    assert told["base_model"] == ["someone/the-base"]
    assert told["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.5


def test_numbers_of_card_report_and_bom_are_the_same_text(tmp_path: Path) -> None:
    graph = graph_of(model_directory(tmp_path))
    bom = json.dumps(build_bom(graph, "1.7"))
    card = CardRenderer("1.7").render(graph).data.decode()
    report = ReportRenderer("1.7").render(graph).data.decode()
    for number in ("0.5", "10"):
        assert f'"{number}"' in bom
        assert f"| {number} |" in card
        assert re.search(rf">\s*{re.escape(number)}\s*<", report)


class Page(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = "<img src=x onerror=alert(1)>{{ 7*7 }}{% raw %}[bold]`|*_~\u202e"


def hostile_page(tmp_path: Path) -> Page:
    told = json.dumps(HOSTILE)
    card = f"---\nlicense: mit\nlibrary_name: {told}\ntags: [{told}]\ndatasets: [{told}]\n---\n# {HOSTILE}\n\none two three {HOSTILE}\n"
    graph = graph_of(write(model_directory(tmp_path), {"README.md": card}))
    page = Page()
    page.feed(ReportRenderer("1.7").render(graph).data.decode())
    return page


def test_hostile_text_is_shown_literally_and_never_runs(tmp_path: Path) -> None:
    page = hostile_page(tmp_path)
    assert not [t for t, _ in page.tags if t in ("img", "script", "iframe", "object")]
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    assert "<img src=x onerror=alert(1)>{{ 7*7 }}{% raw %}[bold]" in page.text
    assert "49" not in page.text.split("Not known")[0].split("Parameters")[0]


def test_the_report_asks_nobody_for_anything(tmp_path: Path) -> None:
    page = Page()
    data = ReportRenderer("1.7").render(graph_of(model_directory(tmp_path))).data
    page.feed(data.decode())
    loading = [a for t, a in page.tags if "src" in a or t in ("link", "script")]
    assert loading == []
    policy = [
        a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy[0] is not None
    assert policy[0].startswith("default-src 'none'")
    assert len(data) < 500_000


def test_hostile_text_stays_one_markdown_cell() -> None:
    cell = markdown_text("a|b\n<script>[x](javascript:y)`*\\ https://x.org")
    assert "\n" not in cell
    assert "<script" not in cell
    assert re.search(r"(?<!\\)[|`*\[\]]", cell) is None


def test_a_project_card_says_what_is_not_known(tmp_path: Path) -> None:
    card = card_of(training_project(tmp_path))
    assert "Training: not recorded" in card
    assert "nobody states the model's description" in card
    assert "More Information Needed" not in card


def test_the_summary_tells_paths_digests_and_gaps(tmp_path: Path) -> None:
    graph = graph_of(model_directory(tmp_path))
    documents = render_documents(graph, "1.7")
    told = json.loads(render_summary(graph, documents).data)
    assert told["schema"] == "urn:mlbom:summary:1"
    assert told["model"]["parameters"] == 10
    assert set(told["files"]) == {"bom.cdx.json", "MODEL_CARD.md", "report.html"}
    assert told["complete"] is True
    assert told["counts"]["gaps"]["unreadable"] == 0


def test_every_line_of_the_table_is_a_renderer(tmp_path: Path) -> None:
    graph = graph_of(model_directory(tmp_path))
    names = [load_renderer(entry, "1.7").render(graph).name for entry in RENDERERS]
    assert names == ["bom.cdx.json", "MODEL_CARD.md", "report.html"]


def test_templates_are_found_and_identified() -> None:
    assert (template_folder() / "report.html.jinja").is_file()
    assert templates_digest().algorithm == "sha256"


@pytest.mark.parametrize(
    ("nbytes", "text"), [(0, "0 B"), (1536, "1.5 KiB"), (5 * 1024**4, "5.0 TiB")]
)
def test_sizes_for_people(nbytes: int, text: str) -> None:
    assert human_bytes(nbytes) == text
