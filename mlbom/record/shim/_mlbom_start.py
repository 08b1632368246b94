"""Puts the recorder together: the audit hook, the modules to follow, the end of the process."""
# ruff: noqa: INP001, ANN401
# mypy: disable-error-code="import-not-found"

import atexit
import os

from _mlbom_files import FileWatch
from _mlbom_imports import AfterImport, load
from _mlbom_trace import CHANNEL, FOLDER, GUARD, PROBE, TRACE, emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_FOLLOWED = {
    "random": "_mlbom_seeds:after_random",
    "numpy.random": "_mlbom_seeds:after_numpy",
    "torch": "_mlbom_torch:after_torch",
    "huggingface_hub.file_download": "_mlbom_hub:after_file_download",
    "huggingface_hub._snapshot_download": "_mlbom_hub:after_snapshot_download",
    "datasets.load": "_mlbom_hub:after_datasets",
    "multiprocessing.util": "_mlbom_start:after_multiprocessing",
}
# What only a trace of the training, or a probe of it, wants to know.
_TRACED = {
    "torch.utils.data.dataloader": "_mlbom_inputs:after_dataloader",
    "urllib.request": "_mlbom_web:after_urllib",
    "requests.sessions": "_mlbom_web:after_requests",
}
_READERS = "_mlbom_readers:after_import"
_WITH_READERS = (
    "cv2",
    "h5py._hl.files",
    "onnxruntime.capi.onnxruntime_inference_collection",
    "polars",
    "pyarrow",
    "pyarrow.csv",
    "pyarrow.dataset",
    "pyarrow.feather",
    "pyarrow.ipc",
    "pyarrow.json",
    "pyarrow.orc",
    "pyarrow.parquet.core",
    "safetensors",
    "sentencepiece",
    "soundfile",
    "tables.file",
    "tokenizers",
    "torchvision.io.image",
)


class Recorder:
    """What the modules of the recorder share in one process.

    Args:
        folder: of the recorder's modules.

    Attributes:
        files: notes what is opened.
        at_end: what is called when the process ends.
        in_fork: what is called in a process that was forked from this one, first of all.
    """

    def __init__(self, folder: str) -> None:
        self.files = FileWatch(folder)
        self.at_end: list[Callable[[], None]] = []
        self.in_fork: list[Callable[[], None]] = []
        self._folder = folder
        self._ended = 0

    def begin(self) -> None:
        """Write the first line, then hang everything in."""
        CHANNEL.ensure()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
        atexit.register(self.end)
        table = dict(_FOLLOWED)
        table.update(dict.fromkeys(_WITH_READERS, _READERS))
        if TRACE or PROBE:
            table.update(_TRACED)
        AfterImport(self._folder, table).install()
        self.files.install()
        if PROBE:
            with GUARD:
                self.load("_mlbom_probe").begin()
        if TRACE:
            with GUARD:
                self._begin_trace()

    def _begin_trace(self) -> None:
        """Follow what decides numbers, last of all: as the program sees it."""
        self.load("_mlbom_listed").follow()
        journal = self.load("_mlbom_journal").JOURNAL
        self.in_fork.append(journal.forget)
        self.at_end.append(journal.end)

    def load(self, name: str) -> "Any":
        """Import a module of the recorder that only some processes need."""
        return load(self._folder, name)

    def end(self) -> None:
        """Write what is known at the end, once for each process, and stop listening."""
        if self._ended == os.getpid():
            return
        self._ended = os.getpid()
        with GUARD:
            for function in self.at_end:
                with GUARD:
                    function()
            emit("end", failures=GUARD.failures)
        self.files.handlers.clear()


RECORDER: "Recorder | None" = None


def start(folder: str) -> None:
    """Start the recorder, when a recorded command started this Python."""
    global RECORDER  # noqa: PLW0603 - one for each process, made here
    if not FOLDER or RECORDER is not None:
        return
    with GUARD:
        RECORDER = Recorder(folder)
        RECORDER.begin()


def recorder() -> "Recorder":
    """Return the recorder of this process."""
    assert RECORDER is not None  # noqa: S101 - whoever asks was called by it
    return RECORDER


def after_multiprocessing(module: "ModuleType") -> None:
    """Let forked workers write their end: they leave without the interpreter's own end."""
    util: Any = module
    owner = recorder()

    def in_worker(_: object) -> None:
        util.Finalize(None, owner.end, exitpriority=-1000)

    util.register_after_fork(owner, in_worker)


def _after_fork() -> None:
    with GUARD:
        for function in recorder().in_fork:
            with GUARD:
                function()
        CHANNEL.ensure()
