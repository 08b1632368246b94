"""Native readers and writers that open files without the interpreter seeing it."""
# ruff: noqa: INP001, ANN401, ARG005
# mypy: disable-error-code="import-not-found"

from collections import namedtuple

from _mlbom_start import recorder
from _mlbom_wrap import after, argument, before, derive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

# Which argument holds the path, and what is done to the file: r, w, or the argument that says so.
Reader = namedtuple("Reader", "name at keyword mode")  # noqa: PYI024 - typing would cost each start
_FILE_WRITER = (Reader("__init__", 1, "sink", "w"),)

_FUNCTIONS = {
    "safetensors": (
        Reader("safe_open", 0, "filename", "r"),
        Reader("_safe_open_handle", 0, "filename", "r"),
        Reader("serialize_file", 1, "filename", "w"),
    ),
    "pyarrow": (
        Reader("memory_map", 0, "path", (1, "mode")),
        Reader("create_memory_map", 0, "path", "w"),
        Reader("input_stream", 0, "source", "r"),
        Reader("output_stream", 0, "source", "w"),
    ),
    "pyarrow.csv": (
        Reader("read_csv", 0, "input_file", "r"),
        Reader("open_csv", 0, "input_file", "r"),
        Reader("write_csv", 1, "output_file", "w"),
    ),
    "pyarrow.feather": (
        Reader("read_table", 0, "source", "r"),
        Reader("write_feather", 1, "dest", "w"),
    ),
    "pyarrow.json": (
        Reader("read_json", 0, "input_file", "r"),
        Reader("open_json", 0, "input_file", "r"),
    ),
    "polars": tuple(
        Reader(verb + kind, 0, "source", "r")
        for verb in ("read_", "scan_")
        for kind in ("csv", "parquet", "ipc", "ndjson", "json", "avro")
    ),
    "cv2": (Reader("imread", 0, "filename", "r"), Reader("imwrite", 0, "filename", "w")),
    "torchvision.io.image": (
        Reader("read_file", 0, "path", "r"),
        Reader("write_file", 0, "filename", "w"),
    ),
}
# Classes written in Python (or that let themselves be changed) and the method that opens.
_METHODS = {
    "h5py._hl.files": {"File": (Reader("__init__", 1, "name", (2, "mode")),)},
    "tables.file": {"File": (Reader("__init__", 1, "filename", (2, "mode")),)},
    "soundfile": {"SoundFile": (Reader("__init__", 1, "file", (2, "mode")),)},
    "sentencepiece": {"SentencePieceProcessor": (Reader("LoadFromFile", 1, "arg", "r"),)},
    "onnxruntime.capi.onnxruntime_inference_collection": {
        "InferenceSession": (Reader("__init__", 1, "path_or_bytes", "r"),)
    },
    "tokenizers": {"Tokenizer": (Reader("from_file", 0, "path", "r"),)},
    "pyarrow.parquet.core": {
        "ParquetFile": (Reader("__init__", 1, "source", "r"),),
        "ParquetWriter": (Reader("__init__", 1, "where", "w"),),
    },
    "pyarrow.orc": {"ORCFile": (Reader("__init__", 1, "source", "r"),)},
    "pyarrow.ipc": {
        "RecordBatchFileReader": (Reader("__init__", 1, "source", "r"),),
        "RecordBatchStreamReader": (Reader("__init__", 1, "source", "r"),),
        "RecordBatchFileWriter": _FILE_WRITER,
        "RecordBatchStreamWriter": _FILE_WRITER,
    },
}
_NATIVE_CLASSES = {
    "pyarrow": (Reader("OSFile", 0, "path", (1, "mode")),),
    "cv2": (Reader("VideoCapture", 0, "filename", "r"),),
}


def after_import(module: "ModuleType") -> None:
    """Follow the readers of a module that has just been imported."""
    name = module.__name__
    for reader in _FUNCTIONS.get(name, ()):
        before(module, reader.name, _note(reader))
    for class_name, readers in _METHODS.get(name, {}).items():
        owner = getattr(module, class_name, None)
        for reader in readers if owner is not None else ():
            before(owner, reader.name, _note(reader))
    for reader in _NATIVE_CLASSES.get(name, ()):
        derive(module, reader.name, _note(reader))
    if name == "pyarrow.dataset":
        after(module, "dataset", lambda result, args, kwargs: _note_dataset(result))
    if name == "pyarrow.parquet.core":
        after(module.ParquetDataset, "__init__", lambda _, args, kwargs: _note_parts(args[0]))


def _note(reader: "Any") -> "Callable[[tuple[Any, ...], dict[str, Any]], None]":
    note = recorder().files.note

    def noted(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> None:
        path = argument(args, kwargs, reader.at, reader.keyword)
        mode = reader.mode
        if not isinstance(mode, str):
            mode = argument(args, kwargs, *mode) or "r"
        for one in path if isinstance(path, list) else [path]:
            note(one, mode)

    return noted


def _note_dataset(dataset: "Any") -> None:
    """Note the files of a dataset, which lies in a folder or in several."""
    for child in getattr(dataset, "children", None) or ():
        _note_dataset(child)
    if getattr(getattr(dataset, "filesystem", None), "type_name", "") == "local":
        for path in getattr(dataset, "files", ()):
            recorder().files.note(path)


def _note_parts(dataset: "Any") -> None:
    if getattr(dataset.filesystem, "type_name", "local") == "local":
        for path in dataset.files:
            recorder().files.note(path)
