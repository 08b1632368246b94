"""Settings of torch that change what numbers come out, read one by one."""
# ruff: noqa: INP001, ANN401, PLW0108 - a version of torch without such a function is found out late
# mypy: disable-error-code="import-not-found"

from _mlbom_trace import shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class TorchFlags:
    """Reads the flags; what this version of torch does not have is left out.

    Args:
        torch: the module.
    """

    def __init__(self, torch: "Any") -> None:
        backends = torch.backends
        self._torch = torch
        self._early: list[tuple[str, Callable[[], Any]]] = [
            ("deterministic_algorithms", self._deterministic),
            ("cudnn.deterministic", lambda: backends.cudnn.deterministic),
            ("cudnn.benchmark", lambda: backends.cudnn.benchmark),
            ("cudnn.allow_tf32", lambda: backends.cudnn.allow_tf32),
            ("cuda.matmul.allow_tf32", lambda: backends.cuda.matmul.allow_tf32),
            ("cuda.matmul.fp32_precision", lambda: backends.cuda.matmul.fp32_precision),
            ("float32_matmul_precision", torch.get_float32_matmul_precision),
            ("default_dtype", lambda: str(torch.get_default_dtype())),
        ]
        # Asked earlier, this would settle the number before the program has had its say.
        self._late: list[tuple[str, Callable[[], Any]]] = [
            ("num_threads", torch.get_num_threads),
            ("cpu_capability", lambda: backends.cpu.get_cpu_capability()),
        ]
        # What else a step may depend on; read with each step of a trace only.
        self._further: list[tuple[str, Callable[[], Any]]] = [
            ("cudnn.enabled", lambda: backends.cudnn.enabled),
            ("mkldnn.enabled", lambda: backends.mkldnn.enabled),
            ("sdp.flash", lambda: backends.cuda.flash_sdp_enabled()),
            ("sdp.mem_efficient", lambda: backends.cuda.mem_efficient_sdp_enabled()),
            ("sdp.math", lambda: backends.cuda.math_sdp_enabled()),
            ("sdp.cudnn", lambda: backends.cuda.cudnn_sdp_enabled()),
        ]

    def read(self, with_threads: bool) -> "dict[str, str]":  # noqa: FBT001 - as its callers say it
        """Return name -> value of the flags of a record.

        Args:
            with_threads: whether the number of threads is settled, so that it can be asked.
        """
        return self._values([*self._early, *(self._late if with_threads else ())])

    def read_all(self) -> "dict[str, str]":
        """Return name -> value of the flags of a step."""
        return self._values([*self._early, *self._late, *self._further])

    def _values(self, readers: "Iterable[tuple[str, Callable[[], Any]]]") -> "dict[str, str]":
        found: dict[str, str] = {}
        for name, read in readers:
            try:
                found["torch." + name] = shorten(read())
            except AttributeError:
                continue  # another version of torch
            except RuntimeError:
                found["torch." + name] = "unreadable"  # old and new settings of TF32 were mixed
        return found

    def _deterministic(self) -> str:
        if not self._torch.are_deterministic_algorithms_enabled():
            return "False"
        is_soft = self._torch.is_deterministic_algorithms_warn_only_enabled()
        return "warn_only" if is_soft else "True"
