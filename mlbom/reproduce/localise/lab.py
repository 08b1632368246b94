"""Makes the runs of a search: short, few, and each for one question."""

from collections.abc import Callable
from dataclasses import replace

from mlbom.record.steps.ops import OpTrace
from mlbom.reproduce.localise.values import Case, Pin, Runner, Tested, process_of
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.traces.divergence import first_divergence
from mlbom.reproduce.values import Divergence, Rerun

# A search may run so many trainings, most of them stopped early.
MOST_RUNS = 16
# Two equal runs can be chance where a difference comes and goes; a third makes that rarer.
_RUNS_WITH_WITNESS, _RUNS_WITHOUT = 2, 3
_FURTHER_STEPS = 8
# Of so many runs with nothing held still two must differ again. A third gives an order with few
# outcomes another chance; many more would find what differs once in a while, and blame it.
FREE_RUNS = 3


class Lab:
    """Runs trainings for one search and counts them.

    Args:
        runner: makes one run.
        case: what is searched.
        most: how many runs it may make.
    """

    def __init__(self, runner: Runner, case: Case, most: int = MOST_RUNS) -> None:
        self._runner = runner
        self._case = case
        self._left = most
        self._held: tuple[Pin, ...] = ()
        self._is_back: bool | None = None
        self.runs: list[Rerun] = []

    def has_left(self, count: int) -> bool:
        """Return whether so many runs may still be made."""
        return self._left >= count

    def hold(self, pin: Pin) -> None:
        """Keep something still in every run from now on."""
        self._held = (*self._held, pin)

    def run(
        self, name: str, side: int, change: Callable[[Attempt], Attempt], steps: int = 0
    ) -> Rerun:
        """Make one run.

        Args:
            name: for its label.
            side: 0 for one made like the first of the pair, 1 like the second.
            change: what is asked of it.
            steps: stop after so many; 0 for those that show the first difference.
        """
        attempt = self._case.bases[side % 2]
        for held in self._held:
            attempt = held.change(attempt)
        return self._run(name, change(attempt), steps)

    def _run(self, name: str, attempt: Attempt, steps: int) -> Rerun:
        self._left -= 1
        stop = steps or stop_after(self._case.divergence)
        label = f"search-{len(self.runs) + 1:02}-{name}"
        probe = replace(attempt.probe, stop_after=stop)
        rerun = self._runner(replace(attempt, label=label, probe=probe))
        self.runs.append(rerun)
        return rerun

    def test(self, pin: Pin, *, has_witness: bool) -> Tested | None:
        """Hold one thing still and see whether the difference goes away; None when runs ran out.

        Args:
            pin: what to hold still.
            has_witness: whether the traces speak for it already.
        """
        count = _RUNS_WITH_WITNESS if has_witness else _RUNS_WITHOUT
        is_asked = has_witness or self._is_back is not None
        if not self.has_left(count if is_asked else count + FREE_RUNS):
            return None
        steps = stop_after(self._case.divergence) if has_witness else self._long_steps()
        runs = [self.run(pin.name, 0, pin.change, steps)]
        for side in range(1, count):
            runs.append(self.run(pin.name, side, pin.change, steps))
            state = self._state(runs[0], runs[-1])
            if state is not None:
                return replace(Tested(pin=pin, count=len(runs)), is_partial=state)
        return Tested(pin=pin, is_shown=True, count=count)

    def comes_back(self) -> bool:
        """Return whether the difference is there again in new runs with nothing held still.

        A difference of one run alone (a counter in a file, a rare race) is gone with anything held
        still, and with nothing. The runs are made once; the answer is kept.
        """
        if self._is_back is None:
            self._is_back = self.has_left(FREE_RUNS) and self._differ_again()
        return self._is_back

    def _differ_again(self) -> bool:
        steps, made = self._long_steps(), list[Rerun]()
        for side in range(FREE_RUNS):
            made.append(self._run("free", self._case.bases[side % 2], steps))
            if side and self._is_there(made[-2], made[-1]):
                return True
        return False

    def _long_steps(self) -> int:
        """Return the steps of a run in which a race, alike for one step, hardly stays alike."""
        steps = stop_after(self._case.divergence)
        return steps + _FURTHER_STEPS if steps else 0

    def repeats_first(self) -> bool:
        """Return whether another run made like the first one agrees with it at that step."""
        if not self.has_left(1):
            return False
        target, first = self._case.divergence, self._case.a
        again = self.run("again", 0, lambda attempt: attempt)
        if not is_usable(again, target):
            return False
        found = first_divergence(first.trace, again.trace)
        return found is None or is_later(found, target)

    def _is_there(self, a: Rerun, b: Rerun) -> bool:
        """Return whether two runs show the difference, or one that comes before it."""
        target = self._case.divergence
        if not (is_usable(a, target) and is_usable(b, target)):
            return False
        found = first_divergence(a.trace, b.trace)
        if found is None or is_later(found, target):
            return False
        return not is_same_place(found, target) or target.field in found.signals

    def _state(self, a: Rerun, b: Rerun) -> bool | None:
        """Return None when the difference is gone, else whether its first field at least agrees."""
        target = self._case.divergence
        if not (is_usable(a, target) and is_usable(b, target)):
            return False
        found = first_divergence(a.trace, b.trace)
        if found is None or (is_later(found, target) and found.field != target.field):
            return None
        return is_same_place(found, target) and target.field not in found.signals


def probe_step(divergence: Divergence) -> int:
    """Return the step of a difference as a probe counts them.

    A program that updates its weights by hand has no steps in its trace, and one for each backward
    pass to a probe.
    """
    return divergence.index if _is_by_hand(divergence) else divergence.step


def stop_after(divergence: Divergence) -> int:
    """Return how many steps show a difference: one more than up to it, or 0 for all to the end."""
    is_inside = divergence.step < divergence.of or _is_by_hand(divergence)
    return probe_step(divergence) + 2 if is_inside else 0


def _is_by_hand(divergence: Divergence) -> bool:
    return divergence.of == 0 and divergence.field == "losses" and divergence.index >= 0


def is_usable(rerun: Rerun, target: Divergence) -> bool:
    """Return whether a run got as far as the step of a difference, and nothing of it was lost."""
    process = process_of(rerun, target)
    if not rerun.outcome.is_complete or process is None or not rerun.trace.is_whole:
        return False
    return len(process.steps) > target.step or process.final is not None


def is_later(found: Divergence, target: Divergence) -> bool:
    """Return whether a difference lies beyond the one that is searched."""
    if found.rank is None and found.process != target.process:
        return found.process > target.process
    return found.step > target.step


def is_same_place(found: Divergence, target: Divergence) -> bool:
    """Return whether two differences lie in one step of one process."""
    return (found.step, found.rank, found.process) == (target.step, target.rank, target.process)


def ops_of(rerun: Rerun, divergence: Divergence) -> OpTrace | None:
    """Return the ops of the process that a difference lies in."""
    process = process_of(rerun, divergence)
    pid = process.pid if process else None
    return next((ops for ops in rerun.ops if ops.pid == pid), None)
