"""Variations: what each changes, which are skipped and why, and which break a real training."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlbom.record.probe import Listing
from mlbom.reproduce.rerun import Attempt, Rerunner
from mlbom.reproduce.sandbox.plan import SandboxPlan
from mlbom.reproduce.trials.agreement import agreement
from mlbom.reproduce.trials.machine import Machine, look_at_machine
from mlbom.reproduce.trials.variations import (
    VARIATIONS,
    Scene,
    Variation,
    Yardstick,
    run_variations,
    try_variation,
)
from mlbom.reproduce.values import Level, Outcome, Rerun
from tests.fixtures.reruns import rerun, step_trace

LARGE = Machine(
    cpus=8, cpu_flags=frozenset({"avx2", "avx512f"}), locales=("tr_TR.utf8", "de_DE.utf8"), gpus=2
)
SMALL = Machine(cpus=1)
FLAGS = {"torch.num_threads": "1", "torch.cpu_capability": "AVX512"}


def level_of(a: Rerun, b: Rerun) -> Level:
    """Return how far two runs agree exactly."""
    found = agreement(a, b)
    if found.are_weights_equal is None:
        return Level.INCONCLUSIVE
    if not found.are_weights_equal:
        return Level.DIVERGED
    is_exact = found.has_traces and found.divergence is None
    return Level.EXACT_TRACE if is_exact else Level.EXACT_WEIGHTS


EXACT = Yardstick(level_of=level_of, held=Level.EXACT_TRACE)


def base_run(
    flags: Mapping[str, str] = FLAGS,
    environment: Mapping[str, str] | None = None,
    devices: Mapping[str, int] | None = None,
) -> Rerun:
    """Return a run without a change, with what was seen of its settings."""
    run = rerun("run-1")
    recording = replace(
        run.recording, flags=flags, environment=environment or {}, devices=devices or {}
    )
    return replace(run, recording=recording)


def scene(machine: Machine = LARGE, **told: Any) -> Scene:
    return Scene(base=base_run(**told), machine=machine)


def named(name: str) -> Variation:
    return next(one for one in VARIATIONS if one.name == name)


def changed(name: str, where: Scene) -> Attempt:
    return named(name).change(Attempt(label="x"), where)


def test_each_changes_one_thing() -> None:
    where = scene(devices={"NVIDIA H200": 1})
    plain = Attempt(label="x")
    changes = [
        [
            (part, name)
            for part in ("probe", "place")
            for name in getattr(plain, part).__dataclass_fields__
            if getattr(getattr(variation.change(plain, where), part), name)
            != getattr(getattr(plain, part), name)
        ]
        for variation in VARIATIONS
    ]
    assert changes == [
        [("place", "name")],
        [("place", "home")],
        [("place", "locale")],
        [("place", "tz")],
        [("place", "hash_seed")],
        [("probe", "listing")],
        [("probe", "listing")],
        [("place", "variables")],
        [("place", "variables")],
        [("place", "gpu")],
    ]
    assert all(not variation.obstacle(where) for variation in VARIATIONS)


def test_what_is_changed_is_never_what_is_there() -> None:
    assert changed("threads", scene()).place.variables["OMP_NUM_THREADS"] == "2"
    many = scene(flags={**FLAGS, "torch.num_threads": "1 -> 4"})
    assert changed("threads", many).place.variables["OMP_NUM_THREADS"] == "1"
    assert changed("instruction set", scene()).place.variables["ATEN_CPU_CAPABILITY"] == "avx2"
    least = scene(flags={**FLAGS, "torch.cpu_capability": "DEFAULT"})
    assert changed("instruction set", least).place.variables["ATEN_CPU_CAPABILITY"] == "avx2"
    middle = scene(flags={**FLAGS, "torch.cpu_capability": "AVX2"})
    assert changed("instruction set", middle).place.variables["ATEN_CPU_CAPABILITY"] == "default"
    seed = changed("hash seed", scene()).place.hash_seed
    other = changed("hash seed", scene(environment={"PYTHONHASHSEED": seed})).place.hash_seed
    assert seed != other
    zone = changed("time zone", scene()).place.tz
    assert changed("time zone", scene(environment={"TZ": zone})).place.tz != zone
    assert changed("locale", scene()).place.locale == "tr_TR.utf8"
    turkish = scene(environment={"LC_ALL": "tr_TR.UTF8"})
    assert changed("locale", turkish).place.locale == "de_DE.utf8"
    assert changed("GPU index", scene()).place.gpu == 1
    assert changed("GPU index", scene(environment={"CUDA_VISIBLE_DEVICES": "1"})).place.gpu == 0
    assert changed("files by name", scene()).probe.listing is Listing.SORTED
    assert changed("files backwards", scene()).probe.listing is Listing.REVERSED


@pytest.mark.parametrize(
    ("name", "where", "word"),
    [
        ("locale", scene(SMALL), "locale"),
        ("threads", scene(SMALL), "one processor"),
        ("instruction set", scene(SMALL), "no other instruction set"),
        ("instruction set", scene(flags={}), "not known"),
        ("GPU index", scene(), "no GPU"),
        ("GPU index", scene(replace(LARGE, gpus=1), devices={"NVIDIA H200": 1}), "second GPU"),
    ],
)
def test_what_cannot_be_made_here_is_skipped_with_a_reason(
    name: str, where: Scene, word: str
) -> None:
    def runner(_: Attempt) -> Rerun:
        raise AssertionError("it must not run")

    told = try_variation(named(name), runner, where, EXACT)
    assert told["outcome"] == "skipped"
    assert told["level"] is None
    assert told["reason"]
    assert word in told["reason"]


def tried(run: Rerun, yardstick: Yardstick = EXACT, name: str = "threads") -> Mapping[str, Any]:
    """Return what is told of a variation whose run came out like that."""
    return try_variation(named(name), lambda _: run, scene(), yardstick)


def test_a_variation_that_changes_nothing_holds_although_its_settings_differ() -> None:
    settings = step_trace({0: {"flags": {"torch.num_threads": "2"}}})
    told = tried(rerun("vary", settings))
    assert (told["outcome"], told["level"], told["broken"]) == ("holds", "exact-trace", [])


def test_a_variation_tells_which_levels_it_breaks() -> None:
    losses = step_trace({3: {"losses": ("0x1p-3",)}})
    told = tried(rerun("vary", losses))
    assert (told["outcome"], told["level"]) == ("breaks", "exact-weights")
    assert told["broken"] == ["exact-trace"]
    told = tried(rerun("vary", step_trace(steps=7)))
    assert told["broken"] == ["exact-trace", "exact-weights", "tolerance", "metric"]
    within = Yardstick(level_of=lambda *_: Level.TOLERANCE, held=Level.EXACT_TRACE)
    assert tried(rerun("vary"), within)["broken"] == ["exact-trace", "exact-weights"]


def test_a_variation_cannot_break_what_did_not_hold_before() -> None:
    losses = step_trace({3: {"losses": ("0x1p-3",)}})
    weaker = replace(EXACT, held=Level.EXACT_WEIGHTS)
    assert tried(rerun("vary", losses), weaker)["outcome"] == "holds"
    for held, why in (
        (Level.DIVERGED, "differ already"),
        (Level.INCONCLUSIVE, "were not shown to agree"),
    ):
        told = tried(rerun("vary", losses), replace(EXACT, held=held))
        assert told["outcome"] == "skipped"
        assert told["reason"] == f"runs without any change {why}"


def test_a_training_that_fails_elsewhere_is_told_so() -> None:
    told = tried(rerun("vary", outcome=Outcome.FAILED, detail="ValueError: 1,5"))
    assert (told["outcome"], told["reason"]) == ("fails", "ValueError: 1,5")


def test_a_setting_that_the_program_takes_back_is_told() -> None:
    run = rerun("vary")
    again = replace(run, recording=replace(run.recording, flags=FLAGS))
    assert "sets it itself" in tried(again)["reason"]
    other = replace(run, recording=replace(run.recording, flags={"torch.num_threads": "2"}))
    assert tried(other)["reason"] == ""


def test_this_machine_can_be_looked_at() -> None:
    machine = look_at_machine()
    assert machine.cpus >= 1
    assert all(name.upper() not in {"C", "POSIX"} for name in machine.locales)


TRAINING = """
import json, os, sys, time

