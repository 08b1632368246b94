"""Dataset loader calls in the project's code, found in the syntax tree: file, line, revision.

The code is parsed, never run. A name that is computed at run time is a gap, not a guess.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mlbom.collect.scope import Scope, Witness
from mlbom.errors import UnreadableError
from mlbom.evidence.nodes import HUB_DATASET_URL, Dataset
from mlbom.evidence.observation import Gap, GapKind, Observation
from mlbom.evidence.origin import Method

_SOURCE_LIMIT = 2 * 1024 * 1024
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MENTIONS = re.compile(
    rb"load_dataset|load_from_disk|snapshot_download|hf_hub_download|tfds|torchvision|torchaudio"
)


@dataclass(frozen=True, slots=True)
class LoaderCall:
    """A call that loads a dataset.

    Args:
        function: the called name as written, for example `datasets.load_dataset`.
        line: line of the call, from 1.
        name: the dataset's name, or None when it is computed at run time.
        revision: the literal revision, or None when none is given.
        on_hub: whether the name is a repository of the Hugging Face Hub.
    """

    function: str
    line: int
    name: str | None
    revision: str | None
    on_hub: bool

    @property
    def pinned(self) -> bool:
        """Return whether the revision is a commit, which alone cannot move."""
        return bool(self.revision and _COMMIT.fullmatch(self.revision))


class LoadersCollector:
    """Reads the Python files below PATH."""

    name = "loaders"

    def collect(self, scope: Scope) -> Iterator[Observation | Gap]:
        """Yield a `Dataset` for each named dataset, with every place that loads it."""
        witness = Witness(self.name, Method.MEASURED)
        for entry in scope.files():
            if not entry.path.endswith(".py"):
                continue
            here = witness.at(entry.path)
            try:
                source = scope.read_bytes(entry.path, _SOURCE_LIMIT)
                calls = find_loader_calls(source) if _MENTIONS.search(source) else ()
            except UnreadableError as error:
                yield here.cannot_read(f"file:{entry.path}", error)
                continue
            except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
                reason = f"{entry.path} is not Python that can be parsed: {type(error).__name__}"
                yield here.misses(f"file:{entry.path}", reason, kind=GapKind.UNREADABLE)
                continue
            for call in calls:
                yield _told(call, here)


def find_loader_calls(source: bytes) -> tuple[LoaderCall, ...]:
    """Return the dataset loader calls of a Python source, in line order.

    Raises:
        SyntaxError, ValueError, MemoryError, RecursionError: the source cannot be parsed.
    """
    calls: list[LoaderCall] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            function = _dotted(node.func)
            call = _loader_call(function, node) if function else None
            if call:
                calls.append(call)
    return tuple(sorted(calls, key=lambda c: (c.line, c.function)))


def _loader_call(function: str, node: ast.Call) -> LoaderCall | None:
    keywords = {k.arg: k.value for k in node.keywords if k.arg}
    first = node.args[0] if node.args else None
    revision = _literal(keywords.get("revision"))
    last = function.rsplit(".", 1)[-1]
    if last in ("load_dataset", "load_dataset_builder", "load_from_disk"):
        name = _literal(first or keywords.get("path") or keywords.get("dataset_path"))
        on_hub = last != "load_from_disk" and bool(name) and not str(name).startswith((".", "/"))
        return LoaderCall(function, node.lineno, name, revision, on_hub)
    if last in ("snapshot_download", "hf_hub_download"):
        if _literal(keywords.get("repo_type")) != "dataset":
            return None
        name = _literal(first or keywords.get("repo_id"))
        return LoaderCall(function, node.lineno, name, revision, on_hub=True)
    if function.startswith(("tfds.load", "tfds.builder")):
        return LoaderCall(function, node.lineno, _literal(first), None, on_hub=False)
    if re.match(r"(torchvision|torchaudio)\.datasets\.[A-Z]", function):
        return LoaderCall(function, node.lineno, last, None, on_hub=False)
    return None


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join((node.id, *reversed(parts)))


def _literal(node: ast.expr | None) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        return node.value
    return None


def _told(call: LoaderCall, witness: Witness) -> Observation | Gap:
    use = f"{witness.path}:{call.line} {call.function}"
    if call.name is None:
        reason = f"{use} loads a dataset whose name is computed at run time"
        return witness.misses("data:", reason, field="name", line=call.line)
    node = Dataset(
        id=f"data:{call.name}",
        name=call.name,
        version=call.revision,
        pinned=call.pinned,
        url=HUB_DATASET_URL + call.name if call.on_hub else None,
        uses=(use,),
    )
    return witness.observes(node, line=call.line, key=call.function)
