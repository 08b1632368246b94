"""The environment of a recorded step, read from its files right after the step has ended."""

from collections.abc import Iterator
from pathlib import Path

from mlbom.collect.accelerator import observe_accelerators
from mlbom.collect.environment.site import environment_id, is_own, read_site
from mlbom.collect.packages import PackagesCollector
from mlbom.collect.runtime import RuntimeCollector
from mlbom.collect.scope import Witness
from mlbom.errors import UnreadableError
from mlbom.evidence.graph import Graph
from mlbom.evidence.observation import Gap, Observation


def observe_run_environment(prefix: Path, role: str, workdir: Path) -> Graph:
    """Return the published evidence of the environment that a step ran in; nothing is started.

    The graph holds `Environment`, `Package`, `Runtime` and `Accelerator` nodes and gaps, and tells
    no place of this host: it is what a record carries as `environment.json`.

    Args:
        prefix: `sys.prefix` of the step's Python.
        role: what the step is for: train, eval, data or other.
        workdir: the project root; what lies below it is told relative to it.
    """
    return Graph.of(_observed(prefix, role, workdir)).published()


def _observed(prefix: Path, role: str, workdir: Path) -> Iterator[Observation | Gap]:
    witness = Witness(RuntimeCollector.name)
    inside = prefix.relative_to(workdir).as_posix() if prefix.is_relative_to(workdir) else ""
    remarks = []
    if is_own(prefix):
        remarks.append(
            "mlbom itself runs in this environment: which of its packages are there only for mlbom"
            " is not known"
        )
    try:
        site = read_site(prefix, inside or "the Python that ran the step", remarks, role)
    except UnreadableError as error:
        yield witness.cannot_read(environment_id(role), error)
        return
    from mlbom.collect.environment.inventory import observe_packages
    from mlbom.collect.environment.native import observe_native

    yield from observe_native(site, witness)
    packages = Witness(PackagesCollector.name)
    if site.paths:
        yield from observe_packages(site, workdir, packages)
    else:
        yield packages.misses(site.id, "no site-packages belong to it", field="package_count")
    yield from observe_accelerators(site.id)
