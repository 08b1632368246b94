"""Validate a BOM before it is written: the official schema, then what no schema can say."""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from mlbom.errors import InvalidBomError
from mlbom.render.lint import lint_bom
from mlbom.render.schemas import load_schema

if TYPE_CHECKING:
    import jsonschema_rs

# References inside the schemas keep the SNAPSHOT name, while each file's own $id does not.
_REFERENCED = ("spdx", "jsf-0.82", "cryptography-defs")
_SHOWN = 5


def validate_bom(bom: dict[str, Any]) -> None:
    """Check a BOM that mlbom made.

    Raises:
        InvalidBomError: the schema or the lint found something; nothing may be written then.
    """
    problems = [*schema_problems(bom), *lint_bom(bom)]
    if problems:
        message = f"the BOM is not valid: {problems[0]}"
        raise InvalidBomError(message, looked=problems[1:_SHOWN])


def schema_problems(bom: Any) -> Iterable[str]:  # noqa: ANN401 - any JSON value
    """Yield where a BOM departs from the JSON schema of its specVersion (1.5, 1.6 or 1.7)."""
    version = bom.get("specVersion") if isinstance(bom, dict) else None
    if version not in ("1.5", "1.6", "1.7"):
        yield f"specVersion {version!r} is none of 1.5, 1.6, 1.7"
        return
    for error in _validator(version).iter_errors(bom):
        place = "/" + "/".join(str(part) for part in error.instance_path)
        yield f"{place}: {error.message}"


@cache
def _validator(version: str) -> "jsonschema_rs.Draft7Validator":
    import jsonschema_rs

    resources = [
        (f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", load_schema(name))
        for name in _REFERENCED
    ]
    registry = jsonschema_rs.Registry(resources, draft=jsonschema_rs.Draft7)
    return jsonschema_rs.Draft7Validator(
        load_schema(f"bom-{version}"), registry=registry, validate_formats=True
    )
