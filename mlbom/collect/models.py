"""Find the models below PATH: which directories and files are a model, and what belongs to it.

A model directory holds weights and a loader's file; it is one model whatever formats lie in it.
Elsewhere an index with its shards is one model, and so is each other weight file.
"""

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from mlbom.collect.scope import ModelTree
from mlbom.digest.tree import Entry, EntryKind
from mlbom.errors import MalformedError, NoWeightsError, SeveralModelsError, UnreadableError
from mlbom.formats.strict_json import parse_json
from mlbom.formats.weight_names import WEIGHT_INDEX, WEIGHT_SUFFIXES, is_weight_name

# A directory with one of these and weights anywhere below is a model directory.
LOADER_FILES = ("model_index.json", "modules.json", "saved_model.pb", "MLmodel")
# With one of these it is one when weights lie in it, or when the file reads as a model's.
CONFIG_FILES = ("config.json", "adapter_config.json")
_CONFIG_KEYS = ("model_type", "architectures", "_class_name", "peft_type", "auto_map")

# Formats that hold data as often as weights: weights only inside a model directory.
_AMBIGUOUS_SUFFIXES = (".npz", ".h5", ".pkl", ".pickle", ".joblib", ".msgpack")
_SHARD = re.compile(r".+-\d{5}-of-\d{5}\.\w+")


def find_models(entries: Iterable[Entry], read: Callable[[str], bytes]) -> tuple[ModelTree, ...]:
    """Return every model below PATH, ordered by path.

    Args:
        entries: all entries below PATH in bytewise path order.
        read: reads a small file by its path relative to PATH; raises `UnreadableError`.
    """
    files = [e for e in entries if e.kind is EntryKind.FILE]
    weights = [e.path for e in files if is_weight_name(e.path)]
    directories = _model_directories(files, weights, read)
    trees = [_directory_tree(d, files, weights) for d in directories]
    single = [p for p in weights if not any(_inside(p, d) for d in directories)]
    single = [p for p in single if not p.lower().endswith(_AMBIGUOUS_SUFFIXES)]
    trees.extend(_file_trees(single, files, read))
    return tuple(sorted(trees, key=lambda tree: (tree.root, tree.weights)))


def named_model(
    paths: Iterable[str], entries: Iterable[Entry], read: Callable[[str], bytes]
) -> ModelTree:
    """Return the model made of weight files that the user named, relative to PATH.

    An index that is named brings its shards.

    Raises:
        NoWeightsError: one of them is not there.
    """
    by_path = {e.path: e for e in entries if e.kind is EntryKind.FILE}
    wanted = tuple(sorted({posixpath.normpath(path) for path in paths}))
    for path in wanted:
        if path not in by_path:
            message = f"weights not found: {path}"
            raise NoWeightsError(message, looked=[path])
    indexes = [path for path in wanted if WEIGHT_INDEX.fullmatch(path)]
    shards = {shard for path in indexes for shard in _listed_shards(path, read)}
    members = sorted({*wanted, *(shards & set(by_path))}, key=os.fsencode)
    files = tuple(by_path[path] for path in members)
    wanted = tuple(path for path in wanted if path not in shards)
    return ModelTree(name=wanted[0], root=".", is_directory=False, weights=wanted, files=files)


def choose_model(models: tuple[ModelTree, ...], wanted: str | None, where: str) -> ModelTree:
    """Return the one model that a release is about.

    Args:
        models: what `find_models` found.
        wanted: a model's path, its last part, or that part without its suffix; any text when
            there is one model only (it is then the model's name).
        where: how messages name PATH.

    Raises:
        NoWeightsError: there is none.
        SeveralModelsError: there are several and `wanted` does not tell which.
    """
    if not models:
        message = f"no weights found in {where}"
        looked = ["model directories (weights beside config.json, modules.json, model_index.json)"]
        plain = (suffix for suffix in WEIGHT_SUFFIXES if suffix not in _AMBIGUOUS_SUFFIXES)
        looked.append("weight files: " + " ".join(f"*{suffix}" for suffix in plain))
        raise NoWeightsError(message, looked=looked)
    if len(models) == 1:
        return models[0]
    matching = [m for m in models if wanted and wanted in _names(m)]
    if len(matching) == 1:
        return matching[0]
    message = f"{where} holds {len(models)} models"
    if wanted:
        message += f", and {wanted!r} names {len(matching)} of them"
    looked = [m.name for m in models[:20]]
    raise SeveralModelsError(message, looked=looked, hint="--model NAME chooses one, --all all")


