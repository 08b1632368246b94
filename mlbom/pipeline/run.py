"""run: launch and watch -> hash what was read and written -> state -> guard -> sign -> keep.

The signer is opened before the command starts: a key that cannot sign is found out in the first
second, not after the last epoch.
"""

import contextlib
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

from mlbom import guard
from mlbom.attest.classic import MOST_LINK, classic_envelope, keyid, link_name, link_payload
from mlbom.attest.run_claim import RunClaim, StepKind, run_statement
from mlbom.attest.statement import Statement
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.collect.repository.source import read_source
from mlbom.collect.runs.record import RECORD, UNSIGNED
from mlbom.errors import (
    CommandNotStartedError,
    MlbomError,
    OutputError,
    SecretLeakError,
    SigningError,
    UsageError,
)
from mlbom.outdir import file_name, project_lock, replace_file, write_whole
from mlbom.pipeline.step_facts import PRIVATE_COMMAND, PRIVATE_INPUTS, RUNS, measure_step
from mlbom.record.launcher import record_step
from mlbom.record.probe import TraceLevel
from mlbom.record.recording import Recording, StepPlan
from mlbom.record.signals import SignalForwarding
from mlbom.render.records import (
    classic_artifacts,
    private_command,
    private_inputs,
    step_claim,
    step_subjects,
)
from mlbom.render.step import StepFacts
from mlbom.sign.signer import BundleSigner, Signer, Timestamper, check_stampable, seal, signer_name


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What to record.

    Args:
        name: of the step.
        kind: what it is for.
        argv: the command, unmodified.
        cwd: where it runs, absolute.
        project_root: the folder of `.mlbom/`, absolute, links resolved.
        inputs: files or folders declared as read, absolute.
        outputs: files or folders declared as written, absolute.
        observe: auto, hook, fanotify or strace.
        trace: how much of each training step is written down.
        publish_names: whether names of untracked inputs are published.
        export: a further place for the record, or None.
    """

    name: str
    kind: StepKind
    argv: tuple[str, ...]
    cwd: Path
    project_root: Path
    inputs: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()
    observe: str = "auto"
    trace: TraceLevel = TraceLevel.OFF
    publish_names: bool = False
    export: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What was recorded.

    Args:
        recording: the step as it ran.
        claim: what the record claims.
        statement: the statement, as signed or as left unsigned.
        record: the record's file.
        link: the classic link's file, or None when there is none.
        signer: who signed: `key FINGERPRINT` or an identity; empty when nobody did.
        failure: why the record is not as it was asked for, although the command has run; then an
            unsigned copy is kept in private, or the record lacks its timestamp.
    """

    recording: Recording
    claim: RunClaim
    statement: Statement
    record: Path
    link: Path | None = None
    signer: str = ""
    failure: MlbomError | None = None


def run(request: RunRequest, signer: Signer | None, stamp: Timestamper | None = None) -> RunResult:
    """Run a step, record it, and keep the record whatever became of the command.

    Nothing is raised once the command has run: what failed after that is told in the result.

    Args:
        request: what to record.
        signer: who signs the record, or None.
        stamp: gets a trusted time for the signature, or None.

    Raises:
        OutputError, LockedError: `.mlbom` cannot be written; the command was not started.
        CommandNotStartedError: the command cannot be started; nothing is kept of it.
        UsageError: there is no folder for the exported record, or a timestamp that cannot be.
    """
    if signer:
        check_stampable(signer, stamp)
    if request.export and not request.export.parent.is_dir():
        message = f"no folder for the exported record: {request.export.parent}"
        raise UsageError(message, hint="the command was not started")
    folder = _run_folder(request)
    source = read_source(request.project_root)
    plan = StepPlan(
        argv=request.argv,
        cwd=request.cwd,
        project_root=request.project_root,
        folder=folder,
        inputs=request.inputs,
        outputs=request.outputs,
        observe=request.observe,
        trace=request.trace,
    )
    try:
        recording = record_step(plan)
    except CommandNotStartedError:
        folder.rmdir()
        raise
    # A second Ctrl-C must not cost what hours of computing have made.
    with SignalForwarding(()):
        facts = measure_step(
            request.name, request.kind, recording, source, publishes=request.publish_names
        )
        claim = step_claim(facts)
        result = RunResult(
            recording=facts.recording,
            claim=claim,
            statement=run_statement(claim, step_subjects(facts)),
            record=folder / UNSIGNED,
        )
        return _kept_or_saved(request, result, facts, _Seal(signer, stamp) if signer else None)


