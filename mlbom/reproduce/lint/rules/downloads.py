"""Rule about models, data and files that come from elsewhere and may have changed by next time."""

import ast
import re
from collections.abc import Iterator

from mlbom.reproduce.lint.module import Module
from mlbom.reproduce.lint.rule import (
    Hit,
    Project,
    Rule,
    argument,
    constant,
    has_stars,
    keyword,
    tail,
)
from mlbom.reproduce.values import CauseKind

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_MOVES = frozenset({"main", "master", "HEAD", "head", "latest"})
_HUB = {
    "from_pretrained": "pretrained_model_name_or_path",
    "hf_hub_download": "repo_id",
    "snapshot_download": "repo_id",
    "load_dataset": "path",
    "load_dataset_builder": "path",
}
# Of `datasets`: what reads local files under a general name.
_LOCAL_FORMATS = frozenset(
    """arrow audiofolder csv imagefolder json pandas parquet sql text videofolder webdataset
    xml""".split()
)
_FETCHES = frozenset({"urllib.request.urlretrieve", "urllib.request.urlopen", "urlretrieve"})
_GETS = frozenset({"requests.get", "httpx.get", "wget.download", "requests.Session().get"})
_HASHES = frozenset("sha1 sha224 sha256 sha384 sha512 md5 blake2b blake2s file_digest".split())


def unpinned_download(project: Project) -> Iterator[Hit]:
    """Yield downloads that name no fixed version and are not checked against a digest."""
    for module, name, call in project.calls():
        told = _hub(module, name, call) or _torch_hub(module, name, call)
        if not told:
            told = _plain(module, name, call)
        if told:
            yield Hit(module, call, told)


def _hub(module: Module, name: str, call: ast.Call) -> str:
    """Judge a call of huggingface_hub, transformers, datasets and the like."""
    last = tail(name)
    if last not in _HUB or has_stars(call):
        return ""
    wanted = constant(module, argument(call, 0, _HUB[last]))
    if not isinstance(wanted, str) or not _HUB_NAME.fullmatch(wanted):
        return ""
    if last.startswith("load_dataset") and wanted in _LOCAL_FORMATS:
        return ""
    if constant(module, keyword(call, "local_files_only")) is True:
        return ""
    revision = keyword(call, "revision")
    if revision is None:
        return f"{last} takes what {wanted} is at the moment: no revision is named"
    moving = constant(module, revision)
    return f"{last}: the revision {moving} of {wanted} moves" if moving in _MOVES else ""


def _torch_hub(module: Module, name: str, call: ast.Call) -> str:
    last = tail(name)
    if last == "load_state_dict_from_url":
        is_checked = constant(module, keyword(call, "check_hash")) is True
        return "" if is_checked else "what this address serves is not checked (check_hash)"
    if name != "torch.hub.load" or constant(module, keyword(call, "source")) == "local":
        return ""
    wanted = constant(module, argument(call, 0, "repo_or_dir"))
    is_open = isinstance(wanted, str) and ":" not in wanted
    return f"torch.hub.load takes the default branch of {wanted}" if is_open else ""


def _plain(module: Module, name: str, call: ast.Call) -> str:
    """Judge a plain download of an address that is written in the file."""
    if name not in _FETCHES and name not in _GETS:
        return ""
    address = constant(module, argument(call, 0, "url"))
    if not (isinstance(address, str) and address.startswith(("http://", "https://", "ftp://"))):
        return ""
    if module.tails & _HASHES:
        return ""
    return "what this address serves is not checked against a digest"


RULES = (
    Rule(
        name="unpinned-download",
        kind=CauseKind.DOWNLOAD,
        fix="name a commit (revision=...), or compare the SHA-256 of what came",
        find=unpinned_download,
    ),
)
