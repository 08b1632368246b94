"""What the joined steps read that no step of the chain made: shown, and trusted by nobody.

A policy's `trusted-inputs` may name some of it: purls of base models and public datasets at pinned
revisions, and digests.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from mlbom.attest.resource import Resource
from mlbom.attest.run_claim import EMPTY
from mlbom.verify.chain.lineage import Lineage, told_names
from mlbom.verify.chain.steps import Step
from mlbom.verify.policy.pattern import matches
from mlbom.verify.policy.values import Policy
from mlbom.verify.verdict import Ledger, counted

NOBODY = "trusted by nobody"
_TRUSTED = "your policy trusts it"
_PACKAGES = "pkg:pypi/"
_COMMIT_URIS = ("git+", "git:")
# What a record calls the commit that a step ran from.
_COMMIT_NAME = "source"
# Equal in the name of a package (packaging.python.org, name normalisation).
_SEPARATORS = re.compile(r"[-_.]+")


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
    """Return whether a resource is something that a step read, neither package nor commit.

    Only what has the whole form of a package or a commit is one: an address written beside the
    name and digest of a file takes it out of no rule.
    """
    if resource.uri.startswith(_PACKAGES):
        package = unquote(resource.uri).removeprefix(_PACKAGES).partition("@")[0]
        return bool(resource.name) and _SEPARATORS.sub("-", resource.name).lower() != package
    is_address = not resource.uri or resource.uri.startswith(_COMMIT_URIS)
    is_commit = is_address and resource.digests.keys() == {"gitCommit"}
    return not is_commit or resource.name not in ("", _COMMIT_NAME)


def list_unresolved(ledger: Ledger, lineage: Lineage, policy: Policy) -> None:
    """Note what each step read from outside the chain: commits, files, hub revisions, packages."""
    for step in lineage.steps:
        files: list[str] = []
        packages: list[str] = []
        for resource in _from_outside(step, lineage):
            if resource.uri.startswith(_PACKAGES):
                if not is_trusted(policy, resource.uri, resource.sha256):
                    packages.append(resource.uri)
            elif resource.is_file:
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
