"""What a policy demands of each step: that it is there, by enough keys, and says what it must."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mlbom.attest.run_claim import build_type
from mlbom.verify.bundles import SignedStatement
from mlbom.verify.chain.lineage import Lineage, ModelFiles
from mlbom.verify.chain.materials import is_source, is_trusted
from mlbom.verify.chain.reproductions import Reproductions
from mlbom.verify.chain.steps import Step
from mlbom.verify.chain.training import trained_weights
from mlbom.verify.kinds import EVAL, REBUILD, STEP, TRAIN
from mlbom.verify.policy.artifacts import Artifact, check_materials, check_products, parse_rule
from mlbom.verify.policy.attributes import check_attributes
from mlbom.verify.policy.values import RECORD_STEPS, STEP_ROLES, Policy, StepRule
from mlbom.verify.verdict import Ledger, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What was found of a release's chain.

    Args:
        signed: the good statements that the release binds.
        lineage: the steps that lead to the model.
        model: its files.
        reproductions: what rebuilders state of it.
    """

    signed: tuple[SignedStatement, ...]
    lineage: Lineage
    model: ModelFiles
    reproductions: Reproductions

    def steps_of(self, rule: StepRule) -> tuple[Step, ...]:
        """Return the joined steps that a rule is about, of the build types that it accepts."""
        return tuple(s for s in self.lineage.steps if _is_of(rule, s) and _fits(rule, s))

    def misfits_of(self, rule: StepRule) -> tuple[Step, ...]:
        """Return the joined steps that a rule is about, of build types that it does not accept."""
        return tuple(s for s in self.lineage.steps if _is_of(rule, s) and not _fits(rule, s))


def check_demands(ledger: Ledger, chain: Chain, policy: Policy) -> None:
    """Hold every rule of a policy for a step against what the release holds."""
    for rule in policy.steps.values():
        since = len(ledger.problems)
        if rule.name in STEP_ROLES and rule.name not in RECORD_STEPS:
            signed = [s for s in chain.signed if s.kind.step == rule.name]
            _check_threshold(ledger, rule, len(_keys(signed)), f"the {rule.name} statement")
        else:
            signed = [s for step in chain.steps_of(rule) for s in step.signed]
            _check_steps(ledger, chain, policy, rule)
            _check_build_types(ledger, chain, rule)
        for statement in signed:
            for reason in check_attributes(rule, statement.document):
                ledger.problem("policy-rule", f"{statement.path}: {reason}", statement.path)
        if rule.name == REBUILD.step:
            signed = _check_reproductions(ledger, chain, rule)
        told = f"{counted(len(signed), 'signature')} by {counted(len(_keys(signed)), 'key')}"
        checked = f"what your policy demands of the step {rule.name}"
        if signed or rule.required or len(ledger.problems) > since:
            ledger.judge(f"policy -> {rule.name}", checked, since, told)
        else:
            ledger.not_checked(f"policy -> {rule.name}", checked, "not there, and not required")


def _is_of(rule: StepRule, step: Step) -> bool:
    """Return whether a rule is about a step.

    The names that mlbom gives a meaning speak of the kind of a record alone, which its signer's
    role decides: how a record calls itself does not make it the data step. A reproduction is no
    step towards the model, whatever its name.
    """
    if rule.name in STEP_ROLES:
        return rule.name in RECORD_STEPS and step.kind.step == rule.name
    if not step.name:
        is_named = step.kind is STEP and bool(rule.build_types) and _fits(rule, step)
    else:
        is_named = step.kind is not REBUILD and step.name == rule.name
    return is_named and (not rule.role or rule.role in step.kind.roles)


def _fits(rule: StepRule, step: Step) -> bool:
    return not rule.build_types or build_type(step.signed[0].statement) in rule.build_types


def _keys(signed: Iterable[SignedStatement]) -> frozenset[str]:
    """Return the distinct key material: one key under two names is one signer."""
    return frozenset(statement.signer.material for statement in signed)


def _check_threshold(ledger: Ledger, rule: StepRule, found: int, what: str) -> None:
    if found == 0 and rule.required:
        message = (
            f"your policy requires the step {rule.name}, and no trusted statement of it is here"
        )
        ledger.problem("missing-statement", message)
    elif 0 < found < rule.threshold:
        told = counted(found, "distinct key")
        message = f"{what} is signed by {told}, your policy wants {rule.threshold}"
        ledger.problem("threshold-not-met", message)


