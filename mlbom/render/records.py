"""A recorded step as a statement: the values of a recording and their digests, in; a claim, out.

Pure. What is published of a step is decided here (chain.md section 5): a file that git tracks, or
that an earlier recorded step wrote, is named; any other appears by its digest alone.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlbom import guard
from mlbom.attest.resource import Resource
from mlbom.attest.run_claim import (
    EMPTY,
    ENVIRONMENT_NAME,
    INPUTS_MANIFEST,
    LOG_NAMES,
    LOG_SUBJECTS,
    MANIFEST_TYPE,
    MOST_FILES,
    NAMELESS,
    OUTPUTS_MANIFEST,
    PRIVATE_INPUTS,
    RunClaim,
    StepKind,
    public_name,
)
from mlbom.attest.statement import Subject
from mlbom.digest.manifest import dir_hash, manifest_bytes
from mlbom.evidence.canonical import canonical_json
from mlbom.evidence.nodes import HUB_DATASET_URL
from mlbom.record.recording import Recording, RemoteInput
from mlbom.render.step import PrivateNames, StepFacts

# A manifest larger than this is stated by its digest alone.
_MOST_CONTENT = 16 * 1024 * 1024
_NUMBERS = re.compile(r"[\d\s.,+|<>\[\]eE-]*(?:None)?[\d\s.,+|<>\[\]eE-]*")
_ABSOLUTE = re.compile(r"(?<![\w.~:/])/(?!dev/(?:null|zero|stdin|stdout|stderr)\b)[^\s'\":]+")


def step_claim(facts: StepFacts) -> RunClaim:
    """Return what the record of a step claims; every text has passed the guard."""
    recording = facts.recording
    plan = recording.plan
    hide = PrivateNames.of(facts).hidden_in
    return RunClaim(
        name=facts.name,
        kind=facts.kind,
        command=tuple(hide(arg) for arg in public_command(plan.argv, plan.project_root)),
        folder=Path(os.path.relpath(plan.cwd, plan.project_root)).as_posix(),
        invocation=facts.invocation,
        started=int(recording.started),
        finished=int(recording.finished),
        exit_code=recording.exit_code,
        signal=recording.signal,
        tool_version=facts.tool_version,
        materials=tuple(_materials(facts)),
        byproducts=tuple(_byproducts(facts)),
        parameters=_parameters(recording),
        usage=_usage(recording),
        observers=recording.observers,
        unseen=tuple(hide(_sentence(text)) for text in (*recording.unseen, *facts.unseen)),
        metrics=facts.metrics,
    )


def step_subjects(facts: StepFacts) -> tuple[Subject, ...]:
    """Return what the statement is about: the files written, or the weights that were evaluated.

    A step that left nothing is stated of its logs, so that a crash leaves a record too.
    """
    is_evaluation = facts.kind is StepKind.EVAL
    paths = [p for p in facts.inputs if p in facts.weights] if is_evaluation else facts.outputs
    if len(paths) > MOST_FILES:
        return (Subject(OUTPUTS_MANIFEST, dir_hash(_manifest(facts, paths))),)
    named = _by_label(facts, paths)
    if not named:
        named = {f"logs/{r.name}": r.sha256 for r in _logs(facts)} or dict.fromkeys(
            LOG_SUBJECTS, EMPTY
        )
    return tuple(Subject(name, digest) for name, digest in sorted(named.items()))


def private_inputs(facts: StepFacts) -> bytes:
    """Return `sha256sum` lines of every file read, under its real name; never published."""
    root = facts.recording.plan.project_root
    return manifest_bytes((_private_name(root, p), facts.digests[p]) for p in facts.inputs)


def private_command(facts: StepFacts) -> bytes:
    """Return the command with its real paths as JSON, never published; empty if it holds a secret.

    Paths below the project are relative to it, as they are in a copy of it elsewhere.
    """
    plan = facts.recording.plan
    inside = _inside(plan.argv, plan.project_root)
    return canonical_json(inside) if list(guard.clean_command(inside)) == inside else b""


def classic_artifacts(facts: StepFacts) -> tuple[dict[str, str], dict[str, str]]:
    """Return materials and products of the step's classic link: SHA-256 by name."""
    return _by_label(facts, facts.inputs), _by_label(facts, facts.outputs)


def _by_label(facts: StepFacts, paths: Iterable[str]) -> dict[str, str]:
    """Return SHA-256 by label; of two different files of one name the later goes by its digest."""
    told: dict[str, str] = {}
    for path in paths:
        label, digest = facts.label(path), facts.digests[path]
        if told.setdefault(label, digest) != digest:
            told[NAMELESS + digest] = digest
    return told


def _materials(facts: StepFacts) -> Iterator[Resource]:
    if facts.source:
        yield facts.source
    named = [path for path in facts.inputs if public_name(facts.label(path))]
    nameless = [path for path in facts.inputs if not public_name(facts.label(path))]
    modules = set(facts.recording.modules)
    if len(named) > MOST_FILES:
        yield _manifest_resource(facts, INPUTS_MANIFEST, named)
    else:
        for path in named:
            notes = {"mlbom_role": "code"} if path in modules else {}
            yield _file(facts, path, facts.label(path), notes)
    if len(nameless) > MOST_FILES:
        manifest = private_inputs(facts)
        yield Resource(
            name=PRIVATE_INPUTS,
            digests={"sha256": dir_hash(manifest)},
            annotations={"mlbom_files": len(nameless)},
        )
    else:
        for path in sorted(nameless, key=facts.digests.__getitem__):
            yield _file(facts, path, "", {})
    for remote in facts.recording.remote:
        yield _remote(remote)
    yield from facts.packages


