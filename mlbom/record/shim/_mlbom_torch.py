"""What only a process that imported torch can tell: seeds, determinism flags, libraries, devices.

Nothing here initialises CUDA or loads a library: what the program does not use stays unused.
"""
# ruff: noqa: INP001, ANN401, ARG002, SLF001
# mypy: disable-error-code="import-not-found"

import os
import sys

from _mlbom_seeds import Values, note_seed
from _mlbom_start import recorder
from _mlbom_trace import GUARD, emit, numeric_variables, shorten
from _mlbom_wrap import after, argument, before

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

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
        self._steps = 0
        self._loaded: dict[str, str] = {}

    def follow(self) -> None:
        """Hang in what tells of changes, and take the first sample."""
        torch = self._torch
        for name in _SETTERS:
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
        found = numeric_variables()
        for name, read in self._readers(with_threads):
            try:
                found[name] = shorten(read())
            except AttributeError:
                continue  # another version of torch
            except RuntimeError:
                found[name] = "unreadable"  # old and new settings of TF32 were mixed
        self._flags.set(found)

    def _readers(self, with_threads: bool) -> "list[tuple[str, Callable[[], Any]]]":  # noqa: FBT001
        torch = self._torch
        backends = torch.backends
        found: list[tuple[str, Callable[[], Any]]] = [
            ("deterministic_algorithms", self._deterministic),
            ("cudnn.deterministic", lambda: backends.cudnn.deterministic),
            ("cudnn.benchmark", lambda: backends.cudnn.benchmark),
            ("cudnn.allow_tf32", lambda: backends.cudnn.allow_tf32),
            ("cuda.matmul.allow_tf32", lambda: backends.cuda.matmul.allow_tf32),
            ("cuda.matmul.fp32_precision", lambda: backends.cuda.matmul.fp32_precision),
            ("float32_matmul_precision", torch.get_float32_matmul_precision),
            ("default_dtype", lambda: str(torch.get_default_dtype())),
        ]
        if with_threads:
            # Asked earlier, this would settle the number before the program has had its say.
            found.append(("num_threads", torch.get_num_threads))
            capability = getattr(getattr(backends, "cpu", None), "get_cpu_capability", None)
            if capability is not None:
                found.append(("cpu_capability", capability))
        return [("torch." + name, read) for name, read in found]

    def _deterministic(self) -> str:
        if not self._torch.are_deterministic_algorithms_enabled():
            return "False"
        is_soft = self._torch.is_deterministic_algorithms_warn_only_enabled()
        return "warn_only" if is_soft else "True"

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
    TorchState(torch).follow()


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
