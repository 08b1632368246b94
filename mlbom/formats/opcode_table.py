"""The pickle opcodes, protocols 0 to 5, each as one small step of the abstract machine.

Source: Lib/pickletools.py of CPython 3.13, table `opcodes`; the names are the same in lower case.
"""

import struct
from typing import Any

from mlbom.errors import MalformedError
from mlbom.formats.opcode_machine import (
    Handler,
    Machine,
    TruncatedError,
    add_elements,
    set_items,
)
from mlbom.formats.opcode_scalars import SCALARS
from mlbom.formats.opcode_values import Blob, Call, PersistentId

_HIGHEST_PROTOCOL = 5
_UINT4 = struct.Struct("<I").unpack


def _proto(m: Machine) -> None:
    version = m.take(1)[0]
    if version > _HIGHEST_PROTOCOL:
        message = f"pickle protocol {version} does not exist"
        raise MalformedError(message)
    m.protocol = max(m.protocol, version)


def _frame(m: Machine) -> None:
    # The frame only tells how far to read ahead: what is in it follows as ordinary opcodes.
    m.take(8)


def _stop(m: Machine) -> None:
    m.stop()


def _end(m: Machine) -> None:
    message = f"the pickle ends without STOP, at byte {m.stream.tell()}"
    raise TruncatedError(message)


def _mark(m: Machine) -> None:
    m.marks.append(len(m.stack))


def _pop(m: Machine) -> None:
    if m.marks and m.marks[-1] == len(m.stack):
        m.marks.pop()
    else:
        m.stack.pop()


def _pop_mark(m: Machine) -> None:
    m.pop_mark()


def _dup(m: Machine) -> None:
    m.stack.append(m.stack[-1])


def _constant(value: Any) -> Handler:  # noqa: ANN401 - any inert value
    def push(m: Machine) -> None:
        m.stack.append(value)

    return push


def _empty_list(m: Machine) -> None:
    m.made([])


def _empty_dict(m: Machine) -> None:
    m.made({})


def _tuple(m: Machine) -> None:
    m.made(tuple(m.pop_mark()))


def _fixed_tuple(length: int) -> Handler:
    def push(m: Machine) -> None:
        items = [m.pop() for _ in range(length)]
        m.made(tuple(reversed(items)))

    return push


def _list(m: Machine) -> None:
    m.made(m.pop_mark())


def _dict(m: Machine) -> None:
    items = m.pop_mark()
    m.made({})
    set_items(m.stack[-1], items)


def _append(m: Machine) -> None:
    item = m.pop()
    add_elements(m.stack[-1], [item])


def _appends(m: Machine) -> None:
    items = m.pop_mark()
    add_elements(m.stack[-1], items)


def _setitem(m: Machine) -> None:
    value, key = m.pop(), m.pop()
    set_items(m.stack[-1], [key, value])


def _setitems(m: Machine) -> None:
    items = m.pop_mark()
    set_items(m.stack[-1], items)


def _global(m: Machine) -> None:
    module = m.line().decode("utf-8", "backslashreplace")
    name = m.line().decode("utf-8", "backslashreplace")
    m.stack.append(m.imports(module, name))


def _stack_global(m: Machine) -> None:
    name, module = m.pop(), m.pop()
    m.stack.append(m.imports(module, name))


def _extension(size: int) -> Handler:
    def push(m: Machine) -> None:
        code = int.from_bytes(m.take(size), "little")
        m.stack.append(m.imports("copyreg", f"extension {code}"))

    return push


def _reduce(m: Machine) -> None:
    args, func = m.pop(), m.pop()
    m.call("REDUCE", func, args)


def _newobj(m: Machine) -> None:
    args, cls = m.pop(), m.pop()
    m.call("NEWOBJ", cls, args)


def _newobj_ex(m: Machine) -> None:
    keywords, args, cls = m.pop(), m.pop(), m.pop()
    m.call("NEWOBJ_EX", cls, (args, keywords))


def _obj(m: Machine) -> None:
    cls, *args = m.pop_mark()
    m.call("OBJ", cls, tuple(args))


def _inst(m: Machine) -> None:
    module = m.line().decode("utf-8", "backslashreplace")
    name = m.line().decode("utf-8", "backslashreplace")
    m.call("INST", m.imports(module, name), tuple(m.pop_mark()))


def _build(m: Machine) -> None:
    state, built = m.pop(), m.stack[-1]
    m.calls["BUILD"] += 1
    if isinstance(built, Call):
        built.state = state
        m.after_build(built)


def _persid(m: Machine) -> None:
    m.persistent += 1
    m.made(PersistentId(m.line().decode("utf-8", "backslashreplace")))


def _binpersid(m: Machine) -> None:
    m.persistent += 1
    m.made(PersistentId(m.pop()))


def _put(m: Machine) -> None:
    m.memoize(int(m.line()))


def _binput(m: Machine) -> None:
    m.memo[m.take(1)[0]] = m.stack[-1]


def _long_binput(m: Machine) -> None:
    m.memo[_UINT4(m.read(4))[0]] = m.stack[-1]


def _memoize(m: Machine) -> None:
    m.memo[len(m.memo)] = m.stack[-1]


def _get(m: Machine) -> None:
    m.recall(int(m.line()))


def _binget(m: Machine) -> None:
    m.recall(m.take(1)[0])


def _long_binget(m: Machine) -> None:
    m.recall(_UINT4(m.read(4))[0])


def _next_buffer(m: Machine) -> None:
    m.stack.append(Blob(0))


def _nothing(m: Machine) -> None:
    m.stack.append(m.pop())


HANDLERS: dict[bytes, Handler] = {
    **SCALARS,
    b"": _end, b"\x80": _proto, b"\x95": _frame, b".": _stop,
    b"(": _mark, b"0": _pop, b"1": _pop_mark, b"2": _dup,
    b"N": _constant(None), b"\x88": _constant(value=True), b"\x89": _constant(value=False),
    b")": _constant(()),
    b"]": _empty_list, b"l": _list, b"a": _append, b"e": _appends,
    b"}": _empty_dict, b"d": _dict, b"s": _setitem, b"u": _setitems,
    b"t": _tuple, b"\x85": _fixed_tuple(1), b"\x86": _fixed_tuple(2), b"\x87": _fixed_tuple(3),
    b"\x8f": _empty_list, b"\x90": _appends, b"\x91": _list,
    b"c": _global, b"\x93": _stack_global, b"i": _inst, b"o": _obj,
    b"\x82": _extension(1), b"\x83": _extension(2), b"\x84": _extension(4),
    b"R": _reduce, b"\x81": _newobj, b"\x92": _newobj_ex, b"b": _build,
    b"P": _persid, b"Q": _binpersid,
    b"p": _put, b"q": _binput, b"r": _long_binput, b"\x94": _memoize,
    b"g": _get, b"h": _binget, b"j": _long_binget,
    b"\x97": _next_buffer, b"\x98": _nothing,
}  # fmt: skip
