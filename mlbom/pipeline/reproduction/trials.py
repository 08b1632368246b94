"""The runs of a reproduction: each in its own sandbox, measured before that is gone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlbom.attest.run_claim import StepKind
from mlbom.collect.files import file_role
from mlbom.collect.repository.source import read_source
from mlbom.errors import MlbomError
from mlbom.pipeline.reproduction.prepare import Prepared
from mlbom.pipeline.reproduction.records import sha256_of
from mlbom.pipeline.reproduction.request import Mode, ReproduceRequest
from mlbom.pipeline.step_facts import measure_step
from mlbom.record.probe import Determinism, Probe
from mlbom.record.recording import Recording
from mlbom.render.step import StepFacts
from mlbom.reproduce.details import RunFacts
from mlbom.reproduce.lint.lint import lint_project
from mlbom.reproduce.lint.reach import entry_script, reachable
from mlbom.reproduce.rerun import Attempt, Rerunner
from mlbom.reproduce.tensors.digests import canonical_digest
from mlbom.reproduce.values import LintFinding, Rerun


@dataclass(slots=True)
class Trials:
    """Runs trainings as a request wants them, and keeps what was measured of each.

    Args:
        request: what was asked for.
        prepared: what is run.
        keep: folder for what is kept of each run.
        tell: is told what goes on, one line at a time.
        facts: label -> what was measured of a run.
        lint: what the code that ran shows.
    """

    request: ReproduceRequest
    prepared: Prepared
    keep: Path
    tell: Callable[[str], None]
    facts: dict[str, StepFacts] = field(default_factory=dict)
    lint: tuple[LintFinding, ...] = ()
    _label: str = ""

    def run(self, attempt: Attempt) -> Rerun:
        """Run once; what the request asks of every run is added to what this attempt asks."""
        probe = self._with_base(attempt.probe)
        self._label = attempt.label
        rerunner = Rerunner(self.prepared.plan, self.keep, self._measure)
        rerun = rerunner.run(replace(attempt, probe=probe))
        wall_s = rerun.recording.usage.wall_s
        detail = f": {rerun.detail}" if rerun.detail else ""
        steps = f", {rerun.trace.count} steps" if rerun.trace.count else ""
        self.tell(f"{rerun.label}: {rerun.outcome.value}{detail}{steps}, {wall_s:.1f} s")
        return rerun

    def measured(self, rerun: Rerun) -> RunFacts:
        """Return a run with the digests of its weights and the metrics that it told."""
        facts = self.facts.get(rerun.label)
        metrics = {m["name"]: m["value"] for m in facts.metrics} if facts else {}
        weights = {n: p for n, p in sorted(rerun.outputs.items()) if file_role(n) == "weights"}
        return RunFacts(
            rerun=rerun,
            weights={name: _digests(path) for name, path in weights.items()},
            metrics=metrics,
        )

    def _with_base(self, probe: Probe) -> Probe:
        """Add the seed, the limit of steps and the determinism of the request."""
        request = self.request
        strict = request.mode is Mode.DETERMINISTIC and probe.determinism is Determinism.AS_IS
        return replace(
            probe,
            seed=request.inject_seed if probe.seed is None else probe.seed,
            determinism=Determinism.STRICT if strict else probe.determinism,
            stop_after=probe.stop_after or request.steps,
        )

    def _measure(self, recording: Recording) -> None:
        original = self.prepared.original
        name = original.claim.name if original else "train"
        kind = original.claim.kind if original else StepKind.TRAIN
        root, plan = recording.plan.project_root, self.prepared.plan
        if not self.facts:
            self.lint = lint_project(
                root, reachable(root, entry_script(plan.command, root, plan.folder))
            )
        source = read_source(root)
        self.facts[self._label] = measure_step(name, kind, recording, source, publishes=False)


def _digests(path: Path) -> Mapping[str, str]:
    try:
        tensors = canonical_digest(path)
    except MlbomError:
        tensors = ""  # no format whose tensors can be read: the file's own digest is all
    return {"sha256": sha256_of(path), "tensors": tensors}
