"""What only a process that imported torch can tell: seeds, determinism flags, libraries, devices.

Nothing here initialises CUDA or loads a library: what the program does not use stays unused.
"""
# ruff: noqa: INP001, ANN401, ARG002, SLF001, UP031
# mypy: disable-error-code="import-not-found"

import os
import sys

from _mlbom_events import calling_line, program_line, tell
from _mlbom_flags import TorchFlags
from _mlbom_seeds import Values, note_seed, tell_seed
from _mlbom_start import recorder
from _mlbom_trace import GUARD, PROBE, TRACE, emit, numeric_variables
from _mlbom_wrap import after, argument, before

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from _mlbom_wrap import Note

_SETTERS = (
    "use_deterministic_algorithms",
    "set_deterministic_debug_mode",
    "set_float32_matmul_precision",
    "set_default_dtype",
    "set_num_threads",
)
_REGISTER = "register_optimizer_step_post_hook"  # torch 2.1
# Names of shared libraries that numbers depend on, as they begin in /proc/self/maps.
_LIBRARIES = (
    "libcublas",
    "libcuda.",
    "libcudart",
    "libcudnn.",
    "libgomp",
    "libiomp",
    "libmkl_core",
    "libnccl",
    "libnvidia-ml",
    "libopenblas",
    "librccl",
    "libscipy_openblas",
)


class TorchState:
    """Samples torch in one process: after the import, at optimizer steps, at setters, at the end.

    Args:
        torch: the module.
    """

    def __init__(self, torch: "Any") -> None:
        self._torch = torch
        self._flags = Values("flag")
        self._reader = TorchFlags(torch)
        self._steps = 0
        self._loaded: dict[str, str] = {}

    def follow(self) -> None:
        """Hang in what tells of changes, and take the first sample."""
        torch = self._torch
        for name in _SETTERS:
            before(torch, name, _note_setter(name))
            after(torch, name, self._on_setter)
        recorder().at_end.append(self.sample)
        # torch.optim deletes its attribute `optimizer`; the module is there all the same.
        register = getattr(sys.modules.get("torch.optim.optimizer"), _REGISTER, None)
        if register is not None:
            register(self._step_hook())
        self._note_versions()
        self._sample_flags()

    def sample(self) -> None:
        """Take a full sample: threads, libraries and devices are settled by now."""
        with GUARD:
            self._sample_flags(with_threads=True)
        with GUARD:
            self._note_versions()
        with GUARD:
            self._note_devices()

    def _step_hook(self) -> "Callable[..., None]":
        compiling = getattr(getattr(self._torch, "compiler", None), "is_compiling", None)

        def hook(*_: "Any") -> None:
            # A compiled step would be specialised on the count and compiled again each time.
            if compiling is not None and compiling():
                return
            self._steps += 1
            if self._steps & (self._steps - 1) == 0:  # 1, 2, 4, 8, ...
                with GUARD:
                    self._on_step()

        return hook

    def _on_step(self) -> None:
        if self._steps == 1:
            emit("step")
            self.sample()
        else:
            self._sample_flags(with_threads=True)

    def _on_setter(self, _: "Any", args: "Any", kwargs: "Any") -> None:
        self._sample_flags()

    def _sample_flags(self, with_threads: bool = False) -> None:  # noqa: FBT001, FBT002
        self._flags.set({**numeric_variables(), **self._reader.read(with_threads)})

    def _note_versions(self) -> None:
        torch = self._torch
        found = {"torch": str(torch.__version__)}
        for name in ("cuda", "hip"):
            if getattr(torch.version, name, None):
                found[name] = str(getattr(torch.version, name))
        found.update(_mapped_libraries())
        if "libcudnn" in found:
            found["cudnn"] = str(torch.backends.cudnn.version())
        if "libnccl" in found:
            found["nccl"] = ".".join(str(part) for part in torch.cuda.nccl.version())
        if found != self._loaded:
            self._loaded = found
            emit("loaded", v=found)

    def _note_devices(self) -> None:
        cuda = self._torch.cuda
        if not cuda.is_initialized():
            return
        in_use = []
        for index in range(cuda.device_count()):
            if cuda.max_memory_reserved(index) > 0:
                properties = cuda.get_device_properties(index)
                which = str(getattr(properties, "uuid", "") or index)
                in_use.append([properties.name, which])
        if in_use:
            emit("device", v=in_use)


def after_torch(module: "ModuleType") -> None:
    """Follow everything in torch that the recorder wants to know."""
    torch: Any = module
    with GUARD:
        _follow_readers(torch)
    with GUARD:
        _follow_seeds(torch)
    with GUARD:
        TorchState(torch).follow()
    if TRACE or PROBE:
        with GUARD:
            recorder().load("_mlbom_steps").follow(torch)
    if PROBE:
        with GUARD:
            recorder().load("_mlbom_probe").after_torch(torch)


def _follow_readers(torch: "Any") -> None:
    """Follow the native readers and writers, which open files by themselves."""
    note = recorder().files.note
    before(torch._C.PyTorchFileReader, "__init__", lambda a, k: note(argument(a, k, 1, "name")))
    before(
        torch._C.PyTorchFileWriter, "__init__", lambda a, k: note(argument(a, k, 1, "name"), "w")
    )
    before(torch._C, "import_ir_module", lambda a, k: note(argument(a, k, 1, "filename")))
    before(torch, "from_file", _note_mapped)
    before(torch.UntypedStorage, "from_file", _note_mapped)


def _note_mapped(args: "Any", kwargs: "Any") -> None:
    is_shared = bool(argument(args, kwargs, 1, "shared"))
    recorder().files.note(argument(args, kwargs, 0, "filename"), "r+" if is_shared else "r")


def _follow_seeds(torch: "Any") -> None:
    """Follow the generators of torch, under each name that they have."""
    before(torch.random, "manual_seed", note_seed("torch"))
    torch.manual_seed = torch.random.manual_seed
    for name in ("manual_seed", "manual_seed_all"):
        before(torch.cuda.random, name, note_seed("torch.cuda"))
        setattr(torch.cuda, name, getattr(torch.cuda.random, name))
    before(torch.random, "seed", lambda *_: tell_seed("torch.seed", None, program_line()))
    torch.seed = torch.random.seed


def _note_setter(name: str) -> "Note":
    """Return a note that tells of a setting, with the line of the program that made it."""
    kind = "threads" if name == "set_num_threads" else "flag"

    def note(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> None:
        given = [*args, *("%s=%s" % item for item in sorted(kwargs.items()))]
        tell(kind, "torch." + name, ", ".join(map(str, given)), calling_line())

    return note


def _mapped_libraries() -> "dict[str, str]":
    """Return the libraries in this process that numbers depend on: name -> file name."""
    found: dict[str, str] = {}
    try:
        with open("/proc/self/maps", "rb") as stream:
            lines = stream.read().split(b"\n")
    except OSError:
        return found
    for line in lines:
        file_name = os.path.basename(os.fsdecode(line.partition(b"/")[2]))
        if file_name.startswith(_LIBRARIES) and ".so" in file_name:
            found[file_name.partition(".so")[0].partition("-")[0].rstrip("_")] = file_name
    return found
