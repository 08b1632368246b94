"""A recorded step with everything measured about it, and what of its names may be published."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlbom.attest.resource import Resource
from mlbom.attest.run_claim import NAMELESS, StepKind
from mlbom.attest.statement import unsafe_name
from mlbom.guard import find_secrets
from mlbom.record.recording import Recording

# A shorter name says nothing, and would be found in every other word.
_TELLING = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """A recorded step with everything measured about it.

    Args:
        name: of the step.
        kind: what it is for.
        invocation: id of the run.
        tool_version: of mlbom.
        recording: what the launcher saw.
        digests: SHA-256 by absolute path, of every file read or written that could be hashed.
        names: published name by absolute path; a file that is missing here is nameless.
        weights: absolute paths of what was read and holds weights.
        source: the commit that the step's code is from, or None.
        packages: the distributions of its environment, by purl.
        environment: evidence of its environment as canonical JSON, or empty.
        trace: the step trace, when one was asked for and something of a training was seen.
        metrics: numbers that it reported: name, value, step, source.
        unseen: what could not be told beyond what the recording says, each one sentence.
    """

    name: str
    kind: StepKind
    invocation: str
    tool_version: str
    recording: Recording
    digests: Mapping[str, str]
    names: Mapping[str, str]
    weights: frozenset[str] = frozenset()
    source: Resource | None = None
    packages: tuple[Resource, ...] = ()
    environment: bytes = b""
    trace: Resource | None = None
    metrics: tuple[Mapping[str, Any], ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the files read whose bytes are still the ones that were read."""
        gone = set(self.recording.overwritten)
        return tuple(p for p in self.recording.reads if p in self.digests and p not in gone)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the files written that could be hashed."""
        return tuple(path for path in self.recording.writes if path in self.digests)

    def is_named(self, path: str) -> bool:
        """Return whether a file has a name that may be published, and that a statement can hold."""
        name = self.names.get(path, "")
        holds_secret = any(True for _ in find_secrets(name.encode("utf-8", "surrogatepass")))
        return bool(name) and not unsafe_name(name) and not holds_secret

    def label(self, path: str) -> str:
        """Return how a statement calls a file: by its name, or by its digest."""
        return self.names[path] if self.is_named(path) else NAMELESS + self.digests[path]


@dataclass(frozen=True, slots=True)
class PrivateNames:
    """What a text must not tell: how a step's private inputs are called, longest first."""

    digests: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, facts: StepFacts) -> "PrivateNames":
        """Collect every spelling of every input that has no published name."""
        root = facts.recording.plan.project_root
        names: dict[str, str] = {}
        for path in facts.inputs:
            if facts.is_named(path):
                continue
            base = os.path.basename(path)
            spellings = (path, os.path.relpath(path, root), base, os.path.splitext(base)[0])
            names.update((n, facts.digests[path]) for n in spellings if len(n) >= _TELLING)
        return cls(tuple(sorted(names.items(), key=lambda item: (-len(item[0]), item[0]))))

    def hidden_in(self, text: str) -> str:
        """Return a text in which each of them stands by its digest."""
        for name, sha256 in self.digests:
            text = text.replace(name, f"<sha256:{sha256[:12]}>")
        return text
