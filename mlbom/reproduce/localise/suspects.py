"""What two traces already say about the cause: seeds, entropy, listings, downloads, threads."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mlbom.record.steps.values import SourceEvent
from mlbom.reproduce.localise.pins import ALL_SEEDS, HASH_SEED, LISTING, SEED
from mlbom.reproduce.localise.values import Case, Suspect, line_of
from mlbom.reproduce.traces.places import Line
from mlbom.reproduce.values import CauseKind, Culprit, Rerun

SEED_FIX = "set it from a fixed number"
STREAM_FIX = {
    "torch": "torch.manual_seed(N) before the first random number",
    "cuda": "torch.manual_seed(N) before the first random number",
    "random": "random.seed(N) before the first random number",
    "numpy": "numpy.random.seed(N) before the first random number",
}
ENTROPY_FIX = "give the generator a fixed seed"
WORKER_FIX = "seed it from torch.initial_seed(), for example in worker_init_fn"
LISTING_FIX = "sort the names: sorted(os.listdir(...))"
HASH_FIX = "sort what comes out of the set, or start Python with PYTHONHASHSEED=0"
DOWNLOAD_FIX = "name the revision (a commit) that is downloaded"
THREADS_FIX = "set a fixed number of threads (torch.set_num_threads, OMP_NUM_THREADS)"

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

# What holding something still shows, where the causes that it could be are of several kinds.
_GENERAL = {
    SEED.name: CauseKind.SEED,
    ALL_SEEDS.name: CauseKind.SEED,
    LISTING.name: CauseKind.DATA_ORDER,
    HASH_SEED.name: CauseKind.HOST_DATA,
}
_MOST_CANDIDATES = 4

_Key = tuple[str, str, bool]
_Told = Mapping[_Key, tuple[str, ...]]


def find_suspects(case: Case) -> tuple[Suspect, ...]:
    """Return what the traces and the code speak for, the strongest first.

    Other values in the two runs are witnesses; that a generator took the system's entropy, or that
    nothing seeded a generator that was used, is a possibility that a run must show.
    """
    witnessed = (*_seeds(case), *_listings(case), *_settings(case), *_downloads(case))
    return (*witnessed, *_entropy(case), *_unseeded(case), *_hash_order(case))


def _told(case: Case, rerun: Rerun, kind: str) -> dict[_Key, tuple[str, ...]]:
    """Return (what, line, in a worker) -> the values told there, in order.

    Workers take turns as they like, so theirs are sorted.
    """
    found: dict[_Key, list[str]] = {}
    for event in case.events(rerun, kind):
        key = (event.what, str(case.line(event.at, rerun)), event.worker)
        found.setdefault(key, []).append(event.value)
    return {key: tuple(sorted(v) if key[2] else v) for key, v in found.items()}


def _differing(case: Case, kind: str) -> Iterator[tuple[SourceEvent, str, str]]:
    """Yield an event whose values differ, with the first two values that do."""
    ours, theirs = _told(case, case.a, kind), _told(case, case.b, kind)
    seen = set()
    for event in case.events(case.a, kind):
        key = (event.what, str(case.line(event.at)), event.worker)
        one, other = ours.get(key, ()), theirs.get(key, ())
        if key not in seen and one != other:
            seen.add(key)
            pairs = (pair for pair in zip(one, other, strict=False) if pair[0] != pair[1])
            yield event, *next(pairs, (_count(one), _count(other)))


def _count(values: Sequence[str]) -> str:
    return f"{len(values)} times"


def _seeds(case: Case) -> Iterator[Suspect]:
    """Yield seeds that had another value in each run; those of workers follow from the others."""
    found = sorted(_differing(case, "seed"), key=lambda row: row[0].worker)
    for event, one, other in found:
        line = case.line(event.at)
        clock = [
            f for f in case.findings("clock-seed") if (f.path, f.line) == (line.path, line.number)
        ]
        told = "a seed of the clock" if clock else "another seed in each run"
        culprit = Culprit(
            kind=CauseKind.LOADER_WORKER if event.worker else CauseKind.SEED,
            what=f"{event.what} is given {told}",
            fix=WORKER_FIX if event.worker else SEED_FIX,
            evidence=(f"{event.what} was given {one} in one run and {other} in the other",),
            is_sure=not event.worker and _is_of_differing_stream(case, event),
        )
        yield Suspect(culprit=case.culprit(culprit, line), pin=ALL_SEEDS, has_witness=True)


def _is_of_differing_stream(case: Case, event: SourceEvent) -> bool:
    """Return whether a seed is that of a default generator that stood elsewhere.

    Then nothing is left to show: another seed went in, and another state came out.
    """
    seeded = event.what.partition(".")[0]
    return _is_default_seed(event) and any(s.partition(":")[0] == seeded for s in case.streams())


def _listings(case: Case) -> Iterator[Suspect]:
    for event, _, _ in _differing(case, "listing"):
        culprit = Culprit(
            kind=CauseKind.DATA_ORDER,
            what=f"the files of a folder come in another order in each run ({event.what})",
            fix=LISTING_FIX,
            evidence=(f"{event.what} gave the names in another order in each run",),
        )
        line = case.line(event.at)
        yield Suspect(culprit=case.culprit(culprit, line), pin=LISTING, has_witness=True)


def _settings(case: Case) -> Iterator[Suspect]:
    for event, one, other in (*_differing(case, "threads"), *_differing(case, "flag")):
        is_threads = event.kind == "threads"
        what = "threads" if is_threads else event.what
        culprit = Culprit(
            kind=CauseKind.ENVIRONMENT,
            what=f"{event.what} is called with {one} in one run and {other} in the other",
            fix=THREADS_FIX if is_threads else f"set {what} to a fixed value",
            evidence=(f"{what}: {one} in one run, {other} in the other",),
        )
        yield Suspect(culprit=case.culprit(culprit, case.line(event.at)), has_witness=True)
    for name, one, other in case.settings():
        is_threads = name.endswith("num_threads")
        culprit = Culprit(
            kind=CauseKind.ENVIRONMENT,
            what=f"{name} is {one} in one run and {other} in the other",
            fix=THREADS_FIX if is_threads else f"set {name} to a fixed value",
            evidence=(f"{name}: {one} in one run, {other} in the other",),
        )
        yield Suspect(culprit=case.culprit(culprit), has_witness=True)


def _downloads(case: Case) -> Iterator[Suspect]:
    """Yield what came at another commit, then what came without one being asked for."""
    moved = _moved_revisions(case)
    loose = {
        str(case.line(event.at)): event
        for event in case.events(case.a, "download")
        if not _COMMIT.fullmatch(event.value)
    }
    for event in loose.values():
        told = moved or (f"{event.what} was asked for {event.value or 'the newest revision'}",)
        culprit = Culprit(
            kind=CauseKind.DOWNLOAD,
            what="what was downloaded can differ from run to run: no commit is named",
            fix=DOWNLOAD_FIX,
            evidence=told,
        )
        line = case.line(event.at)
        yield Suspect(culprit=case.culprit(culprit, line), has_witness=bool(moved))


def _moved_revisions(case: Case) -> tuple[str, ...]:
    """Return a sentence for each download that was at another commit in each run."""
    ours, theirs = (
        {(r.kind, r.name): r.revision for r in run.recording.remote if r.revision}
        for run in (case.a, case.b)
    )
    return tuple(
        f"the {kind} {name} was at commit {one[:12]} in one run and {theirs[kind, name][:12]} "
        "in the other"
        for (kind, name), one in ours.items()
        if theirs.get((kind, name), one) != one
    )


def _entropy(case: Case) -> Iterator[Suspect]:
    """Yield a suspect for each line that took the system's entropy, those of workers first."""
    lines: dict[Line, SourceEvent] = {}
    for event in sorted(case.events(case.a, "entropy"), key=lambda e: not e.worker):
        if (line := case.line(event.at)).is_known:
            lines.setdefault(line, event)
    for line, event in lines.items():
        culprit = Culprit(
            kind=_entropy_kind(event),
            what=f"{'in a loader worker ' * event.worker}{event.what} takes its seed from the "
            "system",
            fix=WORKER_FIX if event.worker else ENTROPY_FIX,
            evidence=(f"{event.what} took a seed from the system",),
        )
        yield Suspect(culprit=case.culprit(culprit, line), pin=SEED)


