"""A policy file becomes a `Policy`: strict YAML, every key known, every demand possible.

The form is described in docs/policy.md and by `policy.schema.json` beside this module; what a
schema cannot say (names that must exist, thresholds that can be reached, files that hold keys) is
checked here as well.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mlbom.attest.publickey import PublicKey
from mlbom.formats.strict_yaml import parse_yaml
from mlbom.verify.policy.field import Field
from mlbom.verify.policy.seal import (
    PolicyFolder,
    check_owner,
    read_certificates,
    read_trust_root,
    read_withdrawals,
)
from mlbom.verify.policy.signers import read_signers
from mlbom.verify.policy.steps import MOST_SIGNERS, read_steps
from mlbom.verify.policy.values import (
    REPRODUCE,
    REPRODUCTION_LEVELS,
    STEP_ROLES,
    Policy,
    Quality,
    StepRule,
    TrustedSigner,
)

SHA256 = r"[0-9a-f]{64}"
TRUSTED_INPUT = rf"pkg:\S+|sha256:{SHA256}"
_KEYS = (
    "version",
    "model",
    "keys",
    "identities",
    "roles",
    "steps",
    "trusted-inputs",
    "timestamps",
    "max-age",
    "release",
    "withdrawn",
    "withdrawals",
    "ignore",
    "quality",
)


def read_policy(path: Path) -> Policy:
    """Read a policy file, and the keys and other files that it names.

    Args:
        path: a YAML file; what it names is relative to its folder.

    Raises:
        PathNotFoundError: the policy is not there.
        PolicyError: it cannot be obeyed as it is written; the message names the place.
        MalformedError, LimitError: it is not YAML, or made to exhaust the reader.
        UntrustedPolicyError: a file of withdrawals is not signed by a `release` key.
    """
    return _policy(PolicyFolder.of(path))


def read_signed_policy(path: Path, owners: Iterable[PublicKey]) -> Policy:
    """Read a policy file that one of its owners has signed (`mlbom policy sign`).

    The signature in FILE.sigstore.json is checked first, then every byte that is read is held
    against it: the policy's, and those of each file that the policy names.

    Raises:
        UntrustedPolicyError: no good signature by an owner, or other bytes than the signed ones.
        and whatever `read_policy` raises.
    """
    return _policy(check_owner(PolicyFolder.of(path), tuple(owners)))


def policy_files(path: Path) -> Mapping[str, str]:
    """Return the SHA-256 of a valid policy and of each file that it names, by relative path.

    Raises:
        as `read_policy`.
    """
    folder = PolicyFolder.of(path)
    _policy(folder)
    return dict(folder.digests)


def _policy(folder: PolicyFolder) -> Policy:
    document = Field(parse_yaml(folder.policy(), folder.path.name), "", folder.path.name)
    told = document.table(_KEYS, required=("version", "roles"))
    told["version"].whole(1, 1)
    signers = read_signers(document, told, folder)
    steps = read_steps(told["steps"]) if "steps" in told else {}
    _check_thresholds(told, steps, signers)
    more = told["timestamps"].table(("roots", "trust-root")) if "timestamps" in told else {}
    release = told["release"].table(("min-version", "needs-version")) if "release" in told else {}
    return Policy(
        signers=signers,
        steps=steps,
        model=_model(told["model"]) if "model" in told else "",
        trusted_inputs=tuple(_trusted_inputs(told)),
        timestamp_roots=read_certificates(more["roots"], folder) if "roots" in more else (),
        trust_root=read_trust_root(more["trust-root"], folder) if "trust-root" in more else None,
        max_age_s=told["max-age"].age() if "max-age" in told else None,
        min_version=_min_version(release["min-version"]) if "min-version" in release else "",
        needs_version=release["needs-version"].flag() if "needs-version" in release else False,
        withdrawn=dict(_withdrawn(told, signers, folder)),
        ignore=tuple(_ignored(told)),
        quality=_quality(told["quality"], signers) if "quality" in told else Quality(),
    )


def _check_thresholds(
    told: Mapping[str, Field], steps: Mapping[str, StepRule], signers: tuple[TrustedSigner, ...]
) -> None:
    """Refuse a required step that nobody, or too few, could ever sign."""
    for name, rule in steps.items():
        role = STEP_ROLES.get(name)
        if role is None or not rule.required:
            continue
        _check_able(told["steps"].at(name, None), signers, rule.threshold, role)


def _check_able(
    place: Field, signers: tuple[TrustedSigner, ...], threshold: int, role: str
) -> None:
    able = {signer.material for signer in signers if role in signer.roles}
    if len(able) < threshold:
        message = f"needs {threshold} signers with the role {role}, there are {len(able)}"
        place.refuse(message, "the same key under two names counts once")


def _model(field: Field) -> str:
    pattern = field.text(r"pkg:\S+", "a purl, with * where anything may stand")
    if "@" in pattern:
        field.refuse("takes a purl without a version", "release.min-version bounds versions")
    return pattern


def _trusted_inputs(told: Mapping[str, Field]) -> Iterator[str]:
    for item in told["trusted-inputs"].items() if "trusted-inputs" in told else ():
        yield item.text(TRUSTED_INPUT, "a purl, or sha256: and 64 lower-case hexadecimal digits")


def _min_version(field: Field) -> str:
    from packaging.version import InvalidVersion, Version

    version = field.text()
    try:
        Version(version)
    except InvalidVersion:
        field.wrong("a version that has an order (PEP 440)")
    return version


def _withdrawn(
    told: Mapping[str, Field], signers: tuple[TrustedSigner, ...], folder: PolicyFolder
) -> Iterator[tuple[str, str]]:
    """Yield what is withdrawn and why: signed entries first, the policy's own words win."""
    if "withdrawals" in told:
        yield from read_withdrawals(told["withdrawals"], signers, folder)
    for item in told["withdrawn"].items() if "withdrawn" in told else ():
        entry = item.table(("manifest", "purl", "why"), required=("why",))
        if ("manifest" in entry) == ("purl" in entry):
            item.refuse("takes exactly one of manifest and purl")
        if "manifest" in entry:
            key = entry["manifest"].text(SHA256, "the SHA-256 of a model.manifest")
        else:
            key = entry["purl"].text(r"pkg:\S+@\S+", "a purl with its version")
        yield key, entry["why"].text()


