"""policy: a policy becomes a signed classic layout, a signed policy, or a signed withdrawal."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlbom.attest.bundle import SUFFIX
from mlbom.attest.classic import (
    Inspection,
    Layout,
    LayoutStep,
    classic_envelope,
    keyid,
    layout_payload,
)
from mlbom.attest.moment import timestamp
from mlbom.attest.policy_claim import policy_statement, withdrawal_statement
from mlbom.attest.publickey import PublicKey
from mlbom.attest.statement import unsafe_name
from mlbom.attest.subjects import MANIFEST
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.errors import PathNotFoundError, PolicyError, UsageError
from mlbom.openfile import read_regular
from mlbom.sign.signer import Signer, seal
from mlbom.verify.policy.artifacts import ArtifactRule, parse_rule
from mlbom.verify.policy.file import policy_files
from mlbom.verify.policy.values import RECORD_ROLES, STEP_ROLES, Policy, StepRule, TrustedSigner

SHIPPED = "model-as-shipped"
# An inspection must run something: this reads nothing and changes nothing.
_NOTHING = ("true",)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_MANIFEST = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CompiledLayout:
    """A classic layout that a policy's owner has signed.

    Args:
        data: the bytes of `root.layout`, DSSE form.
        remarks: what the policy demands and a classic layout cannot say, each one line.
    """

    data: bytes
    remarks: tuple[str, ...]


def compile_policy(policy: Policy, expires: int, signer: Signer) -> CompiledLayout:
    """Return the classic layout of a policy, for `in-toto-verify`.

    A layout never demands less of a recorded step than the policy does, as far as it can say it:
    every MATCH is followed by DISALLOW, keys that are revoked or end before the layout does are
    left out, and what cannot be said is told in a remark.

    Args:
        policy: the policy.
        expires: end of the layout, seconds since 1970 UTC.
        signer: of the policy's owner.

    Raises:
        PolicyError: it demands no recorded step, or of one more signers than have plain keys.
        SigningError: the key could not sign.
    """
    rules = tuple(_recorded_steps(policy))
    if not rules:
        message = "the policy demands no recorded step, so a layout would hold nothing"
        raise PolicyError(message, hint="steps: {train: {}} demands a record of the training")
    steps = tuple(_layout_step(policy, rule, expires) for rule in rules)
    shipped = [rule for step in rules for rule in _shipped(step)]
    looks = (Inspection(name=SHIPPED, run=_NOTHING, products=shipped),) if shipped else ()
    layout = Layout(steps=steps, expires=expires, inspections=looks, readme=policy.model)
    envelope = signer.sign(layout_payload(layout), PAYLOAD_TYPE)
    owner = signer.public_key
    remarks = (*_left_out(policy, rules, expires), *_remarks_on(owner, steps))
    return CompiledLayout(classic_envelope(envelope, keyid(owner)), remarks)


def sign_policy(path: Path, signer: Signer) -> tuple[Path, bytes]:
    """Return name and bytes of the bundle by which an owner vouches for a policy.

    It covers the policy and every file that the policy names.

    Raises:
        PolicyError: the policy is not valid, or names a file that is not beside or below it.
        SigningError: the key could not sign.
        and whatever `read_policy` raises.
    """
    files = policy_files(path)
    for name in files:
        if reason := unsafe_name(name):
            message = f"a signed policy names files beside or below it, and {name!r} {reason}"
            raise PolicyError(message)
    sealed = seal(signer, policy_statement(path.name, files))
    return path.with_name(path.name + SUFFIX), sealed.bundle


def withdraw(releases: Iterable[str], why: str, signer: Signer) -> bytes:
    """Return the bundle that withdraws releases.

    Args:
        releases: each the SHA-256 of a manifest, a `model.manifest`, or the folder that holds one.
        why: one line.
        signer: with the role `release` in the policies that are to read it.

    Raises:
        UsageError: no release, or no reason.
        PathNotFoundError: what is no digest is no manifest either.
        SigningError: the key could not sign.
    """
    manifests = [_manifest_digest(release) for release in releases]
    if not manifests or not why.strip():
        message = "a withdrawal names at least one release, and why"
        raise UsageError(message)
    return seal(signer, withdrawal_statement(manifests, why)).bundle


def _manifest_digest(release: str) -> str:
    if _DIGEST.fullmatch(release):
        return release
    path = Path(release)
    path = path / MANIFEST if path.is_dir() else path
    if not path.is_file():
        message = f"no manifest at {release}"
        hint = "name the SHA-256 of a model.manifest, the file itself, or its folder"
        raise PathNotFoundError(message, looked=[str(path.absolute())], hint=hint)
    return hashlib.sha256(read_regular(path.resolve(), _MAX_MANIFEST, release)).hexdigest()


def _recorded_steps(policy: Policy) -> Iterator[StepRule]:
    """Yield the steps that must have a link: those demanded, and those that they match from."""
    wanted = {n: r for n, r in policy.steps.items() if r.required and _is_recorded(n)}
    pending = list(wanted.values())
    while pending:
        for text in pending.pop().materials:
            name = parse_rule(text, products=False).step
            if name and name not in wanted:
                wanted[name] = policy.steps.get(name, StepRule(name=name))
                pending.append(wanted[name])
    order = {name: place for place, name in enumerate(RECORD_ROLES)}
    yield from sorted(wanted.values(), key=lambda rule: order.get(rule.name, 1))


def _is_recorded(name: str) -> bool:
    return name in RECORD_ROLES or name not in STEP_ROLES


def _layout_step(policy: Policy, rule: StepRule, expires: int) -> LayoutStep:
    roles = {STEP_ROLES[rule.name]} if rule.name in STEP_ROLES else set(RECORD_ROLES)
    able = [s for s in policy.signers if s.roles & roles and not _unfit(s, expires)]
    keys = {s.material: s.key for s in able if s.key is not None}
    if len(keys) < rule.threshold:
        message = (
            f"the step {rule.name} needs {rule.threshold} signers, and {len(keys)} have a plain "
            f"key that is good until {timestamp(expires)}"
        )
        hint = "an earlier --expires may help; identities cannot stand in a classic layout"
        raise PolicyError(message, hint=hint)
    materials = [parse_rule(text, products=False) for text in rule.materials]
    products = [parse_rule(text, products=True) for text in rule.products]
    return LayoutStep(
        name=rule.name,
        keys=tuple(keys.values()),
        threshold=rule.threshold,
        materials=tuple(_classic_rules(materials)),
        products=tuple(_classic_rules(products)),
    )


def _unfit(signer: TrustedSigner, expires: int) -> str:
    """Return why a signer cannot stand in a layout, or an empty text."""
    if signer.key is None:
        return "is an identity"
    if signer.revoked is not None:
        return "is revoked"
    if signer.until is not None and signer.until < expires:
        return f"ends before the layout, at {timestamp(signer.until)}"
    return ""


def _classic_rules(rules: list[ArtifactRule]) -> Iterator[tuple[str, ...]]:
    """Yield rules in which, as in ours, the first pattern that fits decides."""
    for rule in rules:
        pattern = _classic_pattern(rule.pattern)
        if rule.step:
            yield ("MATCH", pattern, "WITH", "PRODUCTS", "FROM", rule.step)
            yield ("DISALLOW", pattern)
        elif rule.action == "match":
            yield ("ALLOW", pattern)  # The inspection compares it with the files that are here.
        else:
            yield (rule.action.upper(), pattern)
            if rule.action == "create":
                yield ("DISALLOW", pattern)
    if rules:
        yield ("DISALLOW", "*")


def _shipped(step: StepRule) -> Iterator[tuple[str, ...]]:
    """Yield the rules by which files that are here equal what a step made."""
    for text in step.products:
        rule = parse_rule(text, products=True)
        if rule.action == "match":
            pattern = _classic_pattern(rule.pattern)
            if not set("*?") & set(rule.pattern):
                yield ("REQUIRE", rule.pattern)
            yield ("MATCH", pattern, "WITH", "PRODUCTS", "FROM", step.name)
            yield ("DISALLOW", pattern)


def _classic_pattern(pattern: str) -> str:
    """Return a pattern for `fnmatch`, which reads brackets as well."""
    return pattern.replace("[", "[[]")


def _left_out(policy: Policy, rules: tuple[StepRule, ...], expires: int) -> Iterator[str]:
    """Yield what a classic layout cannot say."""
    for signer in policy.signers:
        if why := _unfit(signer, expires):
            yield f"the signer {signer.name} {why}, and is left out"
        elif signer.since is not None:
            yield f"the key {signer.name} counts from the beginning: a layout knows no `since`"
    named = {rule.name for rule in rules}
    for name, rule in policy.steps.items():
        if name not in named:
            yield f"the step {name} is not recorded or not required, and is left out"
        elif rule.attributes or rule.build_types:
            yield f"the attributes and build types of {name} are not checked by in-toto-verify"
    demands = {
        "trusted-inputs": policy.trusted_inputs,
        "timestamps": policy.timestamp_roots or policy.trust_root,
        "max-age": policy.max_age_s,
        "release": policy.min_version or policy.needs_version,
        "withdrawn": policy.withdrawn,
        "quality": policy.quality.most_gaps is not None
        or policy.quality.reproduction
        or policy.quality.metrics,
    }
    for key, demand in demands.items():
        if demand:
            yield f"{key} is not checked by in-toto-verify"


def _remarks_on(owner: PublicKey, steps: tuple[LayoutStep, ...]) -> Iterator[str]:
    """Yield a remark when the owner's key signs steps as well."""
    for step in steps:
        if any(key.material == owner.material for key in step.keys):
            yield f"the layout's own key also signs {step.name}: who steals it can change both"