def _entropy_kind(event: SourceEvent) -> CauseKind:
    """Return SEED for a default generator, RNG_STREAM for one of the program's own."""
    if event.worker:
        return CauseKind.LOADER_WORKER
    is_default = event.what in ("torch.seed", "random.seed", "numpy.random.seed")
    return CauseKind.SEED if is_default else CauseKind.RNG_STREAM


def _unseeded(case: Case) -> Iterator[Suspect]:
    """Yield default generators that were drawn from and that nothing had seeded."""
    for stream in case.streams():
        if is_seeded(case, stream):
            continue
        findings = case.findings(f"unseeded-{stream.partition(':')[0]}")
        for line in [line_of(finding) for finding in findings] or [None]:
            yield Suspect(culprit=case.culprit(missing_seed(stream), line), pin=SEED)


def missing_seed(stream: str) -> Culprit:
    """Return the culprit of a default generator that nothing seeds."""
    name = stream.partition(":")[0]
    return Culprit(
        kind=CauseKind.SEED,
        what=f"nothing seeds the default generator of {name}",
        fix=STREAM_FIX.get(name, ENTROPY_FIX),
        evidence=(f"no seed was set for {name}, and its state differs where it is first used",),
    )


def is_seeded(case: Case, stream: str) -> bool:
    """Return whether the program seeded a default generator before the first difference."""
    name = stream.partition(":")[0]
    names = ("torch", "cuda") if name in ("torch", "cuda") else (name,)
    return any(
        event.what.startswith(names) and not event.worker and _is_default_seed(event)
        for event in case.events(case.a, "seed")
    )


