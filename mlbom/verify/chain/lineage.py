"""How recorded steps hang together: from the model's files backwards along what each step read.

An edge holds by equal digest alone, never by place. A step starts after the steps whose outputs it
read have finished; times are compared only between records (chain.md section 3).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mlbom.attest.run_claim import EMPTY
from mlbom.verify.chain.steps import Step
from mlbom.verify.kinds import EVAL, REBUILD, TRAIN
from mlbom.verify.verdict import Ledger, counted

MODEL_PLACE = "model files"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """The files of the released model.

    Args:
        all: path by SHA-256.
        weights: path by SHA-256 of those that hold weights.
    """

    all: Mapping[str, str]
    weights: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lineage:
    """The steps that lead to a model.

    Args:
        steps: every step reached, in the order of the bundles.
        used: SHA-256 of what of each was used: model files, or what a reached step read; by label.
        makers: labels of the steps that wrote what a step read, by its label and the SHA-256.
    """

    steps: tuple[Step, ...] = ()
    used: Mapping[str, frozenset[str]] = field(default_factory=dict)
    makers: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


def check_lineage(
    ledger: Ledger,
    steps: tuple[Step, ...],
    model: ModelFiles,
    *,
    rebuilds: Collection[tuple[str, str]] = (),
    complete: bool,
) -> Lineage:
    """Check every edge between steps and to the model; a step that leads nowhere is a problem.

    A reproduction stands beside the chain and carries nothing of it: no step comes from what it
    wrote, and nothing is reached through what it read.

    Args:
        ledger: takes problems and edges.
        steps: what the records of the release tell.
        model: the files that the manifest binds.
        rebuilds: `Step.signatures` of records that a statement of a reproduction names as its
            runs; these may have written other bytes than the model's.
        complete: whether every statement of the release could be read; what leads nowhere may
            otherwise lead to one that could not.
    """
    walk = _Walk(ledger, steps, model, frozenset(rebuilds))
    walk.link()
    walk.reach()
    walk.judge(complete=complete)
    return walk.lineage()


class _Walk:
    """One pass over the steps of a release."""

    def __init__(
        self,
        ledger: Ledger,
        steps: tuple[Step, ...],
        model: ModelFiles,
        rebuilds: frozenset[tuple[str, str]],
    ) -> None:
        self._ledger, self._steps, self._model = ledger, steps, model
        self._rebuilds = rebuilds
        self._by_label = {step.label: step for step in steps}
        self._makers: dict[tuple[str, str], tuple[str, ...]] = {}
        self._late: dict[str, list[str]] = {}
        self._used: dict[str, set[str]] = {}

    def link(self) -> None:
        """Find who made what each step read."""
        writers: dict[str, list[tuple[Step, str]]] = {}
        for step in self._steps:
            makes_nothing = step.is_evaluation or step.kind is REBUILD
            for name, sha256 in () if makes_nothing else step.wrote:
                if sha256 != EMPTY:
                    writers.setdefault(sha256, []).append((step, name))
        for step in self._steps:
            for name, sha256 in step.files_read:
                makers = [(w, own) for w, own in writers.get(sha256, ()) if w is not step]
                ready = [w.label for w, _ in makers if not _begins_before_end(step, w)]
                if ready:
                    self._makers[step.label, sha256] = tuple(dict.fromkeys(ready))
                    continue
                # A small file may be equal by chance: only one of the same name was read too early.
                named = (w.label for w, own in makers if not own or not name or own == name)
                self._late.setdefault(step.label, []).extend(named)

    def reach(self) -> None:
        """Walk from the model's files backwards."""
        pending = [step.label for step in self._steps if self._roots(step) or self._named(step)]
        for label in pending:
            self._used[label] = set(self._roots(self._by_label[label]))
        while pending:
            reader = self._by_label[pending.pop()]
            if reader.kind is REBUILD:
                continue
            for _, sha256 in reader.files_read:
                for maker in self._makers.get((reader.label, sha256), ()):
                    if maker not in self._used:
                        self._used[maker] = set()
                        pending.append(maker)
                    self._used[maker].add(sha256)

    def judge(self, *, complete: bool) -> None:
        """Note an edge for every link that was found, and for every step that leads nowhere."""
        early = {maker for label in self._used for maker in self._late.get(label, ())}
        for step in self._steps:
            if step.label in self._used:
                self._judge_model_edge(step)
                self._judge_inputs(step)
            elif step.label not in early:
                self._note_unrelated(step, complete=complete)
        self._judge_cycles()

    def lineage(self) -> Lineage:
        """Return what was found."""
        reached = tuple(step for step in self._steps if step.label in self._used)
        used = {label: frozenset(digests) for label, digests in self._used.items()}
        return Lineage(reached, used, self._makers)

    def _roots(self, step: Step) -> frozenset[str]:
        """Return which files of the model a step is about."""
        weights_only = step.kind in (TRAIN, EVAL, REBUILD) or step.is_evaluation
        files = self._model.weights if weights_only else self._model.all
        return step.about_digests & files.keys()

    def _named(self, step: Step) -> bool:
        """Return whether a statement by the signer of a record of training again names it."""
        return step.kind is REBUILD and not self._rebuilds.isdisjoint(step.signatures)

    def _judge_model_edge(self, step: Step) -> None:
        roots = self._roots(step)
        if not roots and self._named(step):
            checked = "SHA-256 of the record in a statement of the reproduction"
            why = "it wrote none of the model's weights; the statement says how far they agree"
            self._ledger.held(f"{step.label} -> {MODEL_PLACE}", checked, why)
        if not roots:
            return
        since = len(self._ledger.problems)
        _check_outcome(self._ledger, step)
        names = sorted(self._model.all[sha256] for sha256 in roots)
        verb = "read" if step.is_evaluation else "wrote"
        checked = f"SHA-256 of {counted(len(step.about), 'file')} that it {verb}"
        why = f"it {verb} {told_names(names)}"
        self._ledger.judge(f"{step.label} -> {MODEL_PLACE}", checked, since, why)

    def _judge_inputs(self, step: Step) -> None:
        made: dict[str, list[str]] = {}
        for name, sha256 in step.files_read:
            for maker in self._makers.get((step.label, sha256), ()):
                made.setdefault(maker, []).append(name or f"sha256:{sha256}")
        for label, names in made.items():
            since = len(self._ledger.problems)
            _check_outcome(self._ledger, self._by_label[label])
            checked = "SHA-256 of what it wrote and what was read; times"
            why = f"wrote {told_names(sorted(set(names)))} before it was read"
            self._ledger.judge(f"{label} -> {step.label}", checked, since, why)
        for label in dict.fromkeys(self._late.get(step.label, ())):
            message = f"{step.label} read what {label} wrote, and began before that had finished"
            self._ledger.problem("time-reversed", message)
            self._ledger.failed(f"{label} -> {step.label}", "times of the two records", message)

    def _note_unrelated(self, step: Step, *, complete: bool) -> None:
        paths = ", ".join(signed.path for signed in step.signed)
        what = "read no weights of" if step.is_evaluation else "made nothing of"
        message = f"{paths}: {step.label} {what} this model, and nothing that a step to it read"
        checked = f"SHA-256 of {counted(len(step.about), 'file')} in the record"
        if not complete:
            why = "leads nowhere among the statements that hold"
            self._ledger.not_checked(f"{step.label} -> {MODEL_PLACE}", checked, why)
            return
        self._ledger.problem("unrelated-record", message, step.signed[0].path)
        self._ledger.failed(f"{step.label} -> {MODEL_PLACE}", checked, "none is the model's")

    def _judge_cycles(self) -> None:
        before: dict[str, set[str]] = {}
        for (label, _), makers in self._makers.items():
            before.setdefault(label, set()).update(makers)
        if circle := _circle(before):
            told = " -> ".join(circle)
            self._ledger.problem("cycle", f"each of these steps read what the next wrote: {told}")
            self._ledger.failed(told, "the order of the steps", "it has no beginning")


