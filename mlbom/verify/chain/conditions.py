"""What policy and memory demand of a release as a whole: which it is, how new, not recalled."""

from dataclasses import dataclass
from urllib.parse import unquote

from mlbom.attest.moment import told_time
from mlbom.verify.memory import UNORDERED_PREFIX, Sighting, State
from mlbom.verify.policy.pattern import matches
from mlbom.verify.policy.values import Policy
from mlbom.verify.signers.trust import Trust
from mlbom.verify.verdict import Ledger

EDGE_POLICY = "policy -> this release"
EDGE_MEMORY = "memory -> this release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """A release as its closing statement names it.

    Args:
        purl: the model's, with the release's version.
        manifest: SHA-256 of model.manifest.
        signer: `TrustedSigner.material` of who closed it.
        cosigners: the same of whoever else did.
        time: when it was closed as somebody trusted vouches for, seconds since 1970, or None.
    """

    purl: str
    manifest: str
    signer: str
    cosigners: tuple[str, ...] = ()
    time: int | None

    @property
    def model(self) -> str:
        """Return the purl without its version."""
        return self.purl.rpartition("@")[0] or self.purl

    @property
    def version(self) -> str:
        """Return the version of the release."""
        return unquote(self.purl.rpartition("@")[2]) if "@" in self.purl else ""

    @property
    def sightings(self) -> tuple[Sighting, ...]:
        """Return what a memory keeps of it.

        Anybody may call a model `pkg:generic/model`, so such names are kept apart by signer. A
        release is then known under each of its signers: an older one from which the signature of
        the first was taken away is still an older one of the others.
        """
        signers = (self.signer, *self.cosigners)
        if not self.model.startswith("pkg:generic/"):
            return (self._sighting(self.model, self.signer, self.cosigners),)
        return tuple(self._sighting(f"{self.model} of {signer}", signer) for signer in signers)

    def _sighting(self, model: str, signer: str, cosigners: tuple[str, ...] = ()) -> Sighting:
        return Sighting(
            model=model,
            version=self.version,
            manifest=self.manifest,
            signer=signer,
            cosigners=cosigners,
        )


def check_conditions(ledger: Ledger, release: Identified, trust: Trust) -> None:
    """Check name, version, age and withdrawal against a policy."""
    policy = trust.policy
    since = len(ledger.problems)
    if policy.model and not matches(policy.model, release.model):
        message = f"this is {release.model}, and your policy is about {policy.model}"
        ledger.problem("wrong-model", message)
    _check_version(ledger, release, policy)
    for name in (release.manifest, release.purl, f"{release.model}@{release.version}"):
        if name in policy.withdrawn:
            ledger.problem("withdrawn", f"{release.purl} was withdrawn: {policy.withdrawn[name]}")
            break
    _check_age(ledger, release, trust)
    demands = (policy.model, policy.min_version, policy.needs_version, policy.withdrawn)
    if any(demands) or policy.max_age_s is not None:
        checked = "name, version, age and withdrawals"
        ledger.judge(EDGE_POLICY, checked, since, "as your policy demands")


def check_memory(ledger: Ledger, release: Identified, state: State, *, signer_named: bool) -> None:
    """Check a release against what earlier verifications of this user saw."""
    since = len(ledger.problems)
    for sighting in release.sightings:
        for concern in state.check(sighting, signer_named=signer_named):
            ledger.problem(concern.rule, concern.message)
    checked = "the highest version seen and who closed it"
    known = any(sighting.model in state.models for sighting in release.sightings)
    why = "nothing newer was seen, by the same signer" if known else "seen for the first time"
    ledger.judge(EDGE_MEMORY, checked, since, why)


def _check_version(ledger: Ledger, release: Identified, policy: Policy) -> None:
    unordered = release.version.startswith(UNORDERED_PREFIX)
    if policy.needs_version and (unordered or not release.version):
        message = f"{release.purl} has no version of its own, and your policy wants one"
        ledger.problem("version-missing", message)
    if not policy.min_version:
        return
    from packaging.version import InvalidVersion, Version

    try:
        low = unordered or Version(release.version) < Version(policy.min_version)
    except InvalidVersion:
        low = True
    if low:
        message = f"{release.version} is not known to be {policy.min_version} or newer"
        ledger.problem("version-too-low", message)


def _check_age(ledger: Ledger, release: Identified, trust: Trust) -> None:
    most = trust.policy.max_age_s
    if most is None:
        return
    if release.time is None:
        message = "your policy bounds the age of a release, and no trusted time tells that of this"
        ledger.problem("no-trusted-time", message)
    elif trust.now - release.time > most:
        days = most // 86400
        message = f"it was closed at {told_time(release.time)}, more than {days} days ago"
        ledger.problem("too-old", message)