def _is_default_seed(event: SourceEvent) -> bool:
    """Return whether a seeding was of a default generator, not of one of the program's own."""
    return not any(word in event.what for word in ("Generator", "default_rng", "Random", "State"))


def _hash_order(case: Case) -> Iterator[Suspect]:
    """Yield each order of a set, and each hash, that feeds something."""
    for finding in case.findings("set-order", "hash-value"):
        is_order = finding.rule == "set-order"
        culprit = Culprit(
            kind=finding.kind,
            what="the order of a set, which changes with the hash seed, feeds the data"
            if is_order
            else "a hash, which changes with the hash seed, feeds the data",
            fix=finding.fix or HASH_FIX,
            evidence=(f"{finding.path}:{finding.line}: {finding.message}",),
        )
        yield Suspect(culprit=case.culprit(culprit, line_of(finding)), pin=HASH_SEED)


def with_line(culprit: Culprit, line: Line) -> Culprit:
    """Return a culprit at a line, unless it has one."""
    if culprit.path or not line.is_known:
        return culprit
    return replace(culprit, path=line.path, line=line.number)


def merged(suspects: Sequence[Suspect]) -> Suspect:
    """Return one suspect for all that one pin holds still: a run cannot tell them apart.

    Where they lie at several lines none is told, and all are evidence.
    """
    first, culprits = suspects[0], [suspect.culprit for suspect in suspects]
    if len({(culprit.path, culprit.line) for culprit in culprits}) == 1:
        return first
    kinds = {culprit.kind for culprit in culprits}
    general = _GENERAL.get(first.pin.name, CauseKind.UNKNOWN) if first.pin else CauseKind.UNKNOWN
    told = (f"a candidate: {c.what} ({c.path}:{c.line})" for c in culprits if c.path)
    whats = dict.fromkeys(culprit.what for culprit in culprits)
    culprit = replace(
        first.culprit,
        kind=first.culprit.kind if len(kinds) == 1 else general,
        what=" or ".join(tuple(whats)[:_MOST_CANDIDATES]),
        path="",
        line=0,
        evidence=tuple(dict.fromkeys(told))[:_MOST_CANDIDATES],
    )
    return replace(first, culprit=culprit, candidates=tuple(culprits))
