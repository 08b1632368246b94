"""The nodes of recorded steps, of training again, and of the numbers that somebody reports."""

from dataclasses import dataclass

from mlbom.evidence.digest import Digest
from mlbom.evidence.values import Count, Pair, exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number reported for the model; id `metric:` and task, dataset, split, name.

    One that a recorded step reported has `run`, and an id that begins with that of the run.
    """

    id: str = exact()
    name: str | None = None
    label: str | None = None
    value: float | None = None
    dataset: str | None = None
    dataset_type: str | None = None
    split: str | None = None
    task: str | None = None
    lower: float | None = None
    upper: float | None = None
    run: str | None = exact()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A recorded step that the model comes from, or that evaluated it.

    Its id is `run:` and the first 16 digits of `record`, the digest of the record's payload. What
    the step read and wrote stands as `algorithm:hex` -> published name, the name empty where it is
    private; `files` are the model's own files that it wrote (an evaluation: read).
    """

    id: str = exact()
    name: str | None = None
    kind: str | None = None
    command: str | None = None
    folder: str | None = None
    started: int | None = None
    finished: int | None = None
    exit_code: int | None = None
    record: Digest | None = None
    signed: bool | None = None
    signers: tuple[str, ...] = ()
    recorder: str | None = None
    observers: tuple[str, ...] = ()
    environment: str | None = exact()
    inputs: tuple[Pair, ...] = ()
    input_count: int | None = None
    outputs: tuple[Pair, ...] = ()
    output_count: int | None = None
    files: tuple[str, ...] = exact(())
    after: tuple[str, ...] = exact(())
    commit: str | None = exact()
    seeds: tuple[Pair, ...] = ()
    determinism: tuple[Pair, ...] = ()
    libraries: tuple[Pair, ...] = ()
    variables: tuple[Pair, ...] = ()
    accelerators: tuple[Count, ...] = ()
    wall_s: float | None = None
    cpu_s: float | None = None
    max_nbytes: int | None = None
    gpu_max_nbytes: tuple[Count, ...] = ()
    energy_j: tuple[Count, ...] = ()
    energy_kwh: float | None = None
    co2_g: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What somebody states of having trained again; who signed it stands nowhere here.

    Its id is `reproduction:` and the first 16 digits of `details`, the digest of the details that
    the statements name; where another tool made the only statement, of that statement's payload.
    `result` is PASSED or FAILED, `finished` the time that the statement tells, `original` the
    payload of the record that the runs were compared with, and `files` are the model's weight
    files that it is about.
    """

    id: str = exact()
    level: str | None = None
    required: str | None = None
    result: str | None = None
    mode: str | None = None
    runs: int | None = None
    finished: int | None = None
    recorder: str | None = None
    original: Digest | None = None
    commit: str | None = exact()
    rebuilds: tuple[Digest, ...] = ()
    details: Digest | None = None
    builder: str | None = None
    isolated: bool | None = None
    control: bool | None = None
    thresholds: tuple[Pair, ...] = ()
    reasons: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    files: tuple[str, ...] = exact(())
