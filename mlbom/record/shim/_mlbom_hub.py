"""What came from a hub, with the revision that its library resolved it to."""
# ruff: noqa: INP001, ANN401
# mypy: disable-error-code="import-not-found"

import os

from _mlbom_events import program_line, tell
from _mlbom_trace import emit
from _mlbom_wrap import after, argument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_COMMIT_LENGTH = 40
_HEXADECIMAL = frozenset("0123456789abcdef")
_MOST_FILES = 10000
_SEEN: "set[tuple[str, ...]]" = set()


def after_file_download(module: "ModuleType") -> None:
    """Follow downloads of single files, and what is taken from the cache instead."""
    after(module, "hf_hub_download", _on_file)
    after(module, "try_to_load_from_cache", _on_cached)


def after_snapshot_download(module: "ModuleType") -> None:
    """Follow downloads of whole repositories."""
    after(module, "snapshot_download", _on_snapshot)


def after_datasets(module: "ModuleType") -> None:
    """Follow `load_dataset`."""
    after(module, "load_dataset", _on_dataset)


def _on_file(result: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> None:
    if isinstance(result, str):
        _tell(argument(args, kwargs, 0, "repo_id"), kwargs, [result])


def _on_cached(result: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> None:
    names = ("repo_id", "filename", "cache_dir", "revision", "repo_type")
    given = dict(zip(names, args))  # noqa: B905 - Python 3.10
    given.update(kwargs)
    _on_file(result, (), given)


def _on_snapshot(result: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> None:
    if isinstance(result, str):
        files = [os.path.join(at, name) for at, _, names in os.walk(result) for name in names]
        kept = [path for path in files if os.sep + ".cache" + os.sep not in path]
        _tell(argument(args, kwargs, 0, "repo_id"), kwargs, kept[:_MOST_FILES])


def _tell(name: "Any", kwargs: "dict[str, Any]", files: "list[str]") -> None:
    kind = kwargs.get("repo_type") or "model"
    requested = kwargs.get("revision") or ""
    revision = next((found for found in map(_revision_of, files) if found), "")
    key = (kind, str(name), requested, *files)
    if key in _SEEN:
        return
    _SEEN.add(key)
    where = [os.path.abspath(path) for path in files]
    emit("remote", kind=kind, name=name, requested=requested, revision=revision, files=where)
    tell("download", "huggingface_hub", requested, program_line())


def _revision_of(path: str) -> str:
    """Return the commit of a file: from its place in the cache, or from what lies beside it.

    In a local folder the commit is the first line of `.cache/huggingface/download/NAME.metadata`.
    """
    parts = path.split(os.sep)
    for at, part in enumerate(parts[:-1]):
        if part == "snapshots" and _is_commit(parts[at + 1]):
            return parts[at + 1]
    for at in range(len(parts) - 1, 0, -1):
        folder = os.sep.join(parts[:at])
        inside = os.sep.join(parts[at:]) + ".metadata"
        try:
            with open(os.path.join(folder, ".cache", "huggingface", "download", inside)) as stream:
                line = stream.readline().strip()
        except OSError:
            continue
        return line if _is_commit(line) else ""
    return ""


def _is_commit(text: str) -> bool:
    return len(text) == _COMMIT_LENGTH and _HEXADECIMAL.issuperset(text)


def _on_dataset(result: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> None:
    """Tell of a dataset of a hub; of local files only the files are told, as they are read."""
    name = argument(args, kwargs, 0, "path")
    parts = list(result.values()) if isinstance(result, dict) else [result]
    files = [
        cached["filename"] for part in parts for cached in getattr(part, "cache_files", None) or ()
    ]
    sources = [str(url) for part in parts for url in part.info.download_checksums or ()]
    # The library keeps what it made of a commit in a folder named after it.
    told = [_pinned(url) for url in sources] + [
        piece for path in files for piece in path.split(os.sep)
    ]
    revisions = set(filter(_is_commit, told))
    if not isinstance(name, str) or os.path.exists(name) or not (revisions or "/" in name):
        return
    emit(
        "remote",
        kind="dataset",
        name=name,
        requested=str(kwargs.get("revision") or ""),
        revision=revisions.pop() if len(revisions) == 1 else "",
        files=[os.path.abspath(path) for path in files],
        config=parts[0].info.config_name or "" if parts else "",
        split=str(argument(args, kwargs, 5, "split") or ""),
    )
    tell("download", "datasets", kwargs.get("revision"), program_line())


def _pinned(url: str) -> str:
    """Return what stands in the place of COMMIT in `hf://datasets/org/name@COMMIT/file`."""
    return url.partition("@")[2].partition("/")[0] if url.startswith("hf://") else ""
