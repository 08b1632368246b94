"""How bytes of each dtype become numbers: values, and integers in the same order as the values.

The distance of two floating-point numbers in units in the last place (ULP) is the distance of two
integers: of sign and magnitude, the bits of a float are already in the order of the floats (IEEE
754-2019 section 3.4), so the magnitude with its sign is that integer, and +0 and -0 are both 0.
8-bit formats: OCP OFP8 1.0 (E4M3, E5M2), OCP MX 1.0 (E8M0), and the FNUZ variants of arXiv
2206.02915, which have one zero and keep its negative for NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import inf, nan
from typing import Any

Array = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How to read one dtype.

    Args:
        bits: numpy name of the unsigned integer that holds one number, or one of its two halves.
        numbers: how many numbers make one element: 2 for a complex one, else 1.
        values: the numbers as float64, from their bits.
        keys: the numbers as integers in the same order (int64, or uint64 of `U64`), from their
            bits; NaN anywhere.
        is_float: whether there are fractions: integers are compared by their difference.
    """

    bits: str
    numbers: int = 1
    values: Callable[[Array], Array]
    keys: Callable[[Array], Array]
    is_float: bool = True


@cache
def kind_of(dtype: str) -> Kind | None:
    """Return how to read a dtype, or None when its bits are compared and nothing else.

    Those are packed elements narrower than a byte, and bits without a meaning.
    """
    if dtype in _INTEGERS:
        unsigned, signed = _INTEGERS[dtype]
        return _integer(unsigned, signed)
    if dtype in _FLOATS:
        unsigned, float_name, numbers = _FLOATS[dtype]
        return _float(unsigned, float_name, numbers)
    if dtype == "BF16":
        return Kind(bits="uint16", values=_bfloat16, keys=_magnitudes("int16"))
    if dtype in _FLOATS8:
        return _float8(dtype)
    return None


# dtype -> numpy names of its bits and of its values.
_INTEGERS = {
    "BOOL": ("uint8", "uint8"), "U8": ("uint8", "uint8"), "I8": ("uint8", "int8"),
    "QINT8": ("uint8", "int8"), "QUINT8": ("uint8", "uint8"), "U16": ("uint16", "uint16"),
    "I16": ("uint16", "int16"), "U32": ("uint32", "uint32"), "I32": ("uint32", "int32"),
    "QINT32": ("uint32", "int32"), "U64": ("uint64", "uint64"), "I64": ("uint64", "int64"),
}  # fmt: skip
# dtype -> numpy names of its bits and of one number, and how many numbers.
_FLOATS = {
    "F16": ("uint16", "float16", 1),
    "F32": ("uint32", "float32", 1),
    "F64": ("uint64", "float64", 1),
    "C32": ("uint16", "float16", 2),
    "C64": ("uint32", "float32", 2),
    "C128": ("uint64", "float64", 2),
}
# dtype -> bits of the mantissa, bias of the exponent, and what is not finite.
_FLOATS8 = {
    "F8_E4M3": (3, 7, {0x7F: nan, 0xFF: nan}),
    "F8_E5M2": (2, 15, {}),
    "F8_E4M3FNUZ": (3, 8, {0x80: nan}),
    "F8_E5M2FNUZ": (2, 16, {0x80: nan}),
    "F8_E8M0": (0, 127, {0xFF: nan}),
}
_SIGN8 = 0x80


def _integer(unsigned: str, name: str) -> Kind:
    wide = "uint64" if name == "uint64" else "int64"
    return Kind(
        bits=unsigned,
        values=lambda bits: bits.view(name).astype("float64"),
        keys=lambda bits: bits.view(name).astype(wide),
        is_float=False,
    )


def _float(unsigned: str, name: str, numbers: int) -> Kind:
    return Kind(
        bits=unsigned,
        numbers=numbers,
        values=lambda bits: bits.view(name).astype("float64"),
        keys=_magnitudes(unsigned[1:]),
    )


def _magnitudes(signed: str) -> Callable[[Array], Array]:
    """Return the map of bits of sign and magnitude to integers in the order of their values."""

    def keys(bits: Array) -> Array:
        import numpy as np

        whole = bits.view(signed)
        minus = whole >> (whole.itemsize * 8 - 1)  # 0, or -1 where the sign bit is set
        magnitude = whole & np.iinfo(signed).max
        # -x is ~x + 1; without a branch this takes a tenth of the time.
        return ((magnitude ^ minus) - minus).astype(np.int64)

    return keys


def _bfloat16(bits: Array) -> Array:
    return (bits.astype("uint32") << 16).view("float32").astype("float64")


def _float8(dtype: str) -> Kind:
    import numpy as np

    values = np.array([_value8(dtype, code) for code in range(256)])
    unsigned = dtype == "F8_E8M0"
    keys = np.array([c if unsigned or c < _SIGN8 else _SIGN8 - c for c in range(256)], np.int64)
    return Kind(bits="uint8", values=lambda bits: values[bits], keys=lambda bits: keys[bits])


def _value8(dtype: str, code: int) -> float:
    """Return the value of one 8-bit float."""
    mantissa_bits, bias, special = _FLOATS8[dtype]
    if code in special:
        return special[code]
    if dtype == "F8_E8M0":
        return 2.0 ** (code - bias)
    sign = -1.0 if code & _SIGN8 else 1.0
    exponent = (code & (_SIGN8 - 1)) >> mantissa_bits
    mantissa = (code & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    if dtype == "F8_E5M2" and exponent == 0x1F:  # noqa: PLR2004 - all ones
        return nan if mantissa else sign * inf
    if exponent == 0:
        return sign * mantissa * 2.0 ** (1 - bias)
    return sign * (1 + mantissa) * 2.0 ** (exponent - bias)