def _file(facts: StepFacts, path: str, name: str, notes: Mapping[str, Any]) -> Resource:
    return Resource(name=name, digests={"sha256": facts.digests[path]}, annotations=notes)


def _remote(remote: RemoteInput) -> Resource:
    """Return what came from a hub, at the revision that it was resolved to."""
    name = guard.clean_text(remote.name)
    at = f"@{remote.revision}" if remote.revision else ""
    if remote.kind == "dataset":
        tree = f"/tree/{remote.revision}" if remote.revision else ""
        uri = f"{HUB_DATASET_URL}{name}{tree}"
    else:
        uri = f"pkg:huggingface/{name}{at}"
    notes = {
        "mlbom_kind": remote.kind,
        "mlbom_requested": guard.clean_text(remote.requested),
        "mlbom_config": guard.clean_text(remote.config),
        "mlbom_split": guard.clean_text(remote.split),
    }
    commit = {"gitCommit": remote.revision} if remote.revision else {}
    return Resource(uri=uri, digests=commit, annotations={k: v for k, v in notes.items() if v})


def _byproducts(facts: StepFacts) -> Iterator[Resource]:
    yield from _logs(facts)
    if facts.environment:
        yield Resource(
            name=ENVIRONMENT_NAME,
            digests={"sha256": hashlib.sha256(facts.environment).hexdigest()},
            media_type="application/json",
            content=facts.environment,
        )
    if facts.trace:
        yield facts.trace
    weights = [path for path in facts.inputs if path in facts.weights]
    if facts.kind is StepKind.EVAL:
        if len(weights) > MOST_FILES:
            yield _manifest_resource(facts, OUTPUTS_MANIFEST, weights)
        for path in facts.outputs[:MOST_FILES]:
            yield _file(facts, path, facts.label(path), {})
    elif len(facts.outputs) > MOST_FILES:
        yield _manifest_resource(facts, OUTPUTS_MANIFEST, facts.outputs)


def _logs(facts: StepFacts) -> list[Resource]:
    logs = zip(LOG_NAMES, (facts.recording.stdout, facts.recording.stderr), strict=True)
    found = [(name, facts.digests.get(str(path), "")) for name, path in logs if path]
    return [Resource(name=name, digests={"sha256": digest}) for name, digest in found if digest]


def _manifest_resource(facts: StepFacts, name: str, paths: Iterable[str]) -> Resource:
    manifest = _manifest(facts, paths)
    return Resource(
        name=name,
        digests={"sha256": dir_hash(manifest)},
        media_type=MANIFEST_TYPE,
        content=manifest if len(manifest) <= _MOST_CONTENT else None,
    )


def _manifest(facts: StepFacts, paths: Iterable[str]) -> bytes:
    return manifest_bytes(_by_label(facts, paths).items())


def _private_name(root: Path, path: str) -> str:
    inside = os.path.relpath(path, root)
    name = path.lstrip("/") if inside.startswith("..") else inside
    return Path(name).as_posix()


def public_command(argv: Iterable[str], root: Path) -> tuple[str, ...]:
    """Return a command line without secrets, and with paths that tell nothing of this host."""
    told = guard.clean_command(_inside(argv, root))
    return tuple(_ABSOLUTE.sub(_last_part, arg) for arg in told)


def _inside(argv: Iterable[str], root: Path) -> list[str]:
    """Return a command line with paths below the project relative to it."""
    top = str(root)
    return [arg.replace(top + os.sep, "").replace(top, ".") for arg in argv]


def _last_part(match: "re.Match[str]") -> str:
    return match.group().rstrip("/").rsplit("/", 1)[-1] or "/"


def _sentence(text: str) -> str:
    return _ABSOLUTE.sub(_last_part, guard.clean_text(text))


def _parameters(recording: Recording) -> dict[str, Any]:
    told = {
        "environmentVariables": {
            name: _sentence(value)
            for name, value in guard.clean_variables(recording.environment).items()
        },
        "seeds": {name: _seed(seed) for name, seed in sorted(recording.seeds.items())},
        "determinism": dict(sorted(recording.flags.items())),
        "libraries": dict(sorted(recording.loaded.items())),
        "accelerators": dict(sorted(recording.devices.items())),
        "processes": len(recording.processes),
    }
    return {name: value for name, value in told.items() if value}


def _seed(told: str) -> str:
    """Return a seed; one that is a text could be anything, a password as well."""
    return told if _NUMBERS.fullmatch(told) else f"a text of {len(told)} characters"


def _usage(recording: Recording) -> dict[str, Any]:
    used = recording.usage
    told: dict[str, Any] = {
        "wallSeconds": _rounded(used.wall_s),
        "cpuUserSeconds": _rounded(used.cpu_user_s),
        "cpuSystemSeconds": _rounded(used.cpu_system_s),
        "maxRssBytes": used.max_rss_nbytes,
        "energyJoules": {name: _rounded(joule) for name, joule in sorted(used.energy_j.items())},
        "gpuMaxBytes": dict(sorted(used.gpu_max_nbytes.items())),
    }
    return {name: value for name, value in told.items() if value not in (None, {})}


def _rounded(value: float | None) -> float | None:
    """Return seconds or joules to a thousandth: beyond that no clock or meter here is right."""
    return None if value is None else round(value, 3)
