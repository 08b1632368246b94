"""How torch was built: `torch/version.py` parsed as a syntax tree, never imported."""

import ast
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

from mlbom.collect.environment.sitefiles import list_folder, read_bounded
from mlbom.errors import MalformedError

_MAX_VERSION = 64 * 1024
_MAX_VALUE = 200
# Versions of bundled libraries as their file names tell: `libcudnn.so.9`,
# `libnvrtc-672ee683.so.11.2`, `cudnn64_9.dll`. Parts of a library (`libcudnn_ops.so.9`) have its
# version and are not listed.
_NATIVE = "cudart|cudnn|nccl|cublas|cufft|curand|cusolver|cusparse|nvrtc|nvjitlink|cufile"
_LIBRARY = re.compile(
    rf"lib(?P<unix>{_NATIVE})(?:-[0-9a-f]{{8}})?\.so\.(?P<version>\d+(?:\.\d+)*)"
    rf"|(?P<windows>{_NATIVE})64_(?P<major>\d+)\.dll"
)


def torch_version_facts(folder: Path) -> Mapping[str, str | bool | None]:
    """Return the literal assignments of `torch/version.py` by name.

    Args:
        folder: the folder that holds the package `torch`.

    Raises:
        UnreadableError: the file cannot be read, or is longer than 64 KiB.
        MalformedError: it is no Python source.
    """
    shown = "torch/version.py"
    data = read_bounded(folder / "torch" / "version.py", _MAX_VERSION, shown)
    if data is None:
        return {}
    try:
        with warnings.catch_warnings():
            # Doubtful escapes in the source would be reported on stderr.
            warnings.simplefilter("ignore")
            tree = ast.parse(data.decode("utf-8-sig"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        message = f"{shown} is no Python source that can be parsed: {type(error).__name__}"
        raise MalformedError(message) from error
    facts: dict[str, str | bool | None] = {}
    for statement in tree.body:
        facts.update(_assigned(statement))
    return facts


def _assigned(statement: ast.stmt) -> dict[str, str | bool | None]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)):
            found = value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value)):
            found = value
        case _:
            return {}
    if isinstance(found, str) and len(found) > _MAX_VALUE:
        return {}
    return {name: found} if found is None or isinstance(found, str | bool) else {}


def bundled_libraries(folder: Path) -> Mapping[str, str]:
    """Return the versions in the names of the libraries that torch brings in `torch/lib`.

    Args:
        folder: the folder that holds the package `torch`.
    """
    found: dict[str, str] = {}
    for name in list_folder(folder / "torch" / "lib"):
        match = _LIBRARY.fullmatch(name)
        if not match:
            continue
        library = match["unix"] or match["windows"]
        version = match["version"] or match["major"]
        if len(version) > len(found.get(library, "")):
            found[library] = version
    return found