def _check_steps(ledger: Ledger, chain: Chain, policy: Policy, rule: StepRule) -> None:
    """Check that enough keys vouch for every file by which the step leads to the model."""
    steps = [step for step in chain.steps_of(rule) if not step.failure]
    if rule.name != REBUILD.step:
        _check_vouching(ledger, chain, policy, rule)
    for step in steps:
        for reason in _artifact_reasons(chain, policy, rule, step):
            path = step.signed[0].path
            ledger.problem("policy-rule", f"{path}: {reason}", path)


def _check_vouching(ledger: Ledger, chain: Chain, policy: Policy, rule: StepRule) -> None:
    steps = [step for step in chain.steps_of(rule) if not step.failure]
    vouching: dict[str, set[str]] = {}
    for step in steps:
        for sha256 in chain.lineage.used[step.label]:
            vouching.setdefault(sha256, set()).update(_keys(step.signed))
    if not vouching:
        _check_threshold(ledger, rule, 0, rule.name)
    elif rule.required and rule.name in (TRAIN.step, EVAL.step):
        trained = trained_weights(chain.lineage, chain.model, steps)
        covered = trained if rule.name == TRAIN.step else vouching.keys()
        for sha256, path in chain.model.weights.items():
            if sha256 not in covered and not is_trusted(policy, sha256=sha256):
                message = f"your policy requires the step {rule.name}, and no record covers {path}"
                ledger.problem("missing-statement", message, path)
    for sha256, keys in sorted(vouching.items()):
        what = chain.model.all.get(sha256, f"sha256:{sha256}")
        _check_threshold(ledger, rule, len(keys), f"the record of {what} ({rule.name})")


def _check_reproductions(ledger: Ledger, chain: Chain, rule: StepRule) -> list[SignedStatement]:
    """Check that enough keys reproduced every weight file, and return what they signed."""
    records = {
        one.path: one
        for step in chain.steps_of(rule)
        if not (step.failure or step.is_evaluation)
        for one in step.signed
    }
    of_records = bool(rule.build_types or rule.attributes or rule.materials or rule.products)
    signed: dict[str, SignedStatement] = {}
    for made in chain.reproductions.counting(rule.level, independent=rule.independent):
        runs = [one for one in records.values() if made.is_from(one)]
        if runs or not of_records:
            signed.update({one.path: one for one in (*made.signed, *runs)})
    level = f" to {rule.level}" if rule.level else ""
    what = f"a reproduction of every weight file{level}"
    _check_threshold(ledger, rule, len(_keys(signed.values())), what)
    return list(signed.values())


def _check_build_types(ledger: Ledger, chain: Chain, rule: StepRule) -> None:
    for signed in (signed for step in chain.misfits_of(rule) for signed in step.signed):
        message = f"{signed.path}: {rule.name}: its build type {build_type(signed.statement)} is "
        ledger.problem("policy-rule", f"{message}none that your policy accepts", signed.path)


def _artifact_reasons(chain: Chain, policy: Policy, rule: StepRule, step: Step) -> Iterator[str]:
    read = tuple(_read(step, policy))
    makers = {parse_rule(text, products=False).step for text in rule.materials} - {""}
    products = {
        name: [made for other in chain.steps_of(_rule(policy, name)) for made in other.wrote]
        for name in makers
    }
    model = [(path, sha256) for sha256, path in chain.model.all.items()]
    yield from check_materials(rule, read, products)
    yield from check_products(rule, step.wrote, step.files_read, model)


def _rule(policy: Policy, name: str) -> StepRule:
    return policy.steps.get(name, StepRule(name=name))


def _read(step: Step, policy: Policy) -> Iterator[Artifact]:
    """Yield what artefact rules speak of: files, and what came from a hub by its address."""
    for resource in step.read:
        if is_source(resource) and not is_trusted(policy, resource.uri, resource.sha256):
            # A revision of a hub has no digest but that of its commit.
            pinned = resource.digests.get("gitCommit", "") if resource.uri else ""
            yield resource.name or resource.uri, resource.sha256 or pinned
    if step.is_evaluation:
        yield from step.about
