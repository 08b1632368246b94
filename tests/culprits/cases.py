"""What is expected of each small training: the kind of its cause, and how its runs are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlbom.record.probe import Listing, Probe
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.sandbox.place import Place
from mlbom.reproduce.values import CauseKind

FOLDER = Path(__file__).parent
SCRIPTS, TWINS, STUBS = FOLDER / "scripts", FOLDER / "twins", FOLDER / "stubs"
MARK = "# CULPRIT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One training whose cause is known.

    Args:
        name: of its script, and of its twin.
        kind: of the cause.
        op: that the culprit must name, or empty.
        step: of the first difference, or None where that is left to chance.
        is_shown: whether a run can show the cause; the network and the clock cannot be held still.
        is_fast: whether it runs in `make test` too.
        threads: that its kernels get.
        variables: of each of the two runs, where they are not made alike.
        listings: likewise.
    """

    name: str
    kind: CauseKind
    op: str = ""
    step: int | None = 0
    is_shown: bool = True
    is_fast: bool = False
    threads: int = 1
    variables: tuple[Mapping[str, str], Mapping[str, str]] = field(default_factory=lambda: ({}, {}))
    listings: tuple[Listing, Listing] = (Listing.AS_IS, Listing.AS_IS)

    @property
    def line(self) -> int:
        """Return the marked line of the script, from 1."""
        lines = (SCRIPTS / f"{self.name}.py").read_text(encoding="utf-8").splitlines()
        return next(number for number, line in enumerate(lines, 1) if line.endswith(MARK))

    def attempts(self) -> tuple[Attempt, Attempt]:
        """Return how the two runs are made."""
        threads = {"OMP_NUM_THREADS": str(self.threads)}
        one, other = (
            Attempt(
                label=f"run-{side + 1}",
                probe=Probe(listing=self.listings[side]),
                place=Place(variables={**threads, **self.variables[side]}),
            )
            for side in (0, 1)
        )
        return one, other


_SLURM = "SLURM_CPUS_PER_TASK"

CASES = (
    Case(name="missing_seed", kind=CauseKind.SEED, is_fast=True),
    Case(name="clock_seed", kind=CauseKind.SEED),
    Case(
        name="dropout",
        kind=CauseKind.SEED,
    ),
    Case(name="shuffle", kind=CauseKind.SEED, step=None),
    Case(name="gan", kind=CauseKind.SEED),
    Case(name="manual_update", kind=CauseKind.SEED),
    Case(name="compiled", kind=CauseKind.SEED),
    Case(name="private_generator", kind=CauseKind.RNG_STREAM, step=2),
    Case(name="worker_generator", kind=CauseKind.LOADER_WORKER, step=2, is_fast=True),
    Case(name="set_order", kind=CauseKind.DATA_ORDER, is_fast=True, step=None),
    Case(name="hash_features", kind=CauseKind.HOST_DATA),
    Case(name="thread_dict", kind=CauseKind.DATA_ORDER, is_shown=False, step=None),
    Case(name="download", kind=CauseKind.DOWNLOAD, is_shown=False),
    Case(
        name="listing_order",
        kind=CauseKind.DATA_ORDER,
        listings=(Listing.AS_IS, Listing.REVERSED),
        is_fast=True,
    ),
    Case(
        name="thread_count",
        kind=CauseKind.ENVIRONMENT,
        threads=2,
        variables=({_SLURM: "1"}, {_SLURM: "2"}),
        is_fast=True,
    ),
    Case(
        name="index_put",
        kind=CauseKind.KERNEL,
        op="aten.index_put.default",
        step=None,
        threads=2,
        is_fast=True,
    ),
    Case(name="time_budget", kind=CauseKind.CONTROL_FLOW, step=None, is_shown=False),
    Case(name="two_causes", kind=CauseKind.SEED),
    Case(
        name="decoys",
        kind=CauseKind.KERNEL,
        op="aten.index_put.default",
        step=None,
        threads=2,
    ),
    Case(name="racing_decoys", kind=CauseKind.DATA_ORDER, step=None, is_shown=False),
    Case(name="kernel_in_data", kind=CauseKind.KERNEL, op="aten.index_put.default", threads=2),
    Case(name="ranks", kind=CauseKind.RNG_STREAM, step=1),
)
