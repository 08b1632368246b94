"""The report of a reproduction and its page of text: true, whole, bounded, literal, the same."""

import base64
import copy
import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from mlbom.record.steps.values import Entry, ProcessSteps, StepRecord, StepTrace
from mlbom.render.reproduction.report import reproduction_report
from mlbom.render.reproduction.summary import summary_lines
from mlbom.reproduce.traces.series import series
from tests.fixtures import reproduction_details
from tests.fixtures.reproduction_details import (
    HOSTILE,
    big,
    diverged,
    exact,
    hostile,
    inconclusive,
    tolerance,
)

DOCUMENTS = [exact, diverged, inconclusive, tolerance]
INLINE = {"code", "strong", "span", "a"}
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Collects tags and text as a browser would, and refuses a tag that is closed wrongly."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.style = ""
        self.feed(page.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += "" if tag in INLINE else " "

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.style += data
        else:
            self.text += data

    def attributes(self, name: str) -> list[str]:
        return [
            value or "" for _, found in self.tags for key, value in found.items() if key == name
        ]


def plain(page: bytes) -> str:
    return " ".join(Page(page).text.split())


@pytest.mark.parametrize("document", [*DOCUMENTS, hostile])
def test_the_page_is_well_formed_for_a_browser_and_for_xml(document: Callable[[], Any]) -> None:
    page = reproduction_report(document())
    Page(page)
    root = ET.fromstring(page)  # noqa: S314 - our own markup
    levels = [int(e.tag[1]) for e in root.iter() if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("document", [*DOCUMENTS, hostile])
def test_every_link_leads_to_a_section_and_no_id_is_used_twice(document: Callable[[], Any]) -> None:
    page = Page(reproduction_report(document()))
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    links = page.attributes("href")
    assert {link[:1] for link in links} == {"#"}
    assert {link[1:] for link in links} | set(page.attributes("aria-labelledby")) <= set(ids)


@pytest.mark.parametrize("document", [*DOCUMENTS, hostile, big])
def test_the_page_asks_nobody_runs_nothing_and_is_small(document: Callable[[], Any]) -> None:
    data = reproduction_report(document())
    page = Page(data)
    assert len(data) < 500_000
    assert not {tag for tag, _ in page.tags} & {"script", "img", "link", "iframe", "object", "form"}
    assert not [key for _, found in page.tags for key in found if key.startswith("on")]
    assert page.attributes("src") == page.attributes("style") == []
    assert "url(" not in page.style
    assert "@import" not in page.style


def test_the_policy_admits_the_one_style_by_its_digest() -> None:
    page = Page(reproduction_report(exact()))
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    (policy,) = (c for c in page.attributes("content") if "default-src" in c)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert [tag for tag, _ in page.tags].count("style") == 1


@pytest.mark.parametrize("document", [*DOCUMENTS, hostile, big])
def test_equal_documents_give_equal_bytes_and_stay_as_they_were(
    document: Callable[[], Any],
) -> None:
    details = document()
    before = copy.deepcopy(details) if document is not big else None
    assert reproduction_report(details) == reproduction_report(document())
    assert summary_lines(details) == summary_lines(document())
    assert before is None or details == before


def test_a_reproduction_that_holds() -> None:
    page = plain(reproduction_report(exact()))
    assert "✓ Reproduced" in page
    assert "exact-trace holds exact-weights holds, required tolerance holds metric holds" in page
    assert "the traces are equal at every step" in page.lower()
    assert "What differs first" not in page
    assert "told apart at step 0 of 32: the loss differs" in page
    assert "0 of 2 runs differed: with 95 % confidence at most 77.64 % of runs differ" in page
    assert "git checkout 4b825dc642cb6eb9a060e54bf8d69288fbee4904 mlbom reproduce" in page
    assert (
        "--require exact-weights --mode as-is --runs 2 --device cpu --control "
        "-- python train.py --steps 32" in page
    )


def test_a_reproduction_that_does_not_names_the_culprit_the_line_and_the_fix() -> None:
    page = plain(reproduction_report(diverged()))
    assert "✗ Not reproduced as required" in page
    assert "a batch from a DataLoader worker differs (worker.py:14)" in page
    assert "loader worker (shown)" in page
    assert "Fix: give each worker its own seed" in page
    assert "with --inject-seed the difference goes away" in page
    assert "first tensor encoder.layers.0.weight" in page
    assert "It doubles every 2.5 steps while it grows." in page
    assert "threads breaks exact-trace, exact-weights tolerance" in page
    assert "GPU index skipped: there is no second GPU here" in page
    assert "aten.index_put_ model.py:5 in forward" in page
    assert "holds, required" not in page
    assert page.count("does not hold") == 4


def test_what_cannot_be_told_is_never_shown_as_holding() -> None:
    page = plain(reproduction_report(inconclusive()))
    assert "? Inconclusive" in page
    assert page.count("not told") == 4
    assert "holds" not in page.replace("A level that holds implies", "")
    assert "torch 2.12.0+cpu 2.13.0+cpu" in page
    assert "the verdict cannot be more than inconclusive" in page
    assert "NOT isolated: unshare is not permitted here" in page
    assert "The traces could not be compared." in page
    assert "not made: whether this comparison sees a difference was not tried" in page


def test_a_document_with_nothing_in_it_is_inconclusive() -> None:
    assert "? Inconclusive" in plain(reproduction_report({}))
    assert summary_lines({}) == ["inconclusive: no reason is told"]


def test_a_control_that_was_not_told_apart_is_said_loudly() -> None:
    control = {"detected": False, "reason": "the runs agree", "divergence": None}
    details = exact() | {"control": control}
    assert "NOT told apart" in plain(reproduction_report(details))
    assert any("control      NOT told apart" in line for line in summary_lines(details))


def test_pictures_are_there_when_their_data_are() -> None:
    def titles(details: Any) -> list[str]:
        return re.findall(r"<figcaption><strong>([^<]*)", reproduction_report(details).decode())

    assert titles(exact()) == [
        "Loss of each run",
        "Every step of run-1 and run-2",
        "Each tensor of params at each step, run-1 and run-2",
    ]
    assert titles(diverged())[:2] == [
        "Loss of each run",
        "Difference of the losses of run-1 and run-2",
    ]
    assert titles(inconclusive()) == ["Loss of each run"]
    assert titles(exact() | {"series": {}}) == []
    assert "Pictures" not in plain(reproduction_report(exact() | {"series": {}}))


def test_the_largest_is_drawn_whole_and_says_what_is_left_out() -> None:
    data = reproduction_report(big(10_000, 1_000))
    assert len(data) < 500_000
    page = plain(data)
    assert "Of 10000 points the lowest and the highest of each of 180 stretches" in page
    assert "25 rows and 84 columns are joined in one" in page
    assert "and 940 more" in page
    assert "more characters)" in page


@pytest.mark.parametrize("text", [HOSTILE, "\u6f22" * 5_000, "x" * 200_000, "\ud800", "", "\\"])
def test_hostile_texts_are_literal_and_bounded(text: str) -> None:
    data = reproduction_report(hostile(text))
    page = Page(data)
    assert len(data) < 500_000
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", data.decode())
    if text == HOSTILE:
        assert "<script>alert(1)</script>{{ 7*7 }}{% raw %}]]>&amp;\\x1b[31mred" in page.text
    for line in summary_lines(hostile(text)):
        assert line.isprintable()


@pytest.mark.parametrize("document", [*DOCUMENTS, hostile, big])
def test_the_page_of_text_fits_a_terminal(document: Callable[[], Any]) -> None:
    lines = summary_lines(document())
    assert len(lines) <= 40
    assert all("\n" not in line and line == line.rstrip() for line in lines)
    for line in lines[1:]:
        assert len(line) <= 100 or " " not in line.strip()


@pytest.mark.parametrize(
    ("document", "first"),
    [
        (exact, "reproduced: exact-trace (required exact-weights), 2 runs, 32 steps"),
        (
            diverged,
            (
                "NOT REPRODUCIBLE at step 3 of 16: a batch from a DataLoader worker differs "
                "(worker.py:14); all before that is equal; fix: give each worker its own seed: "
                "np.random.default_rng(worker_info.seed) in worker_init_fn"
            ),
        ),
        (inconclusive, "inconclusive: run-1: killed (signal 9 after 7 steps)"),
        (
            tolerance,
            (
                "NOT REPRODUCED as required: tolerance holds, exact-weights was required; first "
                "difference at step 1 of 40: the gradients differ; all before that is equal"
            ),
        ),
    ],
)
def test_the_first_line_is_the_verdict(document: Callable[[], Any], first: str) -> None:
    assert summary_lines(document())[0] == first


def test_the_text_has_the_important_first() -> None:
    names = [line[:12].strip() for line in summary_lines(diverged())[1:] if line[:1].strip()]
    assert names == [
        "why",
        "first",
        "culprit",
        "evidence",
        "fix",
        "runs",
        "weights",
        "thresholds",
        "lint",
        "varied",
        "control",
        "repeats",
        "sweep",
        "not seen",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"step": 16, "of": 16, "field": "params"}, "after the last of 16 steps"),
        ({"step": 16, "of": 16, "field": "missing"}, "at step 16 of 16: only one of them has"),
        ({"field": "rng:numpy"}, "the state of the generator numpy differs"),
        ({"field": "batches", "index": 2}, "the batch differs (number 2 of that step)"),
        ({"rank": 1}, "rank 1"),
    ],
)
def test_first_differences_in_words(changes: Any, told: str) -> None:
    details = diverged()
    details["comparisons"][0]["divergence"] |= changes
    assert told in plain(reproduction_report(details))


