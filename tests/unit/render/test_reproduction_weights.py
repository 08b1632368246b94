"""Weight files compared, as the report tells them: sentences, tables, histograms, from real files."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from mlbom.render.reproduction.report import reproduction_report
from mlbom.render.reproduction.weights import comparison_text, files_of, histograms
from mlbom.reproduce.details import Findings, details_document
from mlbom.reproduce.tensors.compare import compare_files
from mlbom.reproduce.values import Judgement, Level
from tests.fixtures.reproduction_details import (
    compared,
    different_weights,
    exact,
    same_weights,
    tolerance,
)
from tests.fixtures.weights import safetensors_header, safetensors_raw

pytest.importorskip("numpy")

SHAPES = {"encoder.0.weight": ("F32", (2, 3)), "head.weight": ("F32", (3,))}
VALUES = [1.0, 2.0, -3.0, 0.5, 0.0, 1e-9, 7.0, 8.0, 9.0]


def saved(path: Path, values: list[float], shapes: Any = None, **metadata: str) -> Path:
    header, _ = safetensors_header(shapes or SHAPES, metadata)
    data = struct.pack(f"<{len(values)}f", *values)
    path.write_bytes(safetensors_raw(json.dumps(header).encode(), data))
    return path


def document(tmp_path: Path, other: list[float], **how: Any) -> Any:
    a = saved(tmp_path / "a.safetensors", VALUES)
    b = saved(tmp_path / "b.safetensors", other, **how)
    return compare_files(a, b).document()


def test_equal_files_and_equal_tensors(tmp_path: Path) -> None:
    told = comparison_text(document(tmp_path, VALUES))
    assert told == "identical: the files are the same, byte for byte (2 tensors)"
    told = comparison_text(document(tmp_path, VALUES, format="pt"))
    assert told == "same tensors, different packaging: 2 tensors, every bit equal"


def test_bits_that_differ_without_a_distance_are_told_as_that(tmp_path: Path) -> None:
    a = saved(tmp_path / "a.safetensors", VALUES)
    b = saved(tmp_path / "b.safetensors", [*VALUES[:-1], 10.0])
    found = compare_files(a, b, numbers=False).document()
    assert comparison_text(found) == ("model: 1 of 2 tensors differ, how far was not measured")
    pair = {"a": "run-1", "b": "run-2", "weights": {"w": found}}
    assert files_of(pair).shown
    assert histograms([pair]) == []


def test_different_bits_are_told_with_their_distances(tmp_path: Path) -> None:
    other = [*VALUES[:3], 0.50000006, *VALUES[4:]]
    told = comparison_text(document(tmp_path, other))
    assert told == (
        "model: 1 of 2 tensors differ, 11.11 % of the numbers, relative L2 1.58e-8, "
        "ULP p50 / p99 / largest 0 / 1 / 1, largest difference 5.96e-8"
    )
    (file,) = files_of({"weights": {"w": document(tmp_path, other)}}).shown
    ((name, kind, share, distance, ulp, largest, also),) = file.tensors.shown
    assert (name, kind, share) == ("encoder.0.weight", "model, F32 2x3", "1 of 6 (16.67 %)")
    assert (distance, ulp, largest, also) == ("1.58e-8", "0 / 1 / 1", "5.96e-8", "")


def test_what_is_no_number_and_signs_are_told(tmp_path: Path) -> None:
    other = [float("nan"), *VALUES[1:4], -0.0, -1e-9, *VALUES[6:]]
    (file,) = files_of({"weights": {"w": document(tmp_path, other)}}).shown
    also = file.tensors.shown[0][-1]
    assert "NaN: 0 in A, 1 in B" in also
    assert "1 zeros of another sign" in also
    assert "1 signs flipped" in also


def test_other_names_and_shapes_are_told(tmp_path: Path) -> None:
    shapes = {"encoder.0.weight": ("F32", (3, 2)), "new.weight": ("F32", (3,))}
    told = comparison_text(document(tmp_path, VALUES, shapes=shapes))
    assert "renamed: head.weight to new.weight" in told
    assert "other dtype or shape: encoder.0.weight" in told


def test_what_could_not_be_compared_is_never_told_as_equal() -> None:
    unread = [{"name": "x", "reason": "no such dtype"}]
    told = comparison_text(compared("unknown", notCompared=unread))
    assert told == "could not be compared: x (no such dtype)"


def test_a_histogram_has_a_bar_for_every_power_of_two(tmp_path: Path) -> None:
    other = [1.0000001, 2.0, -3.0, 0.5, 0.0, 1.1e-9, 7.0, 8.0, 9.0]
    (figure,) = histograms([{"a": "x", "b": "y", "weights": {"w": document(tmp_path, other)}}])
    assert "ULP histogram: model of w, x and y" in figure
    rows = dict(json.loads(r) for r in _rows(figure))
    assert (rows["0"], rows["1"], rows["2"]) == ("7", "1", "0")
    assert list(rows.values()).count("1") == 2
    assert list(rows)[-1].startswith("2^")


def _rows(figure: str) -> list[str]:
    body = figure.split("<tbody>")[1].partition("</tbody>")[0]
    cells = [row.split("</th><td>") for row in body.split("<tr>")[1:]]
    return [json.dumps([name.partition(">")[2], value.partition("<")[0]]) for name, value in cells]


def test_the_worst_tensors_come_first_and_the_rest_is_counted() -> None:
    (file,) = files_of({"weights": {"w": different_weights(40)}}).shown
    distances = [row[3] for row in file.tensors.shown]
    assert distances[0] == "\u2013"
    assert distances[1:] == sorted(distances[1:], reverse=True)
    assert file.tensors.more == "and 22 more"
    page = reproduction_report(tolerance()).decode()
    assert (
        "Tensors of weights/model.safetensors that differ in original and run-1, the worst first: and 6 more"
        in page
    )
    assert "NaN: 1 in A, 0 in B" in page


@pytest.mark.parametrize("made", [same_weights(), different_weights()])
def test_the_fixtures_have_the_form_of_real_comparisons(tmp_path: Path, made: Any) -> None:
    real = document(tmp_path, [*VALUES[:8], 9.5])
    assert set(made) == set(real)
    assert set(made["a"]) == set(real["a"])
    if made["tensors"]:
        assert set(made["tensors"][0]) == set(real["tensors"][0])
        assert set(made["tensors"][0]["counts"]) == set(real["tensors"][0]["counts"])
        assert set(made["parts"]["model"]) == set(real["parts"]["model"])


def test_the_fixtures_have_the_form_of_the_details_document() -> None:
    judgement = Judgement(level=Level.INCONCLUSIVE, required=Level.METRIC)
    real = details_document(
        Findings(
            judgement=judgement,
            command=(),
            original=None,
            commit="",
            dirty=None,
            mode="as-is",
            device="",
            runs=(),
        )
    )
    made = exact()
    assert set(made) == set(real)
    assert set(made["verdict"]) == set(real["verdict"])
    assert set(made["environment"]) == set(real["environment"])
    page = reproduction_report(real).decode()
    assert "No training ran." in page
    assert "Nothing was compared." in page
