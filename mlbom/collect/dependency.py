"""Which installed distributions require which: Requires-Dist, read for the inspected environment.

Markers (PEP 508, PyPA "Dependency specifiers") are evaluated with the values of the inspected
Python, never those of the Python that runs mlbom.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlbom.collect.distribution import Distribution, normal_name
from mlbom.collect.scope import first_lines
from mlbom.collect.site import Site

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_MAX_REQUIREMENT = 4096
_MAX_SHOWN = 80
_SYSTEMS = {
    "linux": ("posix", "linux", "Linux"),
    "macosx": ("posix", "darwin", "Darwin"),
    "win": ("nt", "win32", "Windows"),
    "freebsd": ("posix", "freebsd", "FreeBSD"),
}
_WINDOWS_MACHINES = {"win32": "x86", "win_amd64": "AMD64", "win_arm64": "ARM64"}


def marker_environment(site: Site) -> Mapping[str, str]:
    """Return the values of all marker variables in the inspected environment.

    The kernel's release and version are left empty: they belong to a host, not to an environment.
    """
    minor = ".".join(site.python_version.split(".")[:2])
    prefix, _, machine = site.platform_tag.partition("_")
    system = "win" if prefix == "win32" else prefix
    os_name, sys_platform, platform_system = _SYSTEMS.get(system, ("posix", system, system.title()))
    return {
        "implementation_name": site.implementation.lower(),
        "implementation_version": site.python_version,
        "os_name": os_name,
        "platform_machine": _WINDOWS_MACHINES.get(site.platform_tag, machine),
        "platform_python_implementation": site.implementation,
        "platform_release": "",
        "platform_system": platform_system,
        "platform_version": "",
        "python_full_version": site.python_version,
        "python_version": minor,
        "sys_platform": sys_platform,
    }


@dataclass(slots=True)
class Needs:
    """What one distribution requires in the inspected environment.

    Args:
        depends_on: normalised names of installed distributions.
        extras: (extra, requirement) for what an activated extra added.
        missing: (requirement, version) of what is not installed, or installed in a version that
            does not fit; the version is empty for the former.
        malformed: requirements that could not be understood, each with the reason.
    """

    depends_on: set[str] = field(default_factory=set)
    extras: set[tuple[str, str]] = field(default_factory=set)
    missing: set[tuple[str, str]] = field(default_factory=set)
    malformed: set[tuple[str, str]] = field(default_factory=set)


def dependency_graph(
    distributions: Sequence[Distribution], environment: Mapping[str, str]
) -> Mapping[str, Needs]:
    """Return what each distribution requires, by normalised name.

    An extra is active when a distribution that is installed asks for it, directly or through
    another extra. Extras that a person asked for at installation are recorded nowhere.

    Args:
        distributions: what is installed, each name once.
        environment: the marker values of the inspected environment.
    """
    by_key = {found.key: found for found in distributions}
    needs = {key: Needs() for key in by_key}
    asked = {key: _requirements(found, needs[key]) for key, found in by_key.items()}
    active: dict[str, set[str]] = defaultdict(set)
    pending = list(by_key)
    while pending:
        key = pending.pop()
        for requirement, text in asked[key]:
            if not _applies(requirement, text, environment, active[key], needs[key]):
                continue
            wanted = normal_name(requirement.name)
            fresh = {normal_name(extra) for extra in requirement.extras} - active[wanted]
            if wanted in by_key and fresh:
                active[wanted] |= fresh
                pending.append(wanted)
            _note(requirement, by_key, key, needs[key])
    return needs


def _requirements(found: Distribution, needs: Needs) -> list[tuple["Requirement", str]]:
    from packaging.requirements import InvalidRequirement, Requirement

    parsed: list[tuple[Requirement, str]] = []
    for text in found.many("requires-dist"):
        if len(text) > _MAX_REQUIREMENT:
            needs.malformed.add((_short(text), f"longer than {_MAX_REQUIREMENT} characters"))
            continue
        try:
            parsed.append((Requirement(text), text))
        except (InvalidRequirement, RecursionError) as error:
            needs.malformed.add((_short(text), type(error).__name__))
    return parsed


def _applies(
    requirement: "Requirement",
    text: str,
    environment: Mapping[str, str],
    active: set[str],
    needs: Needs,
) -> bool:
    """Return whether a requirement holds, and note which extra it holds for, if it needs one."""
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName

    marker = requirement.marker
    if marker is None:
        return True
    try:
        if marker.evaluate({**environment, "extra": ""}):
            return True
        added = {extra for extra in active if marker.evaluate({**environment, "extra": extra})}
    except (UndefinedComparison, UndefinedEnvironmentName, RecursionError) as error:
        needs.malformed.add((_short(text), type(error).__name__))
        return False
    needs.extras |= {(extra, _plain(requirement)) for extra in added}
    return bool(added)


def _note(
    requirement: "Requirement", by_key: Mapping[str, Distribution], key: str, needs: Needs
) -> None:
    """Note whether the required distribution is here, and in a version that fits."""
    from packaging.version import InvalidVersion, Version

    wanted = normal_name(requirement.name)
    found = by_key.get(wanted)
    if found is None:
        needs.missing.add((_plain(requirement), ""))
        return
    if wanted != key:
        needs.depends_on.add(wanted)
    try:
        fits = requirement.specifier.contains(Version(found.version), prereleases=True)
    except InvalidVersion:
        fits = True
    if not fits:
        needs.missing.add((_plain(requirement), found.version))


def _plain(requirement: "Requirement") -> str:
    """Return a requirement without its marker and without the address of a direct reference."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"


def _short(text: str) -> str:
    return first_lines(text, _MAX_SHOWN)