def test_a_record_is_repeated_by_its_digest_and_without_a_command() -> None:
    page = plain(reproduction_report(tolerance()))
    record = reproduction_details.digest("record")
    assert f"mlbom reproduce {record} --require exact-weights --mode pin-env --runs 1" in page
    assert "--allow-env-mismatch" in page
    assert "-- python" not in page


def traces(since: int) -> dict[str, StepTrace]:
    """Return two trainings of 12 steps that differ from a step on, in the last parameter first."""

    def step(number: int, *, other: bool) -> StepRecord:
        mark = f"{number}{'b' if other and number >= since else 'a'}"
        late = f"{number}{'b' if other and number > since else 'a'}"
        loss = 1.0 / (number + 1) + (1e-6 * 2**number if "b" in mark else 0.0)
        return StepRecord(
            number=number,
            batches=(f"{number}",),
            losses=(loss.hex(),),
            params=mark,
            tensors={"params": (late, mark)},
        )

    entry = Entry(optimizer=0, params="p", names=(("in.weight", "F32", "2x2"), ("out", "F32", "2")))
    return {
        label: StepTrace(
            processes=(
                ProcessSteps(
                    pid=1,
                    entries=(entry,),
                    steps=tuple(step(n, other=label == "run-2") for n in range(12)),
                    is_whole=True,
                ),
            )
        )
        for label in ("run-1", "run-2")
    }


def test_the_series_of_real_traces_are_drawn() -> None:
    page = plain(reproduction_report(diverged() | {"series": series(traces(since=4))}))
    assert "It doubles every step while it grows." in page
    assert "losses 0 to 3: equal; 4 to 11: differs" in page
    assert "batches 0 to 11: equal" in page
    assert "grads 0 to 11: not taken" in page
    assert "in.weight 0 to 4: equal; 5 to 11: differs out 0 to 3: equal; 4 to 11: differs" in page
