"""Signs what a reproduction found: the re-run's provenance, the level reached, the test result."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mlbom import __version__, guard
from mlbom.attest.bundle import FOLDER
from mlbom.attest.reproduction_claim import (
    REBUILD_BUNDLE,
    RESULT_BUNDLE,
    SAME_MACHINE,
    SUMMARY_BUNDLE,
    UNKNOWN_MACHINE,
    ReproductionClaim,
    reproduction_statements,
)
from mlbom.attest.reproduction_record import as_rebuild
from mlbom.attest.run_claim import run_statement
from mlbom.attest.statement import Statement
from mlbom.errors import OutputError, SecretLeakError
from mlbom.outdir import write_whole
from mlbom.pipeline.reproduction.closed import closing_of
from mlbom.pipeline.reproduction.prepare import Prepared
from mlbom.pipeline.reproduction.request import ReproduceRequest
from mlbom.pipeline.step_facts import RUNS
from mlbom.render.records import step_claim, step_subjects
from mlbom.render.step import StepFacts
from mlbom.reproduce.details import Findings
from mlbom.sign.signer import Sealed, Signer, seal


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What is to be signed.

    Args:
        request: what was asked for.
        prepared: what was run.
        findings: what was found.
        details: the bytes of the details document.
        facts: of the first run that came to its end, or None.
    """

    request: ReproduceRequest
    prepared: Prepared
    findings: Findings
    details: bytes
    facts: StepFacts | None


def untold(publication: Publication) -> str:
    """Return why nothing can be stated, or an empty text."""
    if publication.facts is None:
        return "no run came to its end"
    if publication.request.steps:
        return f"only the first {publication.request.steps} steps were compared"
    if publication.request.checkpoint:
        return "only a segment was run again, from a checkpoint on"
    if not _weights(publication):
        return "no weight file was made"
    return ""


def publish(publication: Publication, signer: Signer) -> tuple[Path, ...]:
    """Sign the statements of a reproduction and write them to `.mlbom/attestations`.

    Args:
        publication: what they state; `untold` has nothing against it.
        signer: the rebuilder.

    Raises:
        SigningError: the signer failed.
        SecretLeakError: a statement would publish a secret.
        OutputError: they cannot be written.
    """
    facts = publication.facts
    assert facts is not None  # noqa: S101 - `untold` was asked
    details = sha256(publication.details).hexdigest()
    rebuild = run_statement(as_rebuild(step_claim(facts), details), step_subjects(facts))
    summary, result = reproduction_statements(_claim(publication, rebuild))
    stated = [(REBUILD_BUNDLE, rebuild), (RESULT_BUNDLE, result)]
    if summary is not None:
        stated.insert(1, (SUMMARY_BUNDLE, summary))
    _refuse_secrets([publication.details, *(statement.payload() for _, statement in stated)])
    sealed = [(name, seal(signer, statement)) for name, statement in stated]
    return tuple(_write(publication.request.project_root, name, one) for name, one in sealed)


def _claim(publication: Publication, rebuild: Statement) -> ReproductionClaim:
    found, prepared = publication.findings, publication.prepared
    original = prepared.original
    complete = [run.rerun for run in found.runs if run.rerun.outcome.is_complete]
    return ReproductionClaim(
        weights=_weights(publication),
        level=found.judgement.level.value,
        required=found.judgement.required.value,
        mode=found.mode,
        runs=len(complete),
        finished=int(max(rerun.recording.finished for rerun in complete)),
        tool_version=__version__,
        details=publication.details,
        original=original.sha256 if original else "",
        commit=found.commit,
        closing=closing_of(publication.request.release, _weights(publication)),
        rebuilds=(sha256(rebuild.payload()).hexdigest(),),
        builder=_builder(publication),
        isolated=all(rerun.isolated for rerun in complete),
        control=found.control["detected"] if found.control else None,
        thresholds=found.judgement.thresholds,
        reasons=tuple(map(guard.clean_text, found.judgement.reasons)),
        limits=tuple(map(guard.clean_text, found.limits)),
    )


def _weights(publication: Publication) -> dict[str, str]:
    """Return what is reproduced: the original's weight files, else those that the runs made."""
    original = publication.prepared.original
    if original:
        return dict(original.weights)
    runs = publication.findings.runs
    return {name: told["sha256"] for name, told in runs[0].weights.items()} if runs else {}


def _builder(publication: Publication) -> str:
    """Return whether the original was made here: its private half lies beside its record then."""
    original = publication.prepared.original
    if original is None:
        return UNKNOWN_MACHINE
    private = publication.request.project_root / ".mlbom" / "private" / RUNS
    here = {entry.name for entry in private.iterdir()} if private.is_dir() else set()
    return SAME_MACHINE if original.claim.invocation in here else UNKNOWN_MACHINE


def _refuse_secrets(published: Iterable[bytes]) -> None:
    for hit in (hit for data in published for hit in guard.find_secrets(data)):
        message = f"a statement would publish something shaped like a {hit.rule}"
        raise SecretLeakError(message, hint="nothing was signed; the details are kept here")


def _write(project_root: Path, name: tuple[int, str], sealed: Sealed) -> Path:
    place = project_root / ".mlbom" / FOLDER / sealed.name(*name)
    try:
        write_whole(place, sealed.bundle)
    except OSError as error:
        message = f"cannot write {place}: {error.strerror or error}"
        raise OutputError(message) from error
    return place
