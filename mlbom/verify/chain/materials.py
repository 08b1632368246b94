"""What the joined steps read that no step of the chain made: shown, and trusted by nobody.

A policy's `trusted-inputs` may name some of it: purls of base models and public datasets at pinned
revisions, and digests.
"""

from collections.abc import Iterator
from urllib.parse import unquote

from mlbom.attest.resource import Resource
from mlbom.verify.chain.lineage import Lineage, told_names
from mlbom.verify.chain.steps import EMPTY, Step
from mlbom.verify.policy.pattern import matches
from mlbom.verify.policy.values import Policy
from mlbom.verify.verdict import Ledger, counted

NOBODY = "trusted by nobody"
_TRUSTED = "your policy trusts it"
_PACKAGES = "pkg:pypi/"
_COMMIT_URIS = ("git+", "git:")


def is_trusted(policy: Policy, uri: str = "", sha256: str = "") -> bool:
    """Return whether a policy trusts an input that nobody attests.

    Args:
        policy: the caller's.
        uri: its purl or other address; may be empty.
        sha256: its digest; may be empty.
    """
    told = (unquote(uri), f"sha256:{sha256}" if sha256 else "")
    return any(
        text and (pattern == text if pattern.startswith("sha256:") else matches(pattern, text))
        for pattern in policy.trusted_inputs
        for text in told
    )


def is_source(resource: Resource) -> bool:
    """Return whether a resource is something that a step read, neither package nor commit."""
    is_commit = resource.uri.startswith(_COMMIT_URIS) or not (resource.uri or resource.sha256)
    return not is_commit and not resource.uri.startswith(_PACKAGES)


def list_unresolved(ledger: Ledger, lineage: Lineage, policy: Policy) -> None:
    """Note what each step read from outside the chain: commits, files, hub revisions, packages."""
    for step in lineage.steps:
        files: list[str] = []
        packages: list[str] = []
        for resource in _from_outside(step, lineage):
            if resource.uri.startswith(_PACKAGES):
                if not is_trusted(policy, resource.uri, resource.sha256):
                    packages.append(resource.uri)
            elif resource.sha256 and not resource.uri:
                if is_trusted(policy, sha256=resource.sha256):
                    name = resource.name or f"sha256:{resource.sha256}"
                    ledger.held(f"{name} -> {step.label}", f"sha256:{resource.sha256}", _TRUSTED)
                else:
                    files.append(resource.name or f"sha256:{resource.sha256}")
            else:
                _note_source(ledger, policy, resource, step)
        for what, names in (("file", files), ("package", packages)):
            if names:
                why = f"{NOBODY}: {told_names(names)}"
                name = f"{counted(len(names), what)} -> {step.label}"
                ledger.not_checked(name, "what the record names", why)


def _note_source(ledger: Ledger, policy: Policy, resource: Resource, step: Step) -> None:
    commit = resource.digests.get("gitCommit", "")
    place = resource.uri or resource.name
    checked = f"commit {commit}" if commit else place
    name = f"{place} -> {step.label}"
    if is_trusted(policy, resource.uri, resource.sha256):
        ledger.held(name, checked, _TRUSTED)
    else:
        why = f"named by the record ({commit}), {NOBODY}" if commit else NOBODY
        ledger.not_checked(name, checked, why)


def _from_outside(step: Step, lineage: Lineage) -> Iterator[Resource]:
    """Yield what a step read and no joined step made."""
    for resource in step.read:
        made = not resource.uri and (step.label, resource.sha256) in lineage.makers
        if not made and resource.sha256 != EMPTY:
            yield resource
