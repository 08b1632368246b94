"""The installed Python distributions of the inspected environment, and what requires what."""

from collections.abc import Iterator

from mlbom.collect.environment.site import NoSite, find_site
from mlbom.collect.scope import Scope, Witness
from mlbom.evidence.observation import Gap, Observation


class PackagesCollector:
    """Reads the metadata of every distribution on the inspected import path."""

    name = "packages"

    def collect(self, scope: Scope) -> Iterator[Observation | Gap]:
        """Yield a `Package` for each distribution, and what about it is not known.

        Raises:
            UsageError: the interpreter named by the user is none (see `find_site`).
        """
        witness = Witness(self.name)
        site = find_site(scope)
        if isinstance(site, NoSite):
            return  # The runtime collector says so, once for all three.
        from mlbom.collect.environment.inventory import observe_packages

        yield from observe_packages(site, scope.project_root, witness)
