"""The model on this disk: where it lies, and whether it is what was signed, file by file."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbom.attest.statement import unsafe_name
from mlbom.attest.subjects import MANIFEST
from mlbom.digest.ignore import RELEASE_FILES, IgnoreList, ignore_list
from mlbom.digest.tree import Entry, EntryKind, walk, walk_files
from mlbom.guard import printable
from mlbom.verify.files.compare import Digests, differing
from mlbom.verify.files.directory import SUMMARY
from mlbom.verify.files.handover import Handover
from mlbom.verify.files.measure import (
    Copying,
    Measured,
    copy_files,
    hold_against,
    locate,
    measure,
    measure_copying,
)
from mlbom.verify.verdict import Ledger, counted

EDGE_TREE = "model.manifest -> model files"
EDGE_RELEASE_FILES = "closing statement -> files beside the model"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedModel:
    """What the model root must hold.

    Args:
        root: the model root.
        is_directory: whether it is a model directory, in which no other file may lie.
        files: every digest that is signed, by path.
        sizes: sizes in bytes by path, as far as the evidence tells them.
        release: the output directory.
        bound: SHA-256 of every file of the release, for what publishing copies beside the model.
        ignore: further root-relative prefixes that this verifier's policy leaves out.
    """

    root: Path
    is_directory: bool
    files: Mapping[str, Digests]
    sizes: Mapping[str, int]
    release: Path
    bound: frozenset[str]
    ignore: tuple[str, ...] = ()

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Return the algorithms that the files are measured with."""
        wide = any("sha512" in digests for digests in self.files.values())
        return ("sha256", "sha512") if wide else ("sha256",)


def find_model_root(ledger: Ledger, root: Path, recorded: str, files: Iterable[str]) -> Path | None:
    """Return the model root: the recorded path below a folder, or that folder itself.

    Never both: where the folder holds files of the model's names too, nobody can tell which of
    the two a loader will take, and checking one would vouch for the other.

    Args:
        ledger: takes a path that leads out of the folder, or goes through a link.
        root: what the caller named: PATH of the release, or the model root.
        recorded: model root relative to PATH, from the evidence.
        files: names of the model's files, relative to the model root.
    """
    if recorded == ".":
        return root
    if reason := unsafe_name(recorded):
        ledger.problem("unsafe-name", f"the recorded model root {recorded[:200]!r} {reason}")
        return None
    below = root
    for part in recorded.split("/"):
        below = below / part
        if below.is_symlink():
            message = f"{recorded} is reached through a link, {below.name}"
            ledger.problem("not-a-regular-file", message, recorded)
            return None
    if not below.is_dir():
        return root
    twin = next((path for path in files if not unsafe_name(path) and locate(root, path)), "")
    if twin:
        message = f"{twin} lies in {root} and the model in {recorded} below it: name one by --root"
        ledger.problem("ambiguous-root", message, twin)
        return None
    return below


def check_model(ledger: Ledger, model: ExpectedModel, handover: Handover | None = None) -> None:
    """Compare the files of a model with what was signed; each is read once.

    Args:
        ledger: takes the edges and problems.
        model: what must be there.
        handover: takes a copy of each listed file while it is hashed, or None.
    """
    since = len(ledger.problems)
    for path in model.files:
        if reason := unsafe_name(path):
            ledger.problem("unsafe-name", f"the manifest's file name {path[:200]!r} {reason}")
    checked = f"digests of {counted(len(model.files), 'listed file')} in {model.root}"
    if len(ledger.problems) > since:
        ledger.judge(EDGE_TREE, checked, since, "")
        return
    if model.is_directory:
        _check_directory(ledger, model, handover)
        why = "every file is the signed one, and no other lies there"
    else:
        _check_files(ledger, model, handover)
        why = "every listed file is the signed one"
    ledger.judge(EDGE_TREE, checked, since, why)
    if model.is_directory:
        _check_release_files(ledger, model)


