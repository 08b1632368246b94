"""What earlier verifications saw: the highest release of each model, and who closed it.

A single look at a release cannot tell that it is an old one played again. So a verification that
ended with 0 is remembered, in one small JSON file of the user's own. The file only ever grows
stricter: what it knows of a model is never lowered, and a damaged file is an error.
"""

import contextlib
import functools
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlbom.attest.statement import json_object
from mlbom.attest.types import OWN_TYPES
from mlbom.errors import LockedError, MalformedError, StateError, UnreadableError
from mlbom.evidence.canonical import canonical_json
from mlbom.formats.strict_json import parse_json
from mlbom.openfile import read_regular
from mlbom.outdir import replace_file, try_lock

SCHEMA = f"{OWN_TYPES}state:1"
MAX_BYTES = 16 * 1024 * 1024
# A version that mlbom made from the manifest's digest; it says nothing about order.
UNORDERED_PREFIX = "0+"
_PATIENCE_S = 10.0
_MODEL_KEYS = {"releases", "signer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One release as it was verified.

    Args:
        model: its purl without the version, which is the model's id.
        version: of the release.
        manifest: SHA-256 of model.manifest in hexadecimal digits.
        signer: `TrustedSigner.material` of who closed it.
        cosigners: the same of whoever else did.
    """

    model: str
    version: str
    manifest: str
    signer: str
    cosigners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Concern:
    """What memory has against a release, or remarks about it.

    Args:
        rule: `rollback`, `version-reused`, `pin-changed` (each 3), or the remarks
            `version-unordered` and `signer-changed`.
        message: one line.
    """

    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class KnownModel:
    """What is remembered of one model.

    Args:
        releases: version -> manifest; the highest ordered version and every one without an order.
        signer: material of who closed the last one, the pin.
    """

    releases: Mapping[str, str] = field(default_factory=dict)
    signer: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """The memory of one user."""

    models: Mapping[str, KnownModel] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "State":
        """Read a memory; a file that is not there is an empty one.

        Raises:
            StateError: the file is damaged, unreadable, or no memory of mlbom.
        """
        try:
            data = read_regular(path, MAX_BYTES, path.name)
            return cls(_parse(parse_json(data, path.name)))
        except FileNotFoundError:
            return cls()
        except UnreadableError as error:
            message = f"the memory {path} is damaged: {error.message}"
            raise StateError(message, looked=[str(path)]) from error
        except OSError as error:
            message = f"cannot read the memory {path}: {error.strerror or error}"
            raise StateError(message, looked=[str(path)]) from error

    def check(self, seen: Sighting, *, signer_named: bool = False) -> Iterator[Concern]:
        """Yield what speaks against a release that is otherwise good.

        Args:
            seen: the release.
            signer_named: whether the caller named this model's signers in a policy. A changed
                signer is then the caller's own decision and only a remark; keys given with
                `--key` are trusted for any model, so that a change is refused.
        """
        known = self.models.get(seen.model, KnownModel())
        if not seen.version.startswith(UNORDERED_PREFIX):
            yield from _check_version(known, seen)
        if known.signer and known.signer not in (seen.signer, *seen.cosigners):
            rule = "signer-changed" if signer_named else "pin-changed"
            message = f"{seen.model} was closed by {known.signer} before, now by {seen.signer}"
            yield Concern(rule, message)

    def with_sighting(self, seen: Sighting) -> "State":
        """Return the memory with one more release; what it knows is never lowered."""
        known = self.models.get(seen.model, KnownModel())
        releases = dict(known.releases)
        if not seen.version.startswith(UNORDERED_PREFIX):
            releases.setdefault(seen.version, seen.manifest)
        pin = known.signer if known.signer in seen.cosigners else seen.signer
        kept = KnownModel(_without_lower(releases), pin)
        return State({**self.models, seen.model: kept})

    def data(self) -> bytes:
        """Return the bytes of the file."""
        models = {
            name: {"releases": dict(known.releases), "signer": known.signer}
            for name, known in self.models.items()
        }
        return canonical_json({"schema": SCHEMA, "models": models}) + b"\n"


def default_state_path(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return where this user's memory lies, or None for a user without a home (XDG)."""
    base = Path(environment.get("XDG_STATE_HOME") or "")
    if not base.is_absolute():
        try:
            home = Path(environment["HOME"]) if "HOME" in environment else Path.home()
        except RuntimeError:
            return None
        if not home.is_absolute():
            return None
        base = home / ".local" / "state"
    return base / "mlbom" / "state.json"


def remember(path: Path, *sightings: Sighting) -> None:
    """Add a release to a memory; call it only after a verification that ended with 0.

    The file is read again and exchanged whole under a lock, so that no writer undoes another.

    Args:
        path: of the memory.
        sightings: the release, under each name by which it is known.

    Raises:
        StateError: the memory is damaged or cannot be written; it is as it was before.
        LockedError: another process held the lock for ten seconds.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _lock(path.with_name(f".{path.name}.lock")):
            before = State.load(path)
            after = functools.reduce(State.with_sighting, sightings, before)
            if after.data() != before.data():
                replace_file(path, after.data(), 0o600)
    except OSError as error:
        message = f"cannot write the memory {path}: {error.strerror or error}"
        raise StateError(message, looked=[str(path)]) from error


def _check_version(known: KnownModel, seen: Sighting) -> Iterator[Concern]:
    for version, manifest in known.releases.items():
        order = _order(seen.version, version)
        if order == 0 and manifest != seen.manifest:
            message = (
                f"{seen.model} {seen.version} was seen with the manifest {manifest}, "
                f"now with {seen.manifest}"
            )
            yield Concern("version-reused", message)
        elif order is None:
            message = f"{seen.version} and {version}, seen before, have no order"
            yield Concern("version-unordered", message)
        elif order < 0:
            message = f"{seen.model} {seen.version} is older than {version}, which was seen before"
            yield Concern("rollback", message)


def _order(version: str, other: str) -> int | None:
    """Return -1, 0 or 1 as one version is lower, equal or higher by PEP 440, or None."""
    from packaging.version import InvalidVersion, Version

    if version == other:
        return 0
    try:
        first, second = Version(version), Version(other)
    except InvalidVersion:
        return None
    return (first > second) - (first < second)


def _without_lower(releases: Mapping[str, str]) -> dict[str, str]:
    """Return the releases without those that another one is higher than."""
    orders = {v: [_order(v, other) for other in releases] for v in releases}
    return {v: manifest for v, manifest in releases.items() if -1 not in orders[v]}


def _parse(document: object) -> dict[str, KnownModel]:
    told = json_object(document, "memory", {"schema", "models"})
    if told["schema"] != SCHEMA or not isinstance(told["models"], dict):
        message = f"its schema is not {SCHEMA}"
        raise MalformedError(message)
    return {name: _parse_model(name, model) for name, model in told["models"].items()}


def _parse_model(name: str, document: object) -> KnownModel:
    told = json_object(document, f"model {name[:80]!r}", _MODEL_KEYS)
    releases: Any = told["releases"]
    texts = [told["signer"], *releases.values()] if isinstance(releases, dict) else [None]
    if not all(isinstance(text, str) for text in texts):
        message = f"what it holds of {name[:80]!r} has another form"
        raise MalformedError(message)
    return KnownModel(releases, told["signer"])


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that the system drops when its holder dies."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not try_lock(descriptor):
            if time.monotonic() > deadline:
                message = f"the memory is locked by another process: {path}"
                raise LockedError(message)
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)
