"""The collectors, and the loop that runs them: one that fails becomes a gap, the others go on."""

import logging
from collections.abc import Iterator
from importlib import import_module

from mlbom.collect.scope import Collector, Scope, Witness
from mlbom.errors import UnreadableError, UsageError
from mlbom.evidence.observation import Gap, GapKind, Observation

COLLECTORS = (
    "mlbom.collect.repository:RepositoryCollector",
    "mlbom.collect.project:ProjectCollector",
    "mlbom.collect.documents:DocumentsCollector",
    "mlbom.collect.hub:HubCollector",
    "mlbom.collect.cards:CardsCollector",
    "mlbom.collect.weights:WeightsCollector",
    "mlbom.collect.loaders:LoadersCollector",
    "mlbom.collect.packages:PackagesCollector",
    "mlbom.collect.runtime:RuntimeCollector",
    "mlbom.collect.accelerator:AcceleratorCollector",
)

_log = logging.getLogger(__name__)


def load_collector(entry: str) -> Collector:
    """Return the collector that a line of `COLLECTORS` names."""
    module, _, name = entry.partition(":")
    collector: Collector = getattr(import_module(module), name)()
    return collector


def collect_all(scope: Scope) -> Iterator[Observation | Gap]:
    """Yield what every collector says. A collector that breaks is a gap of kind unreadable.

    Raises:
        UsageError: the user named something that a collector cannot use, such as --python.
    """
    for entry in COLLECTORS:
        collector = load_collector(entry)
        try:
            yield from collector.collect(scope)
        except UsageError:
            raise
        except UnreadableError as error:
            yield Witness(collector.name).cannot_read(f"collector:{collector.name}", error)
        except OSError as error:
            reason = f"{type(error).__name__}: {error.strerror or 'input/output error'}"
            yield Witness(collector.name).misses(
                f"collector:{collector.name}", reason, kind=GapKind.UNREADABLE
            )
        except Exception as error:  # noqa: BLE001 - the collector loop (architecture: two places)
            _log.debug("collector %s failed", collector.name, exc_info=True)
            reason = f"the collector failed on this input: {type(error).__name__}"
            yield Witness(collector.name).misses(
                f"collector:{collector.name}", reason, kind=GapKind.UNREADABLE
            )
