"""What a policy demands of each step: that it is there, by enough keys, and says what it must."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mlbom.verify.bundles import SignedStatement
from mlbom.verify.chain.lineage import Lineage, ModelFiles
from mlbom.verify.chain.materials import is_source, is_trusted
from mlbom.verify.chain.steps import Step
from mlbom.verify.chain.training import trained_weights
from mlbom.verify.kinds import EVAL, TRAIN, build_type_of
from mlbom.verify.policy.artifacts import Artifact, check_materials, check_products
from mlbom.verify.policy.attributes import check_attributes
from mlbom.verify.policy.values import STEP_ROLES, Policy, StepRule
from mlbom.verify.verdict import Ledger, counted

# Steps that are no records: a statement about the release as a whole.
_STATED = ("weights", "bom", "release", "review")
_RECORD_STEPS = ("data", "train", "eval", "reproduce")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What was found of a release's chain.

    Args:
        signed: the good statements that the release binds.
        lineage: the steps that lead to the model.
        model: its files.
    """

    signed: tuple[SignedStatement, ...]
    lineage: Lineage
    model: ModelFiles

    def steps_of(self, rule: StepRule) -> tuple[Step, ...]:
        """Return the joined steps that a rule is about, of the build types that it accepts."""
        found = (s for s in self.lineage.steps if _is_of(rule.name, s))
        return tuple(
            step
            for step in found
            if not rule.build_types or build_type_of(step.signed[0].statement) in rule.build_types
        )


def check_demands(ledger: Ledger, chain: Chain, policy: Policy) -> None:
    """Hold every rule of a policy for a step against what the release holds."""
    for rule in policy.steps.values():
        since = len(ledger.problems)
        if rule.name in _STATED:
            signed = [s for s in chain.signed if s.kind.step == rule.name]
            keys = _keys(signed)
            _check_threshold(ledger, rule, len(keys), f"the {rule.name} statement")
        else:
            steps = chain.steps_of(rule)
            signed = [s for step in steps for s in step.signed]
            keys = _keys(signed)
            _check_steps(ledger, chain, policy, rule)
        for statement in signed:
            for reason in check_attributes(rule, statement.document):
                ledger.problem("policy-rule", f"{statement.path}: {reason}", statement.path)
        told = f"{counted(len(signed), 'signature')} by {counted(len(keys), 'key')}"
        checked = f"what your policy demands of the step {rule.name}"
        if signed or rule.required:
            ledger.judge(f"policy -> {rule.name}", checked, since, told)
        else:
            ledger.not_checked(f"policy -> {rule.name}", checked, "not there, and not required")


def _is_of(name: str, step: Step) -> bool:
    if name in _RECORD_STEPS:
        return step.kind.step == name
    return name not in STEP_ROLES and step.name == name


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
    for step in steps:
        for reason in _artifact_reasons(chain, policy, rule, step):
            path = step.signed[0].path
            ledger.problem("policy-rule", f"{path}: {reason}", path)


def _artifact_reasons(chain: Chain, policy: Policy, rule: StepRule, step: Step) -> Iterator[str]:
    read = tuple(_read(step, policy))
    products: dict[str, list[Artifact]] = {}
    for other in chain.lineage.steps:
        for name in {other.name, other.kind.step} - {""}:
            products.setdefault(name, []).extend(other.wrote)
    model = [(path, sha256) for sha256, path in chain.model.all.items()]
    yield from check_materials(rule, read, products)
    yield from check_products(rule, step.wrote, step.files_read, model)


def _read(step: Step, policy: Policy) -> Iterator[Artifact]:
    """Yield what artefact rules speak of: files, and what came from a hub by its address."""
    for resource in step.read:
        if is_source(resource) and not is_trusted(policy, resource.uri, resource.sha256):
            yield resource.name or resource.uri, resource.sha256
    if step.is_evaluation:
        yield from step.about
