"""What the fields of each node class hold, read once from their annotations."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, get_args, get_type_hints

from mlbom.evidence.nodes import NODE_TYPES, Node, Value

NODE_TYPE_BY_NAME: Mapping[str, type[Node]] = {t.__name__: t for t in NODE_TYPES}


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field: of the value itself, or of the items when the field is a set."""

    is_set: bool
    item: type

    def normal(self, value: Any) -> Value:  # noqa: ANN401 - checked here
        """Return the value in its one form: sets sorted without repeats, -0.0 as 0.0.

        Raises:
            ValueError: the value has another type than the field.
        """
        if self.is_set:
            if not isinstance(value, tuple):
                message = f"expected a tuple, found {value!r}"
                raise ValueError(message)
            return tuple(sorted({self._item(item) for item in value}))
        return self._item(value)  # type: ignore[no-any-return]

    def _item(self, value: Any) -> Any:  # noqa: ANN401 - checked here
        if self.item is float and type(value) in (int, float):
            return float(value) + 0.0
        if type(value) is not self.item:
            message = f"expected {self.item.__name__}, found {value!r}"
            raise ValueError(message)
        return value


def field_types(node_type: type[Node]) -> Mapping[str, FieldType]:
    """Return the field types of a node class by field name, without `id`."""
    return _field_types(node_type.__name__)


@cache
def _field_types(name: str) -> Mapping[str, FieldType]:
    node_type = NODE_TYPE_BY_NAME[name]
    hints = get_type_hints(node_type)
    types: dict[str, FieldType] = {}
    for f in fields(node_type):
        if f.name == "id":
            continue
        hint = hints[f.name]
        arguments = [a for a in get_args(hint) if a not in (type(None), Ellipsis)]
        is_set = str(hint).startswith("tuple")
        types[f.name] = FieldType(is_set, arguments[0])
    return types
