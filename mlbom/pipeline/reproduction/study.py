"""What a reproduction has found so far, and the findings that follow from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlbom.pipeline.reproduction.comparing import Compared
from mlbom.pipeline.reproduction.prepare import Prepared
from mlbom.pipeline.reproduction.request import ReproduceRequest
from mlbom.pipeline.reproduction.surroundings import Surroundings
from mlbom.record.steps.ops import WarnedOp
from mlbom.reproduce.details import Findings, RunFacts
from mlbom.reproduce.traces.series import series
from mlbom.reproduce.trials.repeats import repeats_document
from mlbom.reproduce.values import Culprit, Judgement, Level, LintFinding
from mlbom.reproduce.verdict import ORIGINAL, Facts, judge

_NO_NUMPY = "how far the weights lie apart cannot be told: pip install 'mlbom[reproduce]'"


@dataclass(slots=True, kw_only=True)
class Study:
    """What is known so far.

    Args:
        request: what was asked for.
        prepared: what is run.
        lint: what the code shows.
        runs: those that the verdict stands on.
        compared: each with the recorded one and with the first.
        surroundings: environment then and now.
        sweep: ops without a deterministic implementation; None when nobody could look.
        culprit: what made the first difference.
        control: of the run that must be told apart.
        variations: what was varied.
        notes: what else was not covered, each one sentence.
    """

    request: ReproduceRequest
    prepared: Prepared
    lint: tuple[LintFinding, ...] = ()
    runs: list[RunFacts] = field(default_factory=list)
    compared: list[Compared] = field(default_factory=list)
    surroundings: Surroundings = field(default_factory=Surroundings)
    sweep: tuple[WarnedOp, ...] | None = None
    culprit: Culprit | None = None
    control: Mapping[str, Any] | None = None
    variations: tuple[Mapping[str, Any], ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> list[RunFacts]:
        """Return the runs that came to their end."""
        return [run for run in self.runs if run.rerun.outcome.is_complete]

    @property
    def among_runs(self) -> list[Compared]:
        """Return the comparisons of the runs with each other."""
        return [compared for compared in self.compared if compared.pair.a != ORIGINAL]

    def level(self, pairs: Sequence[Compared]) -> Level:
        """Return the strongest level that holds for some pairs, whatever else is in doubt."""
        return judge(
            Facts(
                required=self.request.required,
                runs=(),
                asked=0,
                pairs=tuple(pair.facts for pair in pairs),
                is_partial=self.request.is_partial,
            )
        ).level

    def findings(self) -> Findings:
        """Return everything that was found."""
        request, prepared = self.request, self.prepared
        root, checkpoint = request.project_root, request.checkpoint
        differing = sum(compared.differs for compared in self.among_runs)
        return Findings(
            judgement=self._judgement(),
            command=prepared.command,
            original=prepared.original,
            commit=prepared.commit,
            dirty=prepared.is_dirty,
            mode=request.mode.value,
            device=request.device,
            runs=tuple(self.runs),
            mismatches=self.surroundings.mismatches,
            allows_mismatch=request.allows_mismatch,
            lint=self.lint,
            pairs=tuple(compared.pair for compared in self.compared),
            series=self._series(),
            culprit=self.culprit,
            control=self.control,
            variations=self.variations,
            repeats=repeats_document(len(self.complete), differing),
            sweep=self.sweep,
            limits=self._limits(),
            scope=request.steps,
            inject_seed=request.inject_seed,
            checkpoint=checkpoint.resolve().relative_to(root).as_posix() if checkpoint else "",
        )

    def _judgement(self) -> Judgement:
        request, control = self.request, self.control
        return judge(
            Facts(
                required=request.required,
                runs=tuple(run.rerun for run in self.runs),
                asked=request.runs,
                pairs=tuple(compared.facts for compared in self.compared),
                doubts=(*self.prepared.doubts, *self._doubts()),
                mismatches=self.surroundings.mismatches,
                allows_mismatch=request.allows_mismatch,
                other_isa=self.surroundings.is_other_isa,
                is_partial=request.is_partial,
                is_control_detected=None if control is None else control["detected"],
            )
        )

    def _doubts(self) -> list[str]:
        """Return further reasons to say nothing."""
        doubts = []
        required, devices = self.request.required, self.request.device.startswith("cuda")
        if required in (Level.TOLERANCE, Level.METRIC) and any(
            c.lacks_numbers for c in self.compared
        ):
            doubts.append(_NO_NUMPY)
        if devices and not all(run.rerun.recording.devices for run in self.complete):
            doubts.append("a GPU was asked for, and no run was seen to use one")
        return doubts

    def _series(self) -> Mapping[str, Any]:
        """Return what the pictures show; a segment begins elsewhere than the whole training."""
        original, traces = self.prepared.original, {}
        if original and original.trace and self.request.checkpoint is None:
            traces[ORIGINAL] = original.trace
        traces |= {run.rerun.label: run.rerun.trace for run in self.complete}
        return series(traces)

    def _limits(self) -> tuple[str, ...]:
        told = [note for compared in self.compared for note in compared.notes]
        told += (*self.prepared.limits, *self.surroundings.notes, *self.notes)
        for run in self.complete:
            told += (*run.rerun.trace.all_unseen, *run.rerun.recording.unseen)
        if any(compared.lacks_numbers for compared in self.compared):
            told.append(_NO_NUMPY)
        return tuple(dict.fromkeys(told))
