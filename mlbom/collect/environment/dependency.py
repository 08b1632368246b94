"""Which installed distributions require which: Requires-Dist, read for the inspected environment.

Markers (PEP 508, PyPA "Dependency specifiers") are evaluated with the values of the inspected
Python, never those of the Python that runs mlbom.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlbom.collect.environment.distribution import Distribution, normal_name
from mlbom.collect.environment.site import Site
from mlbom.collect.scope import shortened

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_MAX_LENGTH = 4096
_MAX_REQUIREMENTS = 5000
# Markers evaluated altogether: a large environment needs a few thousand.
_MAX_EVALUATIONS = 200_000
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
    return _Resolver(distributions, environment).resolve()


class _Resolver:
    """Follows requirements and the extras that they activate, each extra of a distribution once."""

    def __init__(
        self, distributions: Sequence[Distribution], environment: Mapping[str, str]
    ) -> None:
        self._by_key = {found.key: found for found in distributions}
        self._environment = environment
        self._needs = {key: Needs() for key in self._by_key}
        # What to look at: distributions and one extra of theirs, first all without an extra.
        self._pending = deque((key, "") for key in self._by_key)
        self._active = set(self._pending)
        self._always: set[tuple[str, str]] = set()

    def resolve(self) -> Mapping[str, Needs]:
        asked = {key: self._requirements(key) for key in self._by_key}
        budget = _MAX_EVALUATIONS
        while self._pending:
            key, extra = self._pending.popleft()
            budget -= len(asked[key])
            if budget < 0:
                self._needs[key].malformed.add((key, "too many extras and requirements to follow"))
                continue
            for requirement in asked[key]:
                self._follow(key, extra, requirement)
        return self._needs

    def _requirements(self, key: str) -> list["Requirement"]:
        from packaging.requirements import InvalidRequirement, Requirement

        parsed: list[Requirement] = []
        malformed = self._needs[key].malformed
        told = self._by_key[key].many("requires-dist")
        if len(told) > _MAX_REQUIREMENTS:
            malformed.add((key, f"more than {_MAX_REQUIREMENTS} requirements"))
        for text in told[:_MAX_REQUIREMENTS]:
            if len(text) > _MAX_LENGTH:
                malformed.add((_short(text), f"longer than {_MAX_LENGTH} characters"))
                continue
            try:
                parsed.append(Requirement(text))
            except (InvalidRequirement, RecursionError) as error:
                malformed.add((_short(text), type(error).__name__))
        return parsed

    def _follow(self, key: str, extra: str, requirement: "Requirement") -> None:
        """Note a requirement if it holds when an extra, or none, is asked for."""
        text = str(requirement)
        if (key, text) in self._always or not self._holds(key, extra, requirement):
            return
        if extra:
            self._needs[key].extras.add((extra, _plain(requirement)))
        else:
            self._always.add((key, text))
        wanted = normal_name(requirement.name)
        found = self._by_key.get(wanted)
        _note(requirement, found, self._by_key[key], self._needs[key])
        if found:
            asked = {(wanted, normal_name(name)) for name in requirement.extras}
            self._pending.extend(sorted(asked - self._active))
            self._active |= asked

    def _holds(self, key: str, extra: str, requirement: "Requirement") -> bool:
        from packaging.markers import UndefinedComparison, UndefinedEnvironmentName

        if requirement.marker is None:
            return True
        try:
            return requirement.marker.evaluate({**self._environment, "extra": extra})
        except (UndefinedComparison, UndefinedEnvironmentName, RecursionError) as error:
            told = (_short(str(requirement)), type(error).__name__)
            self._needs[key].malformed.add(told)
            return False


def _note(
    requirement: "Requirement", found: Distribution | None, by: Distribution, needs: Needs
) -> None:
    """Note whether the required distribution is here, and in a version that fits."""
    from packaging.version import InvalidVersion, Version

    if found is None:
        needs.missing.add((_plain(requirement), ""))
        return
    if found is not by:
        needs.depends_on.add(found.key)
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
    return shortened(text, _MAX_SHOWN)