def given_name(model: ModelTree, wanted: str) -> str | None:
    """Return what the user calls a model when they did not choose it by its path, else None."""
    return wanted if wanted and wanted not in _names(model) else None


def _names(model: ModelTree) -> set[str]:
    last = posixpath.basename(model.name)
    return {model.name, last, last.split(".")[0], posixpath.splitext(last)[0]}


def _model_directories(
    files: list[Entry], weights: list[str], read: Callable[[str], bytes]
) -> list[str]:
    """Return the top-most model directories, as paths relative to PATH with `.` for PATH."""
    loaders = [
        e.path for e in files if posixpath.basename(e.path) in (*LOADER_FILES, *CONFIG_FILES)
    ]
    found: list[str] = []
    for path in sorted(loaders, key=lambda p: p.count("/")):
        directory = posixpath.dirname(path) or "."
        if any(_inside(directory, d) for d in found):
            continue
        below = [w for w in weights if _inside(w, directory)]
        if not below:
            continue
        beside = any((posixpath.dirname(w) or ".") == directory for w in below)
        if beside or posixpath.basename(path) in LOADER_FILES or _is_model_config(path, read):
            found.append(directory)
    return found


def _is_model_config(path: str, read: Callable[[str], bytes]) -> bool:
    try:
        config = parse_json(read(path), path)
    except (UnreadableError, MalformedError):
        return False
    return isinstance(config, dict) and any(key in config for key in _CONFIG_KEYS)


def _inside(path: str, directory: str) -> bool:
    return directory in (".", path) or path.startswith(directory + "/")


def _directory_tree(directory: str, files: list[Entry], weights: list[str]) -> ModelTree:
    prefix = "" if directory == "." else directory + "/"
    members = tuple(_below(e, prefix) for e in files if e.path.startswith(prefix))
    own = tuple(w[len(prefix) :] for w in weights if w.startswith(prefix))
    return ModelTree(
        name=directory,
        root=directory,
        is_directory=True,
        weights=_without_shards(own),
        files=members,
    )


def _below(entry: Entry, prefix: str) -> Entry:
    return Entry(entry.path[len(prefix) :], entry.kind, entry.nbytes, entry.target)


def _without_shards(weights: Iterable[str]) -> tuple[str, ...]:
    """Leave out the shards that an index of the same directory and format stands for."""
    weights = tuple(weights)
    indexed = {(posixpath.dirname(w), _index_suffix(w)) for w in weights if _index_suffix(w)}
    return tuple(
        w
        for w in weights
        if not (
            _SHARD.fullmatch(posixpath.basename(w))
            and (posixpath.dirname(w), posixpath.splitext(w)[1]) in indexed
        )
    )


def _index_suffix(path: str) -> str:
    match = WEIGHT_INDEX.fullmatch(path)
    return f".{match[1]}" if match else ""


def _file_trees(
    weights: list[str], files: list[Entry], read: Callable[[str], bytes]
) -> Iterable[ModelTree]:
    by_path: Mapping[str, Entry] = {e.path: e for e in files}
    shards: dict[str, set[str]] = defaultdict(set)
    for index in (w for w in weights if WEIGHT_INDEX.fullmatch(w)):
        shards[index] = _listed_shards(index, read) & set(by_path)
    taken = {shard for listed in shards.values() for shard in listed}
    for path in weights:
        if path in taken:
            continue
        members = sorted({path, *shards.get(path, ())}, key=os.fsencode)
        yield ModelTree(
            name=path,
            root=".",
            is_directory=False,
            weights=(path,),
            files=tuple(by_path[member] for member in members),
        )


def _listed_shards(index: str, read: Callable[[str], bytes]) -> set[str]:
    try:
        listed = parse_json(read(index), index)
    except (UnreadableError, MalformedError):
        return set()
    weight_map = listed.get("weight_map") if isinstance(listed, dict) else None
    names = weight_map.values() if isinstance(weight_map, dict) else ()
    directory = posixpath.dirname(index)
    return {posixpath.join(directory, n) for n in names if isinstance(n, str) and "/" not in n}
