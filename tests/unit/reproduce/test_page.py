"""The page on reproduction names every rule, pin and variation, and tells the limits that hold."""

from pathlib import Path

import pytest

from mlbom.reproduce.lint.lint import RULES, UNREADABLE
from mlbom.reproduce.surroundings.pins import PINS, Pin
from mlbom.reproduce.tolerance import METRIC_TOLERANCE, TOLERANCES
from mlbom.reproduce.trials.repeats import repeat_bound
from mlbom.reproduce.trials.variations import VARIATIONS
from mlbom.reproduce.values import Level

PAGE = (Path(__file__).parents[3] / "docs" / "reproduction.md").read_text(encoding="utf-8")


def rows(section: str) -> list[list[str]]:
    """Return the cells of the table rows in a section."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.split("\n")
        if line.startswith("| ")
    ]


def test_every_rule_stands_in_the_table_with_its_kind() -> None:
    kinds = {name.strip(" `"): row[-1] for row in rows("The lint") for name in row[0].split(",")}
    assert {rule.name: rule.kind.value for rule in RULES}.items() <= kinds.items()
    assert UNREADABLE in PAGE


def test_every_variation_stands_in_the_table() -> None:
    told = {name.strip() for row in rows("Variations") for name in row[0].split(",")}
    assert {variation.name for variation in VARIATIONS} <= told


@pytest.mark.parametrize("pin", PINS, ids=[pin.name for pin in PINS])
def test_every_pin_stands_in_the_table_with_its_value(pin: Pin) -> None:
    found = next(row for row in rows("Modes") if f"`{pin.name}`" in row[0])
    assert found[1] == pin.value


def test_the_thresholds_are_those_that_hold() -> None:
    told = {row[0]: row[1:] for row in rows("Levels")}
    for dtype, (rel_l2, ulp) in TOLERANCES.items():
        assert [float(cell) for cell in told[dtype]] == [rel_l2, ulp]
    assert f"within {METRIC_TOLERANCE:.0%}".replace("%", " %") in " ".join(told["`metric`"])
    assert {f"`{level.value}`" for level in Level} <= told.keys()


def test_the_bounds_are_right() -> None:
    table = [row for row in rows("What repeating proves") if row[0].isdecimal()]
    assert len(table) > 3
    for runs, none, one in table:
        assert none == f"{repeat_bound(int(runs), 0):.1%}".replace("%", " %")
        assert one == f"{repeat_bound(int(runs), 1):.1%}".replace("%", " %")
