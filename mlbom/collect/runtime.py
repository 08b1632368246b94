"""The inspected Python itself and the native layer below its packages: torch build, CUDA, cuDNN."""

from collections.abc import Iterator

from mlbom.collect.environment.site import RELEASE, NoSite, environment_id, find_site
from mlbom.collect.scope import Scope, Witness
from mlbom.evidence.observation import Gap, Observation


class RuntimeCollector:
    """Reads pyvenv.cfg, `torch/version.py`, wheel tags and `nvidia-*` metadata."""

    name = "runtime"

    def collect(self, scope: Scope) -> Iterator[Observation | Gap]:
        """Yield the `Environment` and a `Runtime` for each native layer that files tell of.

        Raises:
            UsageError: the interpreter named by the user is none (see `find_site`).
        """
        witness = Witness(self.name)
        site = find_site(scope)
        if isinstance(site, NoSite):
            reason = f"packages, native libraries and accelerators are not known: {site.reason}"
            yield witness.misses(environment_id(RELEASE), reason, kind=site.kind)
            return
        from mlbom.collect.environment.native import observe_native

        yield from observe_native(site, witness)
