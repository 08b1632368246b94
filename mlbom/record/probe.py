"""What the recorder is asked to do inside a training beside watching it: `mlbom reproduce` only.

A recorded step (`mlbom run`) never has a probe: it changes nothing. The values travel to the
recorder inside each Python (`mlbom/record/shim/_mlbom_probe.py`) as one variable.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

VARIABLE = "MLBOM_RECORD_PROBE"
# The exit status of a training that was stopped after the steps asked for.
STOPPED = 75


class TraceLevel(StrEnum):
    """How much of each step is written down.

    OFF writes nothing; STEP digests of each group (gradients, parameters, ...); TENSORS the digest
    of every gradient and parameter too.
    """

    OFF = "off"
    STEP = "step"
    TENSORS = "tensors"


class Determinism(StrEnum):
    """What is asked of torch (torch.use_deterministic_algorithms) once it is imported.

    AS_IS asks nothing, WARN lists every op that cannot be deterministic, STRICT refuses them.
    """

    AS_IS = ""
    WARN = "warn"
    STRICT = "strict"


class Listing(StrEnum):
    """The order in which folders list their files: as they do, by name, or backwards."""

    AS_IS = ""
    SORTED = "sorted"
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What to change or look at inside one training.

    Args:
        stop_after: end the process after this many optimizer steps with `STOPPED`; 0 for never.
        seed: of every generator as it would start from the system's entropy (torch, random, numpy
            and private ones that nobody seeds); None leaves them.
        overrides_seeds: whether `seed` also takes the place of the seeds that the program sets.
        determinism: what is asked of torch.
        listing: the order of os.listdir, os.scandir and what stands on them.
        ops_from: first step (from 0) whose ops are written down; -1 for none. Step 0 begins at the
            import of torch, so that it holds the making of the model.
        ops_to: last such step.
        double_step: the step (from 0) each of whose ops is computed `double_times` times on equal
            inputs; -1 for none.
        double_times: how often.
    """

    stop_after: int = 0
    seed: int | None = None
    overrides_seeds: bool = False
    determinism: Determinism = Determinism.AS_IS
    listing: Listing = Listing.AS_IS
    ops_from: int = -1
    ops_to: int = -1
    double_step: int = -1
    double_times: int = 0

    def variable(self) -> str:
        """Return the value of the variable that carries it, or an empty text for no probe."""
        return "" if self == Probe() else json.dumps(asdict(self), sort_keys=True)
