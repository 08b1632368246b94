"""The CycloneDX schema files that lie in the installed library, found without importing it."""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mlbom.errors import InvalidBomError


def schema_folder() -> Path:
    """Return the folder of schema files inside cyclonedx-python-lib (a test pins its name).

    Raises:
        InvalidBomError: the library is not installed, or keeps its schemas elsewhere.
    """
    spec = find_spec("cyclonedx")
    for place in spec.submodule_search_locations or () if spec else ():
        folder = Path(place) / "schema" / "_res"
        if folder.is_dir():
            return folder
    message = "the CycloneDX schema files of cyclonedx-python-lib were not found"
    raise InvalidBomError(message, hint="install mlbom again: pip install --force-reinstall mlbom")


@cache
def load_schema(name: str) -> dict[str, Any]:
    """Return a schema by its short name, for example `bom-1.7` or `spdx`."""
    text = (schema_folder() / f"{name}.SNAPSHOT.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
