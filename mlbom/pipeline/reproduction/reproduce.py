"""The order of a reproduction: prepare, lint, run, compare, localise, judge, tell, sign."""

import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mlbom.errors import MlbomError, OutputError
from mlbom.evidence.canonical import canonical_json
from mlbom.outdir import project_lock, replace_file
from mlbom.pipeline.reproduction.comparing import compare_runs, compare_with_original
from mlbom.pipeline.reproduction.prepare import Prepared
from mlbom.pipeline.reproduction.publish import Publication, publish, untold
from mlbom.pipeline.reproduction.request import Mode, ReproduceRequest, ReproduceResult
from mlbom.pipeline.reproduction.study import Study
from mlbom.pipeline.reproduction.surroundings import compare_surroundings
from mlbom.pipeline.reproduction.trials import Trials
from mlbom.record.probe import Determinism, Probe
from mlbom.reproduce.details import details_document
from mlbom.reproduce.lint.lint import lint_project
from mlbom.reproduce.lint.reach import entry_script, reachable
from mlbom.reproduce.localise.explain import explain_difference
from mlbom.reproduce.localise.ladder import localise
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.trials.control import run_control
from mlbom.reproduce.trials.variations import Yardstick, run_variations
from mlbom.reproduce.values import Level, Rerun
from mlbom.sign.signer import Signer, signer_name

FOLDER = "reproductions"
DETAILS = "reproduction.json"
# The sweep for ops that cannot be deterministic looks at so many steps.
_SWEPT_STEPS = 3
_LINT_SHOWN = 8
_Tell = Callable[[str], None]


def reproduce(
    request: ReproduceRequest, prepared: Prepared, signer: Signer | None, tell: _Tell
) -> ReproduceResult:
    """Train again, compare, and keep and sign what was found.

    Args:
        request: what is asked for; the caller has the user's consent to run the project's code.
        prepared: what is run (`prepare`).
        signer: the rebuilder, or None.
        tell: is told what goes on, one line at a time.

    Raises:
        RepositoryError, EnvironmentFailureError: no sandbox can be made.
        OutputError, LockedError: `.mlbom` cannot be written; nothing was run.
    """
    folder = _folder(request.project_root)
    trials = Trials(request=request, prepared=prepared, keep=folder, tell=tell)
    study = Study(request=request, prepared=prepared)
    _preflight(study, tell)
    _run(study, trials)
    _compare(study, trials)
    # Hours of computing are kept before anything else is tried.
    _keep(folder, details_document(study.findings()))
    _search(study, trials, tell)
    findings = study.findings()
    details = details_document(findings)
    data = _keep(folder, details)
    _drop_outputs(folder, {run.rerun.label for run in study.runs})
    result = ReproduceResult(judgement=findings.judgement, details=details, folder=folder)
    facts = next((trials.facts[run.rerun.label] for run in study.complete), None)
    publication = Publication(
        request=request, prepared=prepared, findings=findings, details=data, facts=facts
    )
    return _signed(result, publication, signer) if signer else result


def _folder(project_root: Path) -> Path:
    """Make the folder of this reproduction; its name is the time and four random bytes."""
    private = project_root / ".mlbom"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = private / "private" / FOLDER / f"{stamp}-{secrets.token_hex(4)}"
    with project_lock(private) as writable:
        if not writable:
            message = f"cannot keep what is found: {private} is not writable"
            raise OutputError(message, hint="nothing was run")
        folder.mkdir(parents=True, mode=0o700)
    return folder


def _preflight(study: Study, tell: _Tell) -> None:
    """Lint the present code, before hours are spent on it."""
    plan = study.prepared.plan
    entry = entry_script(plan.command, plan.project, plan.folder)
    study.lint = lint_project(plan.project, reachable(plan.project, entry))
    for finding in study.lint[:_LINT_SHOWN]:
        tell(f"{finding.path}:{finding.line}: {finding.message}")
    if len(study.lint) > _LINT_SHOWN:
        tell(f"and {len(study.lint) - _LINT_SHOWN} more such lines")