def _kept_or_saved(
    request: RunRequest, result: RunResult, facts: StepFacts, by: "_Seal | None"
) -> RunResult:
    """Keep the record; what cannot be signed or published is saved unsigned, and in private."""
    private = request.project_root / ".mlbom" / "private" / RUNS / result.record.parent.name
    try:
        write_whole(private / PRIVATE_INPUTS, private_inputs(facts), 0o600)
        write_whole(private / PRIVATE_COMMAND, private_command(facts), 0o600)
        return _kept(request, result, facts, by)
    except MlbomError as error:
        failure: MlbomError = error
    except OSError as error:
        failure = OutputError(f"cannot keep the record: {error.strerror or error}")
    saved = private / UNSIGNED
    with contextlib.suppress(OSError):
        write_whole(saved, result.statement.payload(), 0o600)
    return replace(result, record=saved, failure=failure)


def _run_folder(request: RunRequest) -> Path:
    """Make the folder of this run; its name is the time and four random bytes."""
    private = request.project_root / ".mlbom"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = private / RUNS / f"{stamp}-{file_name(request.name)}-{secrets.token_hex(4)}"
    with project_lock(private) as writable:
        if not writable:
            message = f"cannot keep a record: {private} is not writable"
            raise OutputError(message, hint="the command was not started")
        folder.mkdir(parents=True, mode=0o755)
    return folder


@dataclass(frozen=True, slots=True)
class _Seal:
    """Who signs a record, and where its time comes from."""

    signer: Signer
    stamp: Timestamper | None


def _kept(request: RunRequest, result: RunResult, facts: StepFacts, by: _Seal | None) -> RunResult:
    """Sign the record and its link, and put both beside the run's logs."""
    payload = result.statement.payload()
    _refuse_secrets(payload)
    if by is None:
        write_whole(result.record, payload)
        _export(request, payload)
        return result
    try:
        sealed = seal(by.signer, result.statement, by.stamp)
    except SigningError as error:
        if by.stamp is None:
            raise
        # An authority that is down: the record is signed all the same, and told to lack its time.
        sealed = seal(by.signer, result.statement)
        result = replace(result, failure=error)
    record = result.record.with_name(RECORD)
    write_whole(record, sealed.bundle)
    _export(request, sealed.bundle)
    if isinstance(by.signer, BundleSigner):
        # A classic link names a key, and a certificate of ten minutes is none.
        return replace(result, record=record, signer=signer_name(by.signer))
    link = _link(record.parent, facts, result.claim, by.signer)
    return replace(result, record=record, link=link, signer=signer_name(by.signer))


def _link(folder: Path, facts: StepFacts, claim: RunClaim, signer: Signer) -> Path | None:
    """Write the classic link; None when it would be larger than a link should be."""
    materials, products = classic_artifacts(facts)
    payload = link_payload(
        claim.name,
        materials,
        products,
        claim.command,
        byproducts={"return-value": claim.exit_code, "signal": claim.signal},
    )
    if len(payload) > MOST_LINK:
        return None
    _refuse_secrets(payload)
    identity = keyid(signer.public_key)
    path = folder / link_name(file_name(claim.name), identity)
    write_whole(path, classic_envelope(signer.sign(payload, PAYLOAD_TYPE), identity))
    return path


def _export(request: RunRequest, record: bytes) -> None:
    if request.export is not None:
        replace_file(request.export, record)


def _refuse_secrets(payload: bytes) -> None:
    for hit in guard.find_secrets(payload):
        message = f"the record would publish something shaped like a {hit.rule}"
        hint = "an unsigned copy is kept in .mlbom/private; give secrets by a file or a variable"
        raise SecretLeakError(message, hint=hint)
