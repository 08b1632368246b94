"""What a chain of records tells: each run as a node, and what no record tells."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlbom.attest.resource import Resource
from mlbom.attest.run_claim import PRIVATE_INPUTS, RunClaim, StepKind
from mlbom.collect.repository import SUBJECT as REPOSITORY
from mlbom.collect.runs import COLLECTOR, training_not_recorded
from mlbom.collect.runs.joining import Candidate, Chain, ModelFiles
from mlbom.collect.runs.reading import ReadBy, observe_reading
from mlbom.collect.runs.record import Record, number, numbers, table
from mlbom.collect.runs.reported import observe_metrics
from mlbom.collect.scope import Witness, shortened
from mlbom.evidence.digest import Digest
from mlbom.evidence.nodes import Count, Pair, Run
from mlbom.evidence.observation import Gap, Observation
from mlbom.evidence.origin import Method
from mlbom.guard import clean_text

# More than this of what leads nowhere is told as a number.
_MOST_NAMED = 20
_MOST_COMMAND = 2000
_JOULES_PER_KWH = 3_600_000
_COUNT = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedModel:
    """The model that the records are joined to.

    Args:
        id: of its `Model`.
        files: its files by digest.
        datasets: ids of the local datasets by SHA-256 of their files.
        commit: that PATH is at, or None.
        grams_per_kwh: CO2 equivalent of the grid, when it is configured.
    """

    id: str
    files: ModelFiles
    datasets: Mapping[str, tuple[str, ...]]
    commit: str | None = None
    grams_per_kwh: float | None = None


def observe_chain(
    chain: Chain, environments: Mapping[str, str], model: JoinedModel
) -> Iterator[Observation | Gap]:
    """Yield each joined run with what it read and reported, and what is not told.

    Args:
        chain: the joined records.
        environments: id of the environment by id of the run.
        model: the release.
    """
    for record in chain.records:
        method = Method.MEASURED if record.signer else Method.DECLARED
        witness = Witness(COLLECTOR, method, record.place)
        yield witness.observes(_run(record, chain, environments.get(record.id)))
        yield from _usage(record, model.grams_per_kwh, witness)
        yield from _not_told(record, environments, witness)
        read_by = ReadBy(record=record, model=model.id, datasets=model.datasets)
        yield from observe_reading(read_by, witness)
        yield from observe_metrics(read_by, witness)
    yield from _source(chain, model)
    yield from _left_out(chain)
    yield from _not_recorded(model, chain)


def _run(record: Record, chain: Chain, environment: str | None) -> Run:
    claim = record.claim
    parameters = claim.parameters
    inputs = tuple(_told(resource) for resource in claim.materials if resource.is_file)
    outputs = tuple(Pair(f"sha256:{s.sha256}", s.name) for s in record.statement.subjects)
    return Run(
        id=record.id,
        name=claim.name or claim.kind.value,
        kind=claim.kind.value,
        command=shortened(shlex.join(claim.command), _MOST_COMMAND) or None,
        folder=claim.folder,
        started=claim.started,
        finished=claim.finished,
        exit_code=claim.exit_code,
        record=Digest("sha256", record.sha256),
        signed=bool(record.signer),
        signers=(record.signer,) if record.signer else (),
        recorder=f"mlbom {claim.tool_version}",
        observers=claim.observers,
        environment=environment,
        inputs=inputs,
        input_count=_input_count(record),
        outputs=() if record.is_evaluation else outputs,
        output_count=None if record.is_evaluation else len(set(record.subjects())),
        files=tuple(f"file:{path}" for path in chain.files[record.id]),
        after=chain.after[record.id],
        commit=_commit(claim),
        seeds=_pairs(parameters, "seeds"),
        determinism=_pairs(parameters, "determinism"),
        libraries=_pairs(parameters, "libraries"),
        variables=_pairs(parameters, "environmentVariables"),
        accelerators=_accelerators(parameters),
    )


def _told(resource: Resource) -> Pair:
    return Pair(f"sha256:{resource.sha256}", resource.name)


def _input_count(record: Record) -> int:
    """Return how many files were read, those in manifests counted one by one."""
    listed = sum(1 for _ in record.inputs())
    for resource in record.claim.materials:
        told = resource.annotations.get("mlbom_files")
        if resource.name == PRIVATE_INPUTS and type(told) is int and told > 0:
            listed += told - 1
    return listed


def _commit(claim: RunClaim) -> str | None:
    sources = (r for r in claim.materials if "gitCommit" in r.digests and r.name == "source")
    return next((r.digests["gitCommit"] for r in sources), None)


def _pairs(parameters: Mapping[str, object], name: str) -> tuple[Pair, ...]:
    return tuple(Pair(clean_text(key), text) for key, text in table(parameters, name).items())


def _accelerators(parameters: Mapping[str, object]) -> tuple[Count, ...]:
    told = table(parameters, "accelerators")
    counts = ((key, int(text)) for key, text in told.items() if _COUNT.fullmatch(text))
    return tuple(Count(clean_text(key), number) for key, number in counts)


def _usage(record: Record, grams_per_kwh: float | None, witness: Witness) -> Iterator[Observation]:
    """Yield what the run used, when anything of it was measured."""
    usage = record.claim.usage
    cpu = [number(usage.get(name)) for name in ("cpuUserSeconds", "cpuSystemSeconds")]
    memory = number(usage.get("maxRssBytes"))
    energy = numbers(usage, "energyJoules")
    node = Run(
        id=record.id,
        wall_s=number(usage.get("wallSeconds")),
        cpu_s=sum(c for c in cpu if c is not None) if any(c is not None for c in cpu) else None,
        max_nbytes=None if memory is None else int(memory),
        gpu_max_nbytes=_counts(numbers(usage, "gpuMaxBytes")),
        energy_j=_counts(energy),
        energy_kwh=_kilowatt_hours(energy),
    )
    if node != Run(id=record.id):
        yield witness.observes(node)
    if node.energy_kwh is not None and grams_per_kwh is not None:
        emitted = Run(id=record.id, co2_g=round(node.energy_kwh * grams_per_kwh, 6))
        yield witness.by(Method.INFERRED).observes(emitted, key="grid-gco2-per-kwh")


def _counts(told: Mapping[str, float]) -> tuple[Count, ...]:
    return tuple(Count(clean_text(name), round(value)) for name, value in told.items())


def _kilowatt_hours(joules: Mapping[str, float]) -> float | None:
    """Return the energy of all domains that do not contain each other (RAPL: psys, core, uncore).

    Args:
        joules: by domain, for example `gpu:0`, `cpu:package-0`.
    """
    parts = tuple(d for d in joules if d.rpartition(":")[2].startswith(("psys", "core", "uncore")))
    whole = [value for domain, value in joules.items() if domain not in parts]
    return round(sum(whole) / _JOULES_PER_KWH, 9) if whole else None


def _not_told(record: Record, environments: Mapping[str, str], witness: Witness) -> Iterator[Gap]:
    for sentence in record.claim.unseen:
        yield witness.misses(record.id, f"not observed: {sentence}", field="inputs")
    if record.id not in environments and record.claim.environment is None:
        reason = f"the record of {record.claim.name} carries no evidence of its environment"
        yield witness.misses(record.id, reason, field="environment")
    if not record.signer:
        reason = f"nobody signed the record of {record.claim.name}: what it says is declared"
        yield witness.misses(record.id, reason, field="signers")


def _left_out(chain: Chain) -> Iterator[Gap]:
    """Yield what was looked at and is not part of the chain."""
    witness = Witness(COLLECTOR, Method.MEASURED)
    for place, error in chain.unreadable:
        yield witness.at(place).cannot_read(f"record:{place}", error)
    told = [(c, f"it is unrelated: {_unrelated(c)}") for c in chain.unrelated]
    told += [(c, f"it failed and made nothing: {c.failure}") for c in chain.failed]
    for candidate, why in told[:_MOST_NAMED]:
        reason = f"the record {candidate.name!r} is not part of the chain, {why}"
        yield witness.at(candidate.place).misses(candidate.id, reason, field="record")
    if len(told) > _MOST_NAMED:
        reason = f"{len(told) - _MOST_NAMED} further records are not part of the chain"
        yield witness.misses("run:", reason, field="record")


def _unrelated(candidate: Candidate) -> str:
    if candidate.kind is StepKind.EVAL:
        return "it read no weights of this model"
    return "nothing that it wrote is here or was read by a step that is"


def _not_recorded(model: JoinedModel, chain: Chain) -> Iterator[Gap]:
    """Yield what no record leads to: training as a whole, or single weight files."""
    if not any(record.claim.kind is StepKind.TRAIN for record in chain.records):
        yield training_not_recorded(model.id)
    if not chain.records:
        return
    witness = Witness(COLLECTOR, Method.MEASURED)
    made = {p for r in chain.records if not r.is_evaluation for p in chain.files[r.id]}
    for path in sorted(p for paths in model.files.weights.values() for p in paths):
        if path not in made:
            reason = "not recorded: no joined record wrote this file"
            yield witness.misses(f"file:{path}", reason, field="training")


def _source(chain: Chain, model: JoinedModel) -> Iterator[Gap]:
    """Yield why the source of a recorded step is not what the commit of this release holds."""
    witness = Witness(COLLECTOR, Method.MEASURED)
    if model.commit is None:
        return
    products = {sha256 for r in chain.records if not r.is_evaluation for _, sha256 in r.subjects()}
    for record in chain.records:
        here = witness.at(record.place)
        step = record.claim.name
        commit = _commit(record.claim)
        if commit and commit != model.commit:
            reason = f"{step} ran at commit {commit[:12]}, this release is at {model.commit[:12]}"
            yield here.misses(record.id, reason, field="commit")
        if _ran_changed(record.claim):
            reason = f"{step} ran sources that were not as in their commit"
            yield here.misses(REPOSITORY, reason, field="dirty")
        private = {sha256 for name, sha256 in record.inputs() if not name}
        untracked = len((private & model.datasets.keys()) - products)
        if untracked:
            reason = f"{step} read data files that git does not track: {untracked}"
            yield here.misses(REPOSITORY, reason, field="dirty")


def _ran_changed(claim: RunClaim) -> bool:
    told = [r.annotations for r in claim.materials if "gitCommit" in r.digests]
    return any(a.get("mlbom_dirty") is True or a.get("mlbom_untrackedModules") for a in told)