def _run(study: Study, trials: Trials) -> None:
    """Make the runs; one that does not come to its end is the last."""
    if study.request.mode is Mode.DETERMINISTIC:
        _sweep(study, trials)
    for number in range(1, study.request.runs + 1):
        rerun = trials.run(Attempt(label=f"run-{number}"))
        study.runs.append(trials.measured(rerun))
        if not rerun.outcome.is_complete:
            break
    # The code that ran may be another than the present one.
    study.lint = trials.lint or study.lint


def _sweep(study: Study, trials: Trials) -> None:
    """List every op that torch cannot make deterministic, before they are forbidden."""
    probe = Probe(determinism=Determinism.WARN, stop_after=_SWEPT_STEPS)
    swept = trials.run(Attempt(label="sweep", probe=probe))
    if swept.outcome.is_complete and swept.ops:
        study.sweep = tuple(dict.fromkeys(op for trace in swept.ops for op in trace.warned))
        study.notes.append(f"the sweep for such ops looked at {_SWEPT_STEPS} steps")
    else:
        study.notes.append(f"ops were not swept: {swept.detail or swept.outcome.value}")


def _compare(study: Study, trials: Trials) -> None:
    """Compare the runs with the recorded one and with each other."""
    original, complete = study.prepared.original, study.complete
    if original and complete:
        first = complete[0]
        study.compared.append(compare_with_original(original, first, study.request))
        facts = trials.facts[first.rerun.label]
        study.surroundings = compare_surroundings(original, first.rerun, facts)
    study.compared += [compare_runs(complete[0], other) for other in complete[1:]]


def _search(study: Study, trials: Trials, tell: _Tell) -> None:
    """Name what made the first difference, and make the further runs that were asked for."""
    request, original, complete = study.request, study.prepared.original, study.complete
    if not complete:
        return
    base = complete[0].rerun
    differing = next((c.pair.b for c in study.among_runs if c.differs), None)
    if differing:
        other = next(r.rerun for r in complete if r.rerun.label == differing)
        tell("the runs differ: looking for the cause, with further short runs")
        study.culprit = localise(trials.run, base, other, study.lint).culprit
    elif original and any(compared.differs for compared in study.compared):
        told = study.compared[0].culprit
        study.culprit = told or (None if request.checkpoint else explain_difference(original, base))
    if request.has_control:
        study.control = run_control(trials.run, base)
    if request.varies:
        held = study.level(study.among_runs)
        yardstick = Yardstick(level_of=partial(_level_of, study, trials), held=held)
        study.variations = run_variations(trials.run, base, yardstick)


def _level_of(study: Study, trials: Trials, base: Rerun, varied: Rerun) -> Level:
    return study.level([compare_runs(trials.measured(base), trials.measured(varied))])


def _keep(folder: Path, details: dict[str, Any]) -> bytes:
    """Write the details document and return its bytes: those that are signed."""
    data = canonical_json(details)
    try:
        replace_file(folder / DETAILS, data, 0o600)
    except OSError as error:
        message = f"cannot keep what was found: {error.strerror or error}"
        raise OutputError(message) from error
    return data


def _drop_outputs(folder: Path, kept: set[str]) -> None:
    """Remove the weights of further runs; their logs and traces stay."""
    for run in folder.iterdir():
        if run.name not in kept:
            shutil.rmtree(run / "outputs", ignore_errors=True)


def _signed(result: ReproduceResult, publication: Publication, signer: Signer) -> ReproduceResult:
    """Add the signed statements, or why there are none."""
    if why := untold(publication):
        return replace(result, untold=why)
    try:
        bundles = publish(publication, signer)
    except MlbomError as error:
        return replace(result, failure=error)
    return replace(result, bundles=bundles, signer=signer_name(signer))
