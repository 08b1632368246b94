"""What the caller demands of a release, as values: who may sign what, and which steps must hold.

`mlbom.verify.policy.file` reads one from YAML; `--key` and `--identity` make one without rules;
`mlbom.verify.release` obeys it. Nothing here comes from the release itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlbom.attest.ladder import LEVELS
from mlbom.attest.publickey import PublicKey

# chain.md section 3.
ROLES = ("data", "train", "eval", "bom", "release", "rebuild", "review", "verifier")
REPRODUCE = "reproduce"
# Step -> the role that its signers need. A step that is named after a record has the role of the
# record's kind.
STEP_ROLES: Mapping[str, str] = {
    "data": "data",
    "train": "train",
    "eval": "eval",
    "weights": "release",
    "bom": "bom",
    "release": "release",
    "review": "review",
    REPRODUCE: "rebuild",
}
# What a record of a step may be signed for; kind `other` is signed by `data`.
RECORD_ROLES = ("data", "train", "eval")
# The steps above that are records; the others are statements about the release as a whole.
RECORD_STEPS = (*RECORD_ROLES, REPRODUCE)
# Levels of reproduction, the strictest first.
REPRODUCTION_LEVELS = LEVELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A signer known by certificate: who, as an OIDC issuer vouches for it.

    Args:
        subject: pattern (`*` any text, `?` one character) that the whole subject alternative name
            of the certificate must match.
        issuer: OIDC issuer URL, equal to that of the certificate.
    """

    subject: str
    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedSigner:
    """Somebody whose signatures count, for some roles, in a window of time.

    Args:
        name: how the policy calls the signer; the key's fingerprint when it has no name.
        key: a public key, or None for an identity.
        identity: an identity, or None for a key.
        roles: what the signer may state.
        since: start of the window, seconds since 1970, or None.
        until: end of the window, seconds since 1970, or None.
        revoked: time from which nothing counts any more, or None. A signature is from before it
            only when a trusted timestamp or log entry says so.
    """

    name: str
    key: PublicKey | None = None
    identity: Identity | None = None
    roles: frozenset[str] = frozenset(ROLES)
    since: int | None = None
    until: int | None = None
    revoked: int | None = None

    @property
    def material(self) -> str:
        """Return what thresholds count: equal keys are one, whatever they are called."""
        if self.key is not None:
            return self.key.material
        who = self.identity
        return f"{who.issuer} {who.subject}" if who else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeRule:
    """One demand on a statement.

    Args:
        pointer: JSON pointer (RFC 6901) into the statement, for example
            `/predicate/buildDefinition/buildType`.
        operator: equals, one-of, matches (pattern with `*` and `?`), at-least, at-most, present
            or absent.
        value: what to compare with; None for present and absent.
    """

    pointer: str
    operator: str
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRule:
    """What is demanded of one step of the chain.

    Args:
        name: data, train, eval, weights, bom, release, review or reproduce; or `NAME` of a record
            made by `mlbom run --name NAME`.
        required: whether the release is refused without it.
        threshold: how many signers with distinct key material must have signed.
        role: what the record of a step with a name of its own is signed for; any when empty.
        level: of the step reproduce: the least level that counts; any when empty.
        independent: of the step reproduce: whether those who signed the training or closed the
            release do not count.
        build_types: accepted build types; () accepts any.
        attributes: demands on each statement of the step.
        materials: rules for what the step read, in order, first match decides: `match PATTERN from
            STEP` (equal digest to a product of that step), `allow PATTERN`, `disallow PATTERN`.
        products: the same for what it wrote: `create`, `match … in model`, `allow`, `disallow`.
    """

    name: str
    required: bool = True
    threshold: int = 1
    role: str = ""
    level: str = ""
    independent: bool = False
    build_types: tuple[str, ...] = ()
    attributes: tuple[AttributeRule, ...] = ()
    materials: tuple[str, ...] = ()
    products: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Demands that end with 1 when everything else holds (chain.md section 3, item 7).

    Args:
        most_gaps: most gaps of the evidence, or None.
        reproduction: the least level of reproduction, or empty.
        reproduction_threshold: how many signers with distinct key material must have reached it.
        reproduction_independent: whether those who signed the training or closed the release do
            not count.
        metrics: metric name -> least value.
    """

    most_gaps: int | None = None
    reproduction: str = ""
    reproduction_threshold: int = 1
    reproduction_independent: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything that the caller demands.

    Args:
        signers: who is trusted.
        steps: rules by step; a step without a rule is checked when it is there.
        model: pattern that the purl without its version must match, or empty.
        trusted_inputs: patterns of purls (base models, public datasets at pinned revisions) and
            `sha256:` digests that are trusted although nobody attests them.
        timestamp_roots: PEM certificates of trusted timestamp authorities.
        trust_root: a Sigstore trusted_root.json, or PEM certificates of ordinary authorities; None
            for the root that ships with sigstore.
        max_age_s: most seconds since the closing signature by a trusted time, or None.
        min_version: least version of the release, or empty.
        needs_version: whether a `0+…` version is refused.
        withdrawn: manifest digest or versioned purl -> why it was withdrawn.
        ignore: further root-relative prefixes that this verifier leaves out of the model.
        quality: demands that end with 1.
    """

    signers: tuple[TrustedSigner, ...]
    steps: Mapping[str, StepRule] = field(default_factory=dict)
    model: str = ""
    trusted_inputs: tuple[str, ...] = ()
    timestamp_roots: tuple[bytes, ...] = ()
    trust_root: bytes | None = None
    max_age_s: int | None = None
    min_version: str = ""
    needs_version: bool = False
    withdrawn: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    quality: Quality = field(default_factory=Quality)
