"""Strict YAML: plain data only, bounded in size, depth and aliases."""

import datetime
from typing import Any

from mlbom.errors import LimitError, MalformedError

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64
MAX_ALIASES = 256
MAX_NODES = 500_000


def parse_yaml(data: bytes, what: str) -> Any:  # noqa: ANN401 - any YAML value
    """Parse YAML 1.1 from untrusted bytes into dicts, lists, texts, numbers, booleans and None.

    Dates come back as ISO 8601 text. No tag constructs an object.

    Args:
        data: UTF-8 bytes.
        what: how messages name these bytes, for example `data/MANIFEST.yaml`.

    Raises:
        LimitError: too many bytes, levels, aliases, or nodes once aliases are expanded.
        MalformedError: no YAML, a tag for another kind of object, a repeated key.
    """
    import yaml

    if len(data) > MAX_BYTES:
        message = f"{what} has {len(data)} bytes, more than the limit of {MAX_BYTES}"
        raise LimitError(message)
    loader_type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        aliases = sum(isinstance(e, yaml.AliasEvent) for e in yaml.parse(data, loader_type))
        if aliases > MAX_ALIASES:
            message = f"{what} uses {aliases} aliases, more than the limit of {MAX_ALIASES}"
            raise LimitError(message)
        value = yaml.load(data, loader_type)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        message = f"{what} is not valid YAML: {' '.join(str(error).split())}"
        raise MalformedError(message) from error
    except RecursionError as error:
        message = f"{what} nests deeper than {MAX_DEPTH} levels"
        raise LimitError(message) from error
    return _Plain(what).value(value, 0)


class _Plain:
    """Copies a loaded value into plain data while counting it."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.nodes = 0

    def value(self, value: Any, depth: int) -> Any:  # noqa: ANN401 - any YAML value
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            message = f"{self.what} is deeper than {MAX_DEPTH} levels or expands without bound"
            raise LimitError(message)
        match value:
            case dict():
                return {self._key(k): self.value(v, depth + 1) for k, v in value.items()}
            case list() | tuple() | set():
                return [self.value(item, depth + 1) for item in value]
            case datetime.datetime() | datetime.date():
                return value.isoformat()
            case bytes():
                return value.hex()
            case _:
                return value

    def _key(self, key: Any) -> str:  # noqa: ANN401 - any YAML scalar
        if isinstance(key, dict | list | tuple):
            message = f"{self.what} has a key that is no plain text"
            raise MalformedError(message)
        return key if isinstance(key, str) else str(self.value(key, 0))