def _check_directory(ledger: Ledger, model: ExpectedModel, handover: Handover | None) -> None:
    inside = _release_inside(model)
    # What is listed is compared, whatever a policy leaves out.
    own = [p for p in model.ignore if not any(IgnoreList((p,)).covers(f) for f in model.files)]
    extra = (*own, inside) if inside else own
    ignored = ignore_list(model_directory=True, extra=extra)
    entries: list[Entry] = []
    # In a snapshot of a hub cache each file is a link to its blob; any other link is refused.
    for entry in walk_files(model.root, ignored.covers):
        if entry.kind is not EntryKind.SKIPPED:
            entries.append(entry)
        elif entry.path not in RELEASE_FILES and entry.path != inside:
            ledger.skipped.append(printable(entry.path))
    copying = Copying(model.algorithms, handover)
    measured = measure_copying(model.root, entries, model.files, copying)
    hold_against(ledger, model.files, measured, MANIFEST)


def _check_files(ledger: Ledger, model: ExpectedModel, handover: Handover | None) -> None:
    entries = [entry for path in model.files if (entry := locate(model.root, path))]
    copying = Copying(model.algorithms, handover)
    measured = measure_copying(model.root, entries, model.files, copying)
    if len(model.files) == 1 and not entries:
        path, digests = next(iter(model.files.items()))
        name = _other_name(model, path, digests)
        if name:
            message = f"{path} has been renamed: its bytes are here as {name}"
            ledger.problem("model-file-renamed", message, path)
            renamed = locate(model.root, name)
            if handover is None or renamed is None:
                return
            measured = copy_files(model.root, [(renamed, path)], copying)
    hold_against(ledger, model.files, measured, MANIFEST)


def _other_name(model: ExpectedModel, path: str, digests: Digests) -> str:
    """Return under what name the one model file lies in its folder or in the root, if it does."""
    nbytes = model.sizes.get(path)
    folder = os.path.dirname(path)
    candidates: dict[str, Entry] = {}
    for prefix in dict.fromkeys((f"{folder}/" if folder else "", "")):
        for entry in _files_in(model.root, prefix):
            if nbytes is None or entry.nbytes == nbytes:
                candidates.setdefault(entry.path, entry)
    found: Measured = measure(model.root, candidates.values(), model.algorithms)
    same = (p for p in sorted(found.digests) if not differing(digests, found.digests[p]))
    return next(same, "")


def _files_in(root: Path, prefix: str) -> list[Entry]:
    """Return the regular files directly in a folder below the root."""
    try:
        with os.scandir(root / prefix) as listing:
            names = sorted(entry.name for entry in listing)
    except OSError:
        return []
    found = (locate(root, prefix + name) for name in names)
    return [entry for entry in found if entry and entry.kind is EntryKind.FILE]


def _release_inside(model: ExpectedModel) -> str:
    """Return the output directory relative to the model root, or an empty text."""
    release, root = model.release.resolve(), model.root.resolve()
    if release == root or not release.is_relative_to(root):
        return ""
    return release.relative_to(root).as_posix()


def _check_release_files(ledger: Ledger, model: ExpectedModel) -> None:
    """Name what publishing put beside the model and the closing statement does not cover."""
    inside = _release_inside(model)
    entries = [e for name in RELEASE_FILES for e in _published(model.root, name, inside)]
    entries = [entry for entry in entries if entry.path != f"mlbom/{SUMMARY}"]
    if not entries:
        return
    measured = measure(model.root, entries, ("sha256",))
    bound = [p for p, d in measured.digests.items() if d["sha256"] in model.bound]
    for entry in entries:
        if entry.path not in bound:
            message = f"{entry.path} is not bound: it equals no file of the release"
            ledger.problem("not-bound", message, entry.path)
    checked = f"SHA-256 of {counted(len(entries), 'file')} that publishing adds"
    if len(bound) == len(entries):
        ledger.held(EDGE_RELEASE_FILES, checked, "each equals a file of the release")
    else:
        loose = len(entries) - len(bound)
        ledger.not_checked(EDGE_RELEASE_FILES, checked, f"{loose} of them not bound")


def _published(root: Path, name: str, inside: str) -> list[Entry]:
    """Return what lies at or below a name of the model root, except the output directory."""
    top = locate(root, name)
    if top or not (root / name).is_dir() or name == inside:
        return [top] if top else []
    below = walk(root / name, lambda path: f"{name}/{path}" == inside)
    return [
        Entry(f"{name}/{e.path}", e.kind, e.nbytes, e.target)
        for e in below
        if e.kind is not EntryKind.SKIPPED
    ]
