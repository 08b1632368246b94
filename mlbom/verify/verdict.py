"""The verdict as a value: every edge with what was checked, every problem, the exit status."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mlbom.guard import printable
from mlbom.status import ExitStatus, worst
from mlbom.verify.rules import RULE_BY_ID


class EdgeStatus(StrEnum):
    """Whether a link of the chain was checked, and how that went; below is about quality alone."""

    HELD = "held"
    FAILED = "failed"
    NOT_CHECKED = "not-checked"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class Edge:
    """One link of the chain.

    Args:
        name: what is joined, for example `manifest -> model tree`.
        status: whether it holds.
        checked: what was compared.
        why: why it holds, fails, or was not checked.
    """

    name: str
    status: EdgeStatus
    checked: str
    why: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A broken rule, or a remark.

    Args:
        rule: id of a rule in `mlbom.verify.rules`.
        message: one line that names the thing concerned, fit for a terminal.
        path: the file, relative to the output directory or the model root; may be empty.
    """

    rule: str
    message: str
    path: str = ""

    def __post_init__(self) -> None:
        """Refuse a rule that nobody could explain."""
        if self.rule not in RULE_BY_ID:
            message = f"unknown rule {self.rule!r}"
            raise ValueError(message)

    @property
    def status(self) -> ExitStatus:
        """Return what the rule makes the command end with."""
        return RULE_BY_ID[self.rule].status


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What verification found. Nothing is trusted unless `status` is `DONE`.

    Args:
        edges: every link of the chain, in the order checked.
        problems: every broken rule and every remark, in the order found.
        skipped: paths in the model root that the verifier's own ignore list left out.
        what: what was verified: a release, or the record of a step alone.
        purl: the release's name by its closing statement, empty without one.
        closing: SHA-256 of the closing bundle, empty without one.
        signer: fingerprint of the key, or the identity, that closed the release; may be empty.
        signed_at: when it was closed as somebody trusted vouches for, seconds since 1970, or None.
        material: what thresholds and memory know the closing signer by.
        cosigners: the same of each further signer of the closing statement.
        manifest: SHA-256 of model.manifest (dirHash1), empty when it is not bound.
        trained: whether a record of the training covers every weight file.
        reproduced: who reproduced every weight file to which level, one line; empty for nobody.
        inputs: path and SHA-256 of each bundle whose signature holds.
        model_root: the directory that was compared, empty when none was.
        copied_to: where the verified files were handed over to, empty when they were not.
        documents: the bytes of documents of the output directory as they were verified.
        files: digests of the model's files by path, all of them signed.
    """

    edges: tuple[Edge, ...]
    problems: tuple[Problem, ...]
    skipped: tuple[str, ...] = ()
    what: str = "release"
    purl: str = ""
    closing: str = ""
    signer: str = ""
    signed_at: int | None = None
    material: str = ""
    cosigners: tuple[str, ...] = ()
    manifest: str = ""
    trained: bool = False
    reproduced: str = ""
    inputs: tuple[tuple[str, str], ...] = ()
    model_root: str = ""
    copied_to: str = ""
    documents: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    @property
    def status(self) -> ExitStatus:
        """Return the exit status: the worst problem; a failed edge is never better than 3."""
        failed = any(edge.status is EdgeStatus.FAILED for edge in self.edges)
        causes = [problem.status for problem in self.problems]
        return worst([*causes, ExitStatus.UNTRUSTED] if failed else causes)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@dataclass(slots=True)
class Ledger:
    """What the stages of one verification write down."""

    edges: list[Edge] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def problem(self, rule: str, message: str, path: str = "") -> None:
        """Note a broken rule or a remark."""
        self.problems.append(Problem(rule, printable(message), printable(path)))

    def held(self, name: str, checked: str, why: str) -> None:
        """Note an edge that holds."""
        self._edge(name, EdgeStatus.HELD, checked, why)

    def failed(self, name: str, checked: str, why: str) -> None:
        """Note an edge that fails."""
        self._edge(name, EdgeStatus.FAILED, checked, why)

    def not_checked(self, name: str, checked: str, why: str) -> None:
        """Note an edge that was not checked."""
        self._edge(name, EdgeStatus.NOT_CHECKED, checked, why)

    def judge(self, name: str, checked: str, since: int, why: str) -> bool:
        """Note an edge by the problems found since a moment, and return whether it holds.

        Args:
            name: what is joined.
            checked: what was compared.
            since: `len(problems)` before the comparison.
            why: why it holds, when nothing was found.
        """
        found = [p for p in self.problems[since:] if p.status is not ExitStatus.DONE]
        if not found:
            self.held(name, checked, why)
        elif all(p.status is ExitStatus.FINDINGS for p in found):
            self._edge(name, EdgeStatus.BELOW, checked, found[0].message)
        elif all(p.status is ExitStatus.INCOMPLETE for p in found):
            self.not_checked(name, checked, found[0].message)
        else:
            bad = [p for p in found if p.status is not ExitStatus.INCOMPLETE]
            more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
            self.failed(name, checked, bad[0].message + more)
        return not found

    def _edge(self, name: str, status: EdgeStatus, checked: str, why: str) -> None:
        self.edges.append(Edge(printable(name), status, printable(checked), printable(why)))
