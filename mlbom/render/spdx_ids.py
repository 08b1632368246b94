"""Which licence identifiers the CycloneDX schema accepts as `license.id`."""

from functools import cache

from mlbom.render.schemas import load_schema


def is_listed_licence(identifier: str) -> bool:
    """Return whether an identifier is on the SPDX list that CycloneDX validates against."""
    return identifier in _listed()


@cache
def _listed() -> frozenset[str]:
    return frozenset(load_schema("spdx")["enum"])
