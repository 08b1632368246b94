"""Who trained again and got the same: what each rebuilder states of this release, and what counts.

A key counts once, whatever it is called, and by the strictest level that it states of every weight
file. A record of training again that wrote every weight file byte for byte states exact-weights,
unless its signer says more: one that belongs to a reproduction counts as what that concluded, and
not at all where the conclusion was left away. Whoever signed the training or closed the release is
first-party: he vouches for himself.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from mlbom.attest.ladder import DIVERGED, LEVELS, reaches, reproduced_level
from mlbom.attest.reproduction_claim import ReproductionClaim
from mlbom.attest.reproduction_reading import is_reproduction, parse_reproduction
from mlbom.attest.reproduction_record import is_rebuild
from mlbom.attest.types import FAILED, WARNED
from mlbom.guard import printable
from mlbom.verify.bundles import SignedStatement
from mlbom.verify.chain.lineage import Lineage, ModelFiles
from mlbom.verify.chain.steps import Step
from mlbom.verify.kinds import CLOSING, REBUILD, REPRODUCED, REPRODUCTION_RESULT, TRAIN
from mlbom.verify.policy.values import TrustedSigner
from mlbom.verify.signers.trust import told_signer
from mlbom.verify.verdict import Ledger, counted

EDGE_REPRODUCTION = "reproduction"
_CHECKED = "reproduction statements about every weight file"
_BYTES = "exact-weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """One statement that somebody reproduced every weight file of this release.

    Args:
        level: that it states.
        signed: the summary, or the records that wrote the weight files.
        claim: the whole of it, or None where another tool stated it, or a record alone.
    """

    level: str
    signed: tuple[SignedStatement, ...]
    claim: ReproductionClaim | None = None

    @property
    def signer(self) -> TrustedSigner:
        """Return who states it."""
        return self.signed[0].signer

    def is_from(self, record: SignedStatement) -> bool:
        """Return whether a record of training again is of this reproduction, by its own signer."""
        if record.signer.material != self.signer.material:
            return False
        named = self.claim.rebuilds if self.claim else ()
        return record in self.signed or record.payload in named


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproductions:
    """Everything that rebuilders state of a release.

    Args:
        made: the reproductions that count, the strictest first, the first of a key its best.
        results: the test results of rebuilders that did not pass, with what they claim.
        first_party: key material of whoever signed a training, or closed the release.
    """

    made: tuple[Reproduction, ...] = ()
    results: tuple[tuple[SignedStatement, ReproductionClaim], ...] = ()
    first_party: frozenset[str] = frozenset()

    def counting(self, level: str, *, independent: bool) -> tuple[Reproduction, ...]:
        """Return those that reach a level.

        Args:
            level: the least that counts; any when empty.
            independent: whether the first party's do not count.
        """
        return tuple(
            made
            for made in self.made
            if reaches(made.level, level or LEVELS[-1])
            and not (independent and made.signer.material in self.first_party)
        )

    def best(self) -> Mapping[str, Reproduction]:
        """Return the strictest reproduction of each key, by its material."""
        found: dict[str, Reproduction] = {}
        for made in self.made:
            found.setdefault(made.signer.material, made)
        return found

    @property
    def told(self) -> str:
        """Return who reproduced the release to which level, on one line; empty for nobody."""
        return ", ".join(self._told(made) for made in self.best().values())

    @property
    def failures(self) -> str:
        """Return who failed to reproduce it, on one line; empty for nobody."""
        told = (
            f"{FAILED} by {told_signer(signed.signer)} ({why_failed(claim)})"
            for signed, claim in self.results
            if claim.result == FAILED
        )
        return ", ".join(dict.fromkeys(told))

    def _told(self, made: Reproduction) -> str:
        notes = [counted(made.claim.runs, "run")] if made.claim else []
        notes += ["first-party"] if made.signer.material in self.first_party else []
        more = f" ({', '.join(notes)})" if notes else ""
        return f"{made.level} by {told_signer(made.signer)}{more}"


def why_failed(claim: ReproductionClaim) -> str:
    """Return what a test result that did not pass says, in a few words."""
    if claim.result == WARNED:
        return "nobody can tell"
    reached = claim.level if claim.level == DIVERGED else f"only {claim.level}"
    return f"{reached}, {claim.required} was required"


def find_reproductions(
    ledger: Ledger,
    signed: Iterable[SignedStatement],
    lineage: Lineage,
    model: ModelFiles,
    *,
    rebuilds: Collection[tuple[str, str]] = (),
) -> Reproductions:
    """Return what rebuilders state; two statements of one reproduction must agree.

    Args:
        ledger: takes contradictions.
        signed: the statements that count, partial opinions left out.
        lineage: the joined steps.
        model: the files of the release.
        rebuilds: `SignedStatement.signature` of the records that any statement of a reproduction
            names as its runs, partial opinions too.
    """
    told = tuple(signed)
    claims = {s.path: parse_reproduction(s.statement) for s in told if is_reproduction(s.statement)}
    torn = _contradicting(ledger, told, claims)
    summaries = (s for s in told if s.kind is REPRODUCED and s.path not in torn)
    made = [
        Reproduction(
            level=reproduced_level(summary.statement),
            signed=(summary,),
            claim=claims.get(summary.path),
        )
        for summary in summaries
    ]
    made += _by_bytes(_alone(ledger, lineage, rebuilds), model)
    results = ((s, claims[s.path]) for s in told if s.kind is REPRODUCTION_RESULT)
    return Reproductions(
        made=tuple(sorted(made, key=lambda found: LEVELS.index(found.level))),
        results=tuple((s, claim) for s, claim in results if not claim.is_met),
        first_party=frozenset(_first_party(told, lineage)),
    )


def tell_reproductions(ledger: Ledger, found: Reproductions) -> str:
    """Note whether the weights are reproduced, and return by whom, fit for a terminal."""
    failed = found.failures
    if found.told:
        many = counted(len(found.best()), "key")
        ledger.held(EDGE_REPRODUCTION, _CHECKED, f"stated by {many}")
        return printable(found.told + (f"; {failed}" if failed else ""))
    why = f"not attested; {failed}" if failed else "not attested"
    ledger.not_checked(EDGE_REPRODUCTION, _CHECKED, why)
    return ""


def _contradicting(
    ledger: Ledger, signed: tuple[SignedStatement, ...], claims: Mapping[str, ReproductionClaim]
) -> frozenset[str]:
    """Note statements of one key about one reproduction that differ; return their paths."""
    told: dict[tuple[str, str], SignedStatement] = {}
    torn: set[str] = set()
    for one in signed:
        if one.path not in claims:
            continue
        claim = claims[one.path]
        first = told.setdefault((one.signer.material, claim.details_sha256), one)
        if replace(claims[first.path], details=None) != replace(claim, details=None):
            message = f"{first.path} and {one.path} contradict each other about one reproduction"
            ledger.problem("reproduction-contradicts", message, one.path)
            torn.update((first.path, one.path))
    return frozenset(torn)


def _by_bytes(
    rebuilt: Iterable[tuple[Step, SignedStatement]], model: ModelFiles
) -> Iterator[Reproduction]:
    """Yield what records of training again show: the same bytes of every weight file."""
    wrote: dict[str, set[str]] = {}
    records: dict[str, list[SignedStatement]] = {}
    for step, signed in rebuilt:
        who = signed.signer.material
        wrote.setdefault(who, set()).update(step.about_digests)
        records.setdefault(who, []).append(signed)
    for who, digests in wrote.items():
        if model.weights and digests >= model.weights.keys():
            yield Reproduction(level=_BYTES, signed=tuple(records[who]))


def _alone(
    ledger: Ledger, lineage: Lineage, rebuilds: Collection[tuple[str, str]]
) -> Iterator[tuple[Step, SignedStatement]]:
    """Yield the records of training again whose bytes are all that their signers say.

    A record that a statement by its own signer names was judged there: other runs may have differed
    from it. One that says to belong to a reproduction, whose statement is not here, tells nothing.
    """
    for step, signed in _rebuilt(lineage):
        if signed.signature in rebuilds:
            continue
        if is_rebuild(signed.statement):
            why = "what its signer concluded is not in the release: not counted"
            ledger.not_checked(f"reproduction of {signed.path}", "statement that names it", why)
            continue
        yield step, signed


def _rebuilt(lineage: Lineage) -> Iterator[tuple[Step, SignedStatement]]:
    for step in lineage.steps:
        if step.kind is REBUILD and not step.is_evaluation and not step.failure:
            for signed in step.signed:
                yield step, signed


def _first_party(signed: Iterable[SignedStatement], lineage: Lineage) -> Iterator[str]:
    for step in lineage.steps:
        if step.kind is TRAIN:
            yield from (one.signer.material for one in step.signed)
    yield from (one.signer.material for one in signed if one.kind is CLOSING)