def _begins_before_end(reader: Step, maker: Step) -> bool:
    """Return whether a step began before the other had finished; unknown times do not tell."""
    known = reader.started is not None and maker.finished is not None
    return known and (reader.started or 0) < (maker.finished or 0)


def _check_outcome(ledger: Ledger, step: Step) -> None:
    """Refuse a failed step as the one that made something; an evaluation may well have failed."""
    if not step.failure:
        return
    path = step.signed[0].path
    if step.is_evaluation:
        ledger.problem("failed-evaluation", f"{path}: {step.label}: {step.failure}", path)
        return
    message = f"{path}: {step.label} made what is used here, and {step.failure}"
    ledger.problem("failed-run", message, path)


def _circle(before: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return steps of which each comes before the one before it, or nothing."""
    done: set[str] = set()
    for start in before:
        path: list[str] = []
        pending: list[tuple[str, Iterator[str]]] = [(start, iter(before.get(start, ())))]
        while pending:
            label, further = pending[-1]
            if len(path) < len(pending):
                path.append(label)
            following = next((name for name in further if name not in done), None)
            if following is None:
                done.add(label)
                pending.pop()
                path.pop()
            elif following in path:
                return (*path[path.index(following) :], following)
            else:
                pending.append((following, iter(before.get(following, ()))))
    return ()


def told_names(names: Iterable[str]) -> str:
    """Return the first names of many, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""  # noqa: PLR2004 - one line
    return ", ".join(listed[:4]) + more
