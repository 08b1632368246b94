"""Demands that do not touch trust: how complete the evidence is, how good the numbers are."""

from collections.abc import Iterable, Mapping

from mlbom.evidence.graph import Graph
from mlbom.verify.chain.reproductions import Reproductions
from mlbom.verify.chain.steps import Step
from mlbom.verify.kinds import REBUILD
from mlbom.verify.policy.values import Policy, Quality
from mlbom.verify.verdict import Ledger, counted

EDGE_QUALITY = "policy -> quality"


def check_quality(
    ledger: Ledger,
    policy: Policy,
    graph: Graph,
    steps: Iterable[Step],
    reproductions: Reproductions,
) -> None:
    """Hold the quality rules of a policy against evidence, records and reproductions.

    Args:
        ledger: takes problems and the edge.
        policy: the caller's.
        graph: the evidence, for its gaps; its metrics nobody signed as measured.
        steps: the joined steps, for the metrics of those that did not fail.
        reproductions: what rebuilders state.
    """
    wanted = policy.quality
    since = len(ledger.problems)
    gaps = len(graph.gaps)
    if wanted.most_gaps is not None and gaps > wanted.most_gaps:
        message = f"the evidence has {counted(gaps, 'gap')}, your policy allows {wanted.most_gaps}"
        ledger.problem("quality", message, "evidence.json")
    values = _metrics(steps)
    for name, least in sorted(wanted.metrics.items()):
        value = values.get(name)
        if value is None:
            ledger.problem("quality", f"no signed record tells {name}, your policy wants {least}")
        elif not value >= least:
            ledger.problem("quality", f"{name} is {value}, your policy wants at least {least}")
    if wanted.reproduction:
        _check_reproduction(ledger, wanted, reproductions)
    if wanted.most_gaps is not None or wanted.metrics or wanted.reproduction:
        checked = "gaps, metrics and reproduction"
        ledger.judge(EDGE_QUALITY, checked, since, "as your policy demands")


def _metrics(steps: Iterable[Step]) -> Mapping[str, float]:
    """Return the value of each metric as the joined records of steps that did not fail tell it.

    What training again reported is about the weights that it made.
    """
    values: dict[str, float] = {}
    good = (step for step in steps if not step.failure and step.kind is not REBUILD)
    for step in sorted(good, key=lambda step: (step.is_evaluation, step.finished or 0)):
        for metric in step.metrics:
            name, value = metric.get("name"), metric.get("value")
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if isinstance(name, str) and number:
                values[name] = float(value or 0)
    return values


def _check_reproduction(ledger: Ledger, wanted: Quality, found: Reproductions) -> None:
    """Count the keys that reproduced every weight file closely enough."""
    independent = wanted.reproduction_independent
    enough = found.counting(wanted.reproduction, independent=independent)
    keys = {made.signer.material for made in enough}
    if len(keys) >= wanted.reproduction_threshold:
        return
    who = "independent key" if independent else "key"
    by = f" by {counted(wanted.reproduction_threshold, who)}"
    plain = wanted.reproduction_threshold == 1 and not independent
    demand = wanted.reproduction if plain else f"{wanted.reproduction}{by}, {len(keys)} found"
    reached = ", ".join(sorted({made.level for made in found.made})) or "none"
    message = f"reproduced to the level: {reached}; your policy wants {demand}"
    ledger.problem("quality", message)