sources = {
    "path": lambda: os.getcwd(),
    "home": lambda: os.path.expanduser("~"),
    "time zone": lambda: time.strftime("%z", time.localtime(0)),
    "hash seed": lambda: str(hash("a word")),
    "files": lambda: "".join(os.listdir("data")),
}
told = "".join(sources[name]() for name in sys.argv[1:]).encode()
data = (sum(told[i] * (i + 1) for i in range(len(told))) % 2**32).to_bytes(4, "little")
header = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
with open("model.safetensors", "wb") as file:
    file.write(len(header).to_bytes(8, "little") + header + data)
"""


@pytest.mark.parametrize("sources", [("path", "time zone"), ("home", "hash seed"), ("files",)])
def test_real_runs_are_broken_by_what_they_depend_on_and_by_nothing_else(
    tmp_path: Path, sources: tuple[str, ...]
) -> None:
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    for name in ("a.txt", "bb.txt", "ccc.txt"):
        (project / "data" / name).write_text(name)
    (project / "train.py").write_text(TRAINING)
    plan = SandboxPlan(
        command=("python3", "train.py", *sources),
        project=project,
        source=project,
        variables={"PYTHONHASHSEED": "0"},
    )
    runner = Rerunner(plan, tmp_path / "keep")
    base = runner.run(Attempt(label="run-1"))
    assert list(base.outputs) == ["model.safetensors"]
    yardstick = Yardstick(level_of=level_of, held=Level.EXACT_WEIGHTS)
    told = run_variations(runner.run, base, yardstick)
    assert [one["name"] for one in told] == [one.name for one in VARIATIONS]
    broken = {one["name"] for one in told if one["outcome"] == "breaks"}
    held = {one["name"] for one in told if one["outcome"] == "holds"}
    orders = {"files by name", "files backwards"}
    assert held | broken >= {"path", "home", "time zone", "hash seed", *orders}
    if sources == ("files",):
        # The file system may have one of the two orders by itself.
        assert broken
        assert broken <= orders
    else:
        assert broken == set(sources)
