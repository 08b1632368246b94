"""What a recorded step touched, measured: digests, names that may be told, environment, metrics."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlbom import __version__, guard
from mlbom.attest.resource import Resource
from mlbom.attest.run_claim import StepKind
from mlbom.collect.environment.recorded import observe_run_environment
from mlbom.collect.files import file_role
from mlbom.collect.repository.source import Source
from mlbom.collect.runs import known_products
from mlbom.collect.trackers.metric import MeasuredMetric
from mlbom.collect.trackers.reading import STDOUT, read_metrics
from mlbom.digest.cache import StatCache, default_cache_path
from mlbom.digest.hashing import FileDigest, Hashing
from mlbom.evidence.nodes import Package
from mlbom.evidence.store import dump_graph
from mlbom.pipeline.trace_facts import measure_trace
from mlbom.record.recording import Recording
from mlbom.render.step import StepFacts

RUNS = "runs"
# What `.mlbom/private/runs/ID` keeps of a run under its real names.
PRIVATE_INPUTS, PRIVATE_COMMAND = "inputs.manifest", "command.json"
_CHANGED = 20
# Before the name of a file outside the project, so that it cannot pose as one of the project's.
_OUTSIDE = "outside/"


@dataclass(frozen=True, slots=True)
class _Digests:
    """SHA-256 by absolute path, and what could not be hashed."""

    found: Mapping[str, str]
    gaps: tuple[str, ...]


def measure_step(
    name: str, kind: StepKind, recording: Recording, source: Source, *, publishes: bool
) -> StepFacts:
    """Return everything that the record of a step can state.

    Args:
        name: of the step.
        kind: what it is for.
        recording: what the launcher saw.
        source: the repository as it was before the step.
        publishes: whether the names of untracked inputs may be told.
    """
    root = recording.plan.project_root
    hashed = _hash(recording)
    told = read_metrics(recording.stdout, map(Path, recording.writes), root)
    environment = _Environment.of(recording, kind)
    trace = measure_trace(recording)
    names = _names(recording, source, hashed.found, publishes=publishes)
    lost = tuple(
        f"{names.get(path, 'an input')} was overwritten or removed: what was read is gone"
        for path in recording.overwritten
    )
    return StepFacts(
        name=name,
        kind=kind,
        invocation=recording.plan.folder.name,
        tool_version=__version__,
        recording=recording,
        digests=hashed.found,
        names=names,
        weights=frozenset(p for p in recording.reads if file_role(p) == "weights"),
        source=_source(recording, source),
        packages=environment.packages,
        environment=environment.evidence,
        trace=trace.resource,
        metrics=tuple(map(_metric, _told_once(told.metrics))),
        unseen=(*hashed.gaps, *lost, *source.gaps, *told.gaps, *environment.gaps, *trace.gaps),
    )


def _hash(recording: Recording) -> _Digests:
    """Hash what the step read and wrote and its logs, each file once."""
    logs = [str(log) for log in (recording.stdout, recording.stderr) if log]
    gone = set(recording.overwritten) - set(recording.writes)
    wanted = sorted({*recording.reads, *recording.writes, *logs} - gone)
    anchor = recording.plan.project_root.anchor
    below = {os.path.relpath(path, anchor): path for path in wanted}
    cache = StatCache(default_cache_path())
    sizes = ((place, _size(path)) for place, path in below.items())
    outcomes = Hashing(Path(anchor), ("sha256",), cache).start(sizes).result()
    cache.save()
    found: dict[str, str] = {}
    failed = 0
    for place, outcome in outcomes.items():
        if isinstance(outcome, FileDigest):
            found[below[place]] = outcome.sha256
        else:
            failed += 1
    gaps = (f"{failed} of the files that the step touched could not be hashed",) if failed else ()
    return _Digests(found, gaps)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _names(
    recording: Recording, source: Source, digests: Mapping[str, str], *, publishes: bool
) -> dict[str, str]:
    """Return the published name of each file that may have one (chain.md section 5)."""
    root = recording.plan.project_root
    written = set(recording.writes)
    products = known_products(root / ".mlbom" / RUNS)
    names: dict[str, str] = {}
    for path in (*recording.reads, *recording.writes):
        inside = os.path.relpath(path, root)
        outside = inside.startswith(os.pardir + os.sep)
        place = f"{_OUTSIDE}{os.path.basename(path)}" if outside else Path(inside).as_posix()
        name = guard.unicode_path(place)
        is_known = not outside and (
            name in source.tracked
            or digests.get(path) in products.get(name, ())
            or file_role(path) == "weights"
        )
        if is_known or publishes or path in written:
            names[path] = name
    return names


def _source(recording: Recording, source: Source) -> Resource | None:
    """Return the commit that the code is from, and what was not as in it."""
    repository = source.repository
    if repository is None or repository.commit is None:
        return None
    root = recording.plan.project_root
    untracked = [
        name
        for path in recording.modules
        if not (name := os.path.relpath(path, root)).startswith(os.pardir)
        and Path(name).as_posix() not in source.tracked
    ]
    changed = [guard.printable(name) for name in repository.changed[:_CHANGED]]
    dirty = True if untracked else repository.dirty
    notes: dict[str, Any] = {
        "mlbom_dirty": dirty,
        "mlbom_changed": changed or None,
        "mlbom_changedCount": len(repository.changed) or None,
        "mlbom_untrackedModules": len(untracked) or None,
        "mlbom_path": repository.path,
    }
    remote = repository.remotes[0] if repository.remotes else ""
    return Resource(
        name="source",
        uri=f"git+{remote}@{repository.commit}" if remote else "",
        digests={"gitCommit": repository.commit},
        annotations={key: value for key, value in notes.items() if value is not None},
    )


@dataclass(frozen=True, slots=True)
class _Environment:
    """The environment of the step: its evidence, its packages by purl, what is not known."""

    evidence: bytes
    packages: tuple[Resource, ...]
    gaps: tuple[str, ...]

    @classmethod
    def of(cls, recording: Recording, kind: StepKind) -> "_Environment":
        prefixes = list(dict.fromkeys(process.prefix for process in recording.processes))
        if not prefixes:
            return cls(b"", (), ("no Python was seen, so its packages are not known",))
        gaps = tuple(
            f"a further environment took part, {os.path.basename(prefix)}, and was not read"
            for prefix in prefixes[1:]
        )
        graph = observe_run_environment(Path(prefixes[0]), kind.value, recording.plan.project_root)
        graph = graph.published()
        packages = tuple(
            Resource(
                name=package.name or "",
                uri=package.id,
                digests={"sha256": package.wheel.value} if package.wheel else {},
            )
            for package in graph.nodes(Package)
        )
        return cls(dump_graph(graph), packages, gaps)


def _told_once(metrics: Iterable[MeasuredMetric]) -> Iterable[MeasuredMetric]:
    """Return the numbers without those printed ones that a file tells too, exactly as written."""
    metrics = tuple(metrics)
    filed = {metric.name for metric in metrics if metric.source != STDOUT}
    return (m for m in metrics if m.source != STDOUT or m.name not in filed)


def _metric(metric: MeasuredMetric) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": guard.clean_text(metric.name),
        "value": metric.value,
        "step": metric.step,
        "source": guard.unicode_path(metric.source),
        "line": metric.line or None,
    }
    return {key: value for key, value in told.items() if value is not None}
