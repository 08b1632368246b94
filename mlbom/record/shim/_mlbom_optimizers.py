"""An optimizer that is followed, and what of it goes into a record."""
# ruff: noqa: INP001, ANN401
# mypy: disable-error-code="import-not-found"

import gc
import sys
import weakref

from _mlbom_journal import JOURNAL
from _mlbom_leaves import leaves
from _mlbom_modules import Holders, parameters, root_modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from _mlbom_modules import Buffers
    from _mlbom_sheet import Group, Sheet

# The state of an optimizer is digested at its steps 0, 1, 2, 4, ... and at multiples of this.
_STATE_EVERY = 64
# To look for modules among all objects takes a tenth of a second; some programs make an optimizer
# for every batch.
_MOST_SEARCHED = 16


class Followed:
    """An optimizer as it was first seen.

    Args:
        number: of the optimizer, from 0.
        optimizer: itself.

    Attributes:
        count: its steps so far.
    """

    def __init__(self, number: int, optimizer: "Any") -> None:
        self.number = number
        self.count = 0
        self._optimizer = weakref.ref(optimizer)
        self.buffers: list[Buffers] = []
        names = ["param." + str(place) for place in range(len(self.params()))]
        if number < _MOST_SEARCHED:
            # What is only garbage by now must not be found in one run and missed in the next.
            gc.collect()
            holders = Holders(self.params())
            names, self.buffers = holders.names, holders.buffers
        else:
            JOURNAL.unseen("names and buffers beside the parameters of so many optimizers")
        self.names = [
            [name, str(one.dtype).replace("torch.", ""), _shape(one)]
            for name, one in zip(names, self.params())  # noqa: B905 - Python 3.9
        ]

    def params(self) -> "list[Any]":
        """Return its parameters, none when it is gone."""
        optimizer = self._optimizer()
        groups = () if optimizer is None else optimizer.param_groups
        return [param for group in groups for param in group["params"]]

    def state(self, sheet: "Sheet") -> "Group":
        """Take in its state, in the order of its parameters."""
        optimizer = self._optimizer()
        state: Any = {} if optimizer is None else optimizer.state
        return sheet.group(
            leaf
            for param in self.params()
            if param in state
            for leaf in leaves(_in_order(state[param]))
        )

    def wants_state(self) -> bool:
        """Return whether the state is taken at the step that was just made."""
        return self.count & (self.count - 1) == 0 or self.count % _STATE_EVERY == 0


def _in_order(state: "Any") -> "Any":
    """Return the state of one parameter with its fields by name, not as they were made."""
    if not isinstance(state, dict):
        return state
    return dict(sorted(state.items(), key=lambda item: str(item[0])))


def _shape(parameter: "Any") -> str:
    if sys.modules["torch"].nn.parameter.is_lazy(parameter):
        return ""
    return "x".join(map(str, parameter.shape))


def grads(followed: "Followed", sheet: "Sheet") -> "Group":
    """Take in the gradients of an optimizer, in the order of its parameters."""
    return sheet.group(param.grad for param in followed.params())


def buffer_groups(followed: "list[Followed]", sheet: "Sheet") -> "list[Group]":
    """Take in the buffers beside the parameters of several optimizers, module by module."""
    return [sheet.group(found.tensors()) for one in followed for found in one.buffers]


def module_groups(sheet: "Sheet") -> "list[Group]":
    """Take in the parameters of each root module, shared ones once."""
    return [
        sheet.group({id(one): one for _, one in parameters(root)}.values())
        for root in root_modules()
    ]