def _ignored(told: Mapping[str, Field]) -> Iterator[str]:
    from mlbom.attest.statement import unsafe_name

    for item in told["ignore"].items() if "ignore" in told else ():
        prefix = item.text()
        if reason := unsafe_name(prefix):
            item.refuse(f"takes a path relative to the model; {prefix[:60]!r} {reason}")
        yield prefix


def _quality(field: Field, signers: tuple[TrustedSigner, ...]) -> Quality:
    told = field.table(("most-gaps", "metrics", "reproduction"))
    metrics = told["metrics"].named("metrics") if "metrics" in told else ()
    level, threshold, independent = "", 1, False
    if "reproduction" in told:
        level, threshold, independent = _reproduction(told["reproduction"], signers)
    return Quality(
        most_gaps=told["most-gaps"].whole(0, 10**9) if "most-gaps" in told else None,
        reproduction=level,
        reproduction_threshold=threshold,
        reproduction_independent=independent,
        metrics={name: metric.number() for name, metric in metrics},
    )


def _reproduction(field: Field, signers: tuple[TrustedSigner, ...]) -> tuple[str, int, bool]:
    """Return level, threshold and independence: a level alone, or a table of them.

    Raises:
        PolicyError: another form, or a threshold that nobody could ever reach.
    """
    if not isinstance(field.value, dict):
        return field.choice(REPRODUCTION_LEVELS), 1, False
    told = field.table(("level", "threshold", "independent"), required=("level",))
    threshold = told["threshold"].whole(1, MOST_SIGNERS) if "threshold" in told else 1
    _check_able(field, signers, threshold, STEP_ROLES[REPRODUCE])
    independent = told["independent"].flag() if "independent" in told else False
    return told["level"].choice(REPRODUCTION_LEVELS), threshold, independent
