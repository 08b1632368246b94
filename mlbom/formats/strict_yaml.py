"""Strict YAML: plain data only, bounded in size, depth and aliases, no key twice."""

import datetime as dt
from functools import cache
from typing import Any

from mlbom.errors import LimitError, MalformedError

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64
MAX_ALIASES = 256
MAX_NODES = 500_000


def parse_yaml(data: bytes, what: str) -> Any:  # noqa: ANN401 - any YAML value
    """Parse YAML 1.1 from untrusted bytes into dicts, lists, texts, numbers, booleans and None.

    Keys become texts. Dates come back as ISO 8601 text, sets as sorted lists. No tag constructs an
    object. A merge key (`<<`) gives defaults, which the mapping's own keys may override.

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
    try:
        _check_events(data, what)
        value = yaml.load(data, _loader_type())  # noqa: S506 - derived from a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        message = f"{what} is not valid YAML: {' '.join(str(error).split())}"
        raise MalformedError(message) from error
    return _Plain(what).value(value, 0)


def _check_events(data: bytes, what: str) -> None:
    """Bound depth and aliases before anything is built.

    The parser of libyaml does not recurse, but the composer above it does, in C and without a
    limit: 60,000 open brackets end the process.
    """
    import yaml

    depth = aliases = 0
    begins = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
    ends = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
    for event in yaml.parse(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.ScalarEvent):
            continue
        if isinstance(event, begins):
            depth += 1
        elif isinstance(event, ends):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        if depth > MAX_DEPTH:
            message = f"{what} nests deeper than {MAX_DEPTH} levels"
            raise LimitError(message)
        if aliases > MAX_ALIASES:
            message = f"{what} uses more than {MAX_ALIASES} aliases, the limit"
            raise LimitError(message)


@cache
def _loader_type() -> Any:  # noqa: ANN401 - a class made here, because yaml is imported late
    """Return PyYAML's safe loader (in C where there is one), refusing repeated keys."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        """Looks at the keys of each mapping before merge keys are resolved."""

        def flatten_mapping(self, node: Any) -> None:  # noqa: ANN401 - a yaml.MappingNode
            # Resolving a merge key puts the defaults among the node's own keys: look only once.
            if not getattr(node, "keys_checked", False):
                node.keys_checked = True
                self.check_keys(node)
            super().flatten_mapping(node)

        def check_keys(self, node: Any) -> None:  # noqa: ANN401 - a yaml.MappingNode
            seen = set()
            for key_node, _ in node.value:
                if not isinstance(key_node, yaml.ScalarNode):
                    continue  # refused by the loader itself
                is_text = key_node.tag.endswith((":str", ":merge", ":value"))
                key = key_node.value if is_text else self.construct_object(key_node)
                if (is_text, key) in seen:
                    message = f"the key {key!r} appears twice in one mapping"
                    raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
                seen.add((is_text, key))

    return Loader


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
                return self._mapping(value, depth)
            case list() | tuple():
                return [self.value(item, depth + 1) for item in value]
            case set():
                return [self.value(item, depth + 1) for item in sorted(value, key=repr)]
            case dt.datetime() | dt.date():
                return value.isoformat()
            case bytes():
                return value.hex()
            case _:
                return value

    def _mapping(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        plain = {self._key(k): self.value(v, depth + 1) for k, v in value.items()}
        if len(plain) != len(value):
            message = f"{self.what} has two keys that are the same as texts, as 1 and '1' are"
            raise MalformedError(message)
        return plain

    def _key(self, key: Any) -> str:  # noqa: ANN401 - any YAML scalar
        return key if isinstance(key, str) else str(self.value(key, 0))
