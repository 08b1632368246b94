"""The variables that hold a training still: those of a record, or our own, each with a reason."""

from dataclasses import dataclass

from mlbom.attest.run_claim import RunClaim

_HASH_SEED = "PYTHONHASHSEED"
# Each library that shares its work among threads asks one of its own.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
# How a record tells a value that changed on the way, and one that was not there at first.
CHANGED, UNSET = " -> ", "unset"
_LONGEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One variable that is set before Python starts.

    Args:
        name: of the variable.
        value: that it gets.
        why: what it keeps from changing.
    """

    name: str
    value: str
    why: str


_PIECES = "a sum cut into other pieces is rounded otherwise"
PINS = (
    Pin(name=_HASH_SEED, value="0", why="sets of texts keep their order"),
    *(Pin(name=name, value="1", why=_PIECES) for name in THREAD_VARIABLES),
    Pin(name="MKL_DYNAMIC", value="FALSE", why="MKL takes no fewer threads when it is busy"),
    Pin(name="OMP_DYNAMIC", value="FALSE", why="neither does OpenMP"),
    Pin(
        name="CUBLAS_WORKSPACE_CONFIG",
        value=":4096:8",
        why="cuBLAS chooses no other algorithm for lack of workspace",
    ),
    Pin(name="NCCL_ALGO", value="Ring", why="gradients of all ranks are added in one order"),
    Pin(name="FLASH_ATTENTION_DETERMINISTIC", value="1", why="its backward pass adds in one order"),
    Pin(
        name="NVTE_ALLOW_NONDETERMINISTIC_ALGO",
        value="0",
        why="Transformer Engine refuses what adds in any order",
    ),
    Pin(name="MAMBA_DETERMINISTIC", value="1", why="its kernels add in one order"),
    Pin(name="CAUSAL_CONV1D_DETERMINISTIC", value="1", why="its kernels add in one order"),
)
# What is taken over from a record: names only that load no library and open no file.
_TAKEN = frozenset(pin.name for pin in PINS) | frozenset(
    """ATEN_CPU_CAPABILITY CUBLASLT_WORKSPACE_SIZE CUDA_LAUNCH_BLOCKING KMP_DETERMINISTIC_REDUCTION
    MKL_CBWR MKL_ENABLE_INSTRUCTIONS NCCL_NVLS_ENABLE NCCL_PROTO NVIDIA_TF32_OVERRIDE
    OMP_SCHEDULE ONEDNN_DEFAULT_FPMATH_MODE ONEDNN_MAX_CPU_ISA PYTORCH_CUDA_ALLOC_CONF
    TORCH_ALLOW_TF32_CUBLAS_OVERRIDE""".split()
)


def default_pins() -> dict[str, str]:
    """Return the variables that are set where no record says otherwise."""
    return {pin.name: pin.value for pin in PINS}


def recorded_variables(claim: RunClaim) -> dict[str, str]:
    """Return the numeric variables that a recorded run began with, to run it again with them.

    Where it had none, the hash seed is 0 and the number of threads is the one that torch had.
    """
    flags = recorded_texts(claim, "determinism")
    told = recorded_texts(claim, "environmentVariables") | {
        name: first_value(value) for name, value in flags.items() if "." not in name
    }
    variables = {
        name: value
        for name, value in sorted(told.items())
        if name in _TAKEN and value != UNSET and len(value) <= _LONGEST and value.isprintable()
    }
    variables.setdefault(_HASH_SEED, "0")
    threads = flags.get("torch.num_threads", "")
    if threads.isdecimal():
        variables.setdefault(THREAD_VARIABLES[0], threads)
    return variables


def recorded_texts(claim: RunClaim, group: str) -> dict[str, str]:
    """Return one group of the parameters of a claim as texts; nothing when it is no object."""
    told = claim.parameters.get(group)
    return {str(k): str(v) for k, v in told.items()} if isinstance(told, dict) else {}


def first_value(told: str) -> str:
    """Return the value that a flag began with; what came later is the program's own doing."""
    return told.partition(CHANGED)[0]
