"""Changes, one at a time, of what a training must not depend on: which of them break which level.

As reprotest does for packages: another path, home, locale, time zone, hash seed, order of files,
number of threads, instruction set, GPU. What cannot be changed on this machine is skipped, and says
why.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlbom.record.probe import Listing
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.surroundings.pins import THREAD_VARIABLES
from mlbom.reproduce.trials.agreement import without_flags
from mlbom.reproduce.trials.machine import Machine, look_at_machine
from mlbom.reproduce.values import LADDER, Level, Rerun

_NUM_THREADS, _CAPABILITY = "torch.num_threads", "torch.cpu_capability"
# Fourteen hours ahead, in the form that needs no table of zones (POSIX.1, TZ).
_FAR_ZONE, _OTHER_FAR_ZONE = "<+14>-14", "<-11>11"
_HASH_SEED, _OTHER_HASH_SEED = "20030", "20031"
_AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
}
_LEAST = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a variation departs from.

    Args:
        base: a run without a change.
        machine: where.
    """

    base: Rerun
    machine: Machine

    def flag(self, name: str) -> str:
        """Return the last value that a flag had in the base run, or an empty text."""
        return self.base.recording.flags.get(name, "").rpartition(" -> ")[2]

    def variable(self, name: str) -> str:
        """Return the value of a variable in the base run, or an empty text."""
        return self.base.recording.environment.get(name, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """One change.

    Args:
        name: `threads`.
        change: returns the attempt that makes it.
        obstacle: why it cannot be made here, or an empty text.
    """

    name: str
    change: Callable[[Attempt, Scene], Attempt]
    obstacle: Callable[[Scene], str] = lambda _: ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """What a varied run is held against.

    Args:
        level_of: returns the strongest level that holds for two runs.
        held: the level that runs without a change reach among themselves: a variation cannot break
            what did not hold before.
    """

    level_of: Callable[[Rerun, Rerun], Level]
    held: Level


def run_variations(
    runner: Callable[[Attempt], Rerun], base: Rerun, yardstick: Yardstick
) -> tuple[Mapping[str, Any], ...]:
    """Run each variation once and tell which levels it breaks, for the details document.

    Args:
        runner: runs a training.
        base: a run without a change.
        yardstick: what the varied runs are held against. Settings are taken out of the traces
            before it is asked: they are what was changed.

    Returns:
        Objects with name, outcome (`holds`, `breaks`, `fails`, `inconclusive`, `skipped`), level,
        broken levels and reason.
    """
    scene = Scene(base=base, machine=look_at_machine())
    return tuple(try_variation(one, runner, scene, yardstick) for one in VARIATIONS)


def try_variation(
    variation: Variation,
    runner: Callable[[Attempt], Rerun],
    scene: Scene,
    yardstick: Yardstick,
) -> Mapping[str, Any]:
    """Run one variation, or say why not; as `run_variations`."""
    if yardstick.held not in LADDER:
        is_known = yardstick.held is not Level.INCONCLUSIVE
        why = "differ already" if is_known else "were not shown to agree"
        return _told(variation, "skipped", reason=f"runs without any change {why}")
    obstacle = variation.obstacle(scene)
    if obstacle:
        return _told(variation, "skipped", reason=obstacle)
    rerun = runner(variation.change(Attempt(label=f"vary: {variation.name}"), scene))
    if not rerun.outcome.is_complete:
        return _told(variation, "fails", reason=rerun.detail or rerun.outcome.value)
    level = yardstick.level_of(without_flags(scene.base), without_flags(rerun))
    if level is Level.INCONCLUSIVE:
        return _told(variation, "inconclusive", level, reason="the results cannot be compared")
    reached = LADDER.index(level) if level in LADDER else len(LADDER)
    broken = LADDER[LADDER.index(yardstick.held) : reached]
    return _told(
        variation,
        "breaks" if broken else "holds",
        level,
        broken=tuple(one.value for one in broken),
        reason=_without_effect(variation, scene, rerun),
    )


def _told(
    variation: Variation,
    outcome: str,
    level: Level | None = None,
    *,
    broken: tuple[str, ...] = (),
    reason: str = "",
) -> Mapping[str, Any]:
    return {
        "name": variation.name,
        "outcome": outcome,
        "level": level.value if level else None,
        "broken": list(broken),
        "reason": reason,
    }


def _without_effect(variation: Variation, scene: Scene, rerun: Rerun) -> str:
    """Return that the program has undone a change, or an empty text."""
    flag = {"threads": _NUM_THREADS, "instruction set": _CAPABILITY}.get(variation.name)
    if flag is None or not scene.flag(flag):
        return ""
    now = rerun.recording.flags.get(flag, "").rpartition(" -> ")[2]
    is_same = now == scene.flag(flag)
    return f"the program sets it itself: {flag} was {now} again" if is_same else ""


def _path(attempt: Attempt, _: Scene) -> Attempt:
    return _placed(attempt, name="another-folder-with-a-longer-name")


def _home(attempt: Attempt, _: Scene) -> Attempt:
    return _placed(attempt, home="another-home")


def _locale(attempt: Attempt, scene: Scene) -> Attempt:
    return _placed(attempt, locale=_other_locale(scene))


def _other_locale(scene: Scene) -> str:
    present = {scene.variable(name).lower() for name in ("LC_ALL", "LANG")}
    return next((name for name in scene.machine.locales if name.lower() not in present), "")


def _no_locale(scene: Scene) -> str:
    return "" if _other_locale(scene) else "no locale but the present one is installed here"


def _zone(attempt: Attempt, scene: Scene) -> Attempt:
    zone = _OTHER_FAR_ZONE if scene.variable("TZ") == _FAR_ZONE else _FAR_ZONE
    return _placed(attempt, tz=zone)


def _hash_seed(attempt: Attempt, scene: Scene) -> Attempt:
    is_taken = scene.variable("PYTHONHASHSEED") == _HASH_SEED
    return _placed(attempt, hash_seed=_OTHER_HASH_SEED if is_taken else _HASH_SEED)


def _by_name(attempt: Attempt, _: Scene) -> Attempt:
    return replace(attempt, probe=replace(attempt.probe, listing=Listing.SORTED))


def _backwards(attempt: Attempt, _: Scene) -> Attempt:
    """List files backwards; a file system may well do that, or list them by name, by itself."""
    return replace(attempt, probe=replace(attempt.probe, listing=Listing.REVERSED))


def _threads(attempt: Attempt, scene: Scene) -> Attempt:
    count = "2" if scene.flag(_NUM_THREADS) == "1" else "1"
    return _placed(attempt, variables=dict.fromkeys(THREAD_VARIABLES, count))


def _no_threads(scene: Scene) -> str:
    is_single = scene.flag(_NUM_THREADS) == "1" and scene.machine.cpus < 2  # noqa: PLR2004
    return "there is one processor here" if is_single else ""


def _isa(attempt: Attempt, scene: Scene) -> Attempt:
    return _placed(attempt, variables=_other_isa(scene))


def _other_isa(scene: Scene) -> Mapping[str, str]:
    """Return the settings of another instruction set than that of the base run, if there is one."""
    present = scene.flag(_CAPABILITY).upper()
    if "avx2" not in scene.machine.cpu_flags or not present:
        return {}
    return _LEAST if present == "AVX2" else _AVX2


def _no_isa(scene: Scene) -> str:
    if not scene.flag(_CAPABILITY):
        return "which instruction set torch uses is not known"
    return "" if _other_isa(scene) else "this processor has no other instruction set to choose"


def _gpu(attempt: Attempt, scene: Scene) -> Attempt:
    present = scene.variable("CUDA_VISIBLE_DEVICES").partition(",")[0]
    return _placed(attempt, gpu=0 if present == "1" else 1)


def _no_gpu(scene: Scene) -> str:
    if not scene.base.recording.devices:
        return "the training uses no GPU"
    return "" if scene.machine.gpus > 1 else "there is no second GPU here"


def _placed(attempt: Attempt, **changes: Any) -> Attempt:  # noqa: ANN401 - fields of Place
    return replace(attempt, place=replace(attempt.place, **changes))


VARIATIONS = (
    Variation(name="path", change=_path),
    Variation(name="home", change=_home),
    Variation(name="locale", change=_locale, obstacle=_no_locale),
    Variation(name="time zone", change=_zone),
    Variation(name="hash seed", change=_hash_seed),
    Variation(name="files by name", change=_by_name),
    Variation(name="files backwards", change=_backwards),
    Variation(name="threads", change=_threads, obstacle=_no_threads),
    Variation(name="instruction set", change=_isa, obstacle=_no_isa),
    Variation(name="GPU index", change=_gpu, obstacle=_no_gpu),
)
