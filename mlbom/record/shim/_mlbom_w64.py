"""The digest w64 of a tensor, computed where the tensor lies.

The bytes of a tensor in row-major order, zeros added to whole words, are 32-bit little-endian words
x[i], signed. In blocks of 65536 they become s[b] = sum(x[65536 b + j] * w[j]) modulo 2^64; the sums
of several blocks become one in the same way with the next table of weights, and so on. To the last
sum a number is added that stands for dtype and shape: the first 8 bytes, little-endian, of the
SHA-256 of `torch.float32 768x3072`. Weight j of table k is output j of splitmix64 (Steele, Lea and
Flood 2014), its lowest bit set, from the state k * 2^32.

An integer sum modulo 2^64 does not depend on the order of its terms, so the same bytes have the
same digest on every device. A weight is odd, so one changed word always changes the sum of its
block; words are half as wide as the sum, so that also changes of the highest bits (signs) at two
places can cancel each other by chance only, 1 in 2^32. It withstands accidents, not an adversary.
"""
# ruff: noqa: INP001, ANN401, SLF001, UP031
# mypy: disable-error-code="import-not-found"

import hashlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

BLOCK = 65536
_MASK = (1 << 64) - 1
_WORD_NBYTES = 4
# Blocks that are multiplied at once on an accelerator: 128 MiB of products.
_MOST_BLOCKS = 256
# Fewer words than this are widened at once on the host.
_FEW = 4096
_DEVICES = ("cpu", "cuda", "xpu")
_MOST_SALTS = 4096


class Quiet:
    """Up while the recorder itself computes with torch: no gradients, no modes of the program.

    Attributes:
        busy: how deep the recorder is in work of its own; 0 for not at all.
    """

    def __init__(self) -> None:
        self.busy = 0
        self._guards: list[Any] = []

    def __enter__(self) -> None:
        """Begin work that the program must not notice."""
        self.busy += 1
        if self.busy == 1:
            self._guards = _guards(sys.modules["torch"])
            for guard in self._guards:
                guard.__enter__()

    def __exit__(self, *error: object) -> None:
        """End it."""
        self.busy -= 1
        if not self.busy:
            guards, self._guards = self._guards, []
            for guard in reversed(guards):
                guard.__exit__(*error)


def _guards(torch: "Any") -> "list[Any]":
    """Return contexts that keep the program's gradients and modes out."""
    names = ("_DisableTorchDispatch", "DisableTorchFunction")
    found = [getattr(torch._C, name)() for name in names if hasattr(torch._C, name)]
    return [torch.no_grad(), *(guard for guard in found if hasattr(guard, "__enter__"))]


QUIET = Quiet()
_TABLES: "dict[tuple[str, int], Any]" = {}
_SALTS: "dict[tuple[Any, Any], int]" = {}


def digest(tensor: "Any") -> "Any":
    """Return the digest of a tensor as a 0-dim int64 tensor on its device; call it in `QUIET`.

    Args:
        tensor: one that `why_unseen` has nothing against.
    """
    total, salt = measure(tensor)
    if isinstance(total, int):
        return sys.modules["torch"].tensor(_signed(total + salt), device=tensor.device)
    return total + _signed(salt)


def measure(tensor: "Any") -> "tuple[Any, int]":
    """Return the weighted sum of a tensor and the number for its dtype and shape.

    Args:
        tensor: one that `why_unseen` has nothing against.

    Returns:
        The sum, an int for a tensor of the host, else a 0-dim int64 tensor on its device; and what
        is to be added to it modulo 2^64.
    """
    tensor = held(tensor)
    salt = _salt(tensor)
    if tensor.device.type not in _DEVICES:
        tensor = tensor.cpu()
    words = _words(tensor)
    if not words.numel():
        return 0, salt
    if words.device.type == "cpu":
        return _sum_on_host(words), salt
    level = 0
    while level == 0 or words.numel() > 1:
        words = _block_sums(words, _table(words.device, level))
        level += 1
    return words[0], salt


def held(tensor: "Any") -> "Any":
    """Return a tensor, or of a distributed one (DTensor) the part that this process holds."""
    return getattr(tensor, "_local_tensor", tensor)


def why_unseen(tensor: "Any") -> str:
    """Return why a tensor has no digest, as a sentence, or nothing when it has one."""
    torch = sys.modules["torch"]
    if not isinstance(tensor, torch.Tensor):
        return "something that is no tensor stands among the parameters"
    tensor = held(tensor)
    kind = type(tensor)
    is_wrapped = getattr(kind, "__torch_dispatch__", None) is not torch.Tensor.__torch_dispatch__
    if is_wrapped or _is_functional(torch, tensor):
        return "a tensor of the class %s was not digested" % kind.__name__
    if getattr(tensor, "is_nested", False) or tensor.layout is not torch.strided:
        return "a tensor of the layout %s was not digested" % tensor.layout
    if tensor.is_quantized or tensor.device.type == "meta":
        return "a quantised or meta tensor was not digested"
    return ""


def hexed(parts: "Iterable[Any]") -> str:
    """Return the digest of a group: 16 hexadecimal digits of a SHA-256.

    Args:
        parts: digests of its tensors as integers, or texts for what is no tensor.
    """
    told = [part if isinstance(part, str) else "%016x" % (part & _MASK) for part in parts]
    return hashlib.sha256(",".join(told).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _signed(number: int) -> int:
    """Return a number modulo 2^64 as an int64 holds it."""
    number &= _MASK
    return number - (1 << 64) if number >> 63 else number


def _is_functional(torch: "Any", tensor: "Any") -> bool:
    """Return whether a tensor stands for others: functionalised, or of a transform of functions."""
    functorch = getattr(torch._C, "_functorch", None)
    is_transformed = getattr(functorch, "is_functorch_wrapped_tensor", None)
    return bool(torch._is_functional_tensor(tensor)) or bool(
        is_transformed is not None and is_transformed(tensor)
    )


def _salt(tensor: "Any") -> int:
    """Return the number for dtype and shape."""
    key = (tensor.dtype, tensor.shape)
    salt = _SALTS.get(key)
    if salt is None:
        if len(_SALTS) >= _MOST_SALTS:
            _SALTS.clear()
        text = "%s %s" % (tensor.dtype, "x".join(map(str, tensor.shape)))
        salt = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
        _SALTS[key] = salt
    return salt


def _words(tensor: "Any") -> "Any":
    """Return the bytes of a tensor as 32-bit words, row-major."""
    torch = sys.modules["torch"]
    if tensor.is_complex() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()
    flat = (tensor if tensor.is_contiguous() else tensor.contiguous()).view(-1)
    size = flat.element_size()
    nbytes = flat.shape[0] * size
    offset = flat.storage_offset() * size
    if size % _WORD_NBYTES == 0 or not (nbytes % _WORD_NBYTES or offset % _WORD_NBYTES):
        return flat.view(torch.int32)
    padded = torch.zeros(-(-nbytes // 4) * 4, dtype=torch.uint8, device=flat.device)
    padded[:nbytes] = flat.view(torch.uint8)
    return padded.view(torch.int32)


def _sum_on_host(words: "Any") -> int:
    """Return the weighted sum of all words, in numpy where this torch has it."""
    numpy = _numpy(words)
    if numpy is None:
        return _reduced(words, _sums_in_torch, _table)
    words = words.numpy()
    if words.shape[0] <= _FEW:
        wide = words.astype(numpy.int64)
        return int(numpy.dot(wide, _numpy_table("cpu", 0)[: words.shape[0]]))
    return _reduced(words, _sums_in_numpy, _numpy_table)


def _reduced(words: "Any", sums: "Any", table: "Any") -> int:
    """Return the one number that is left when sums of blocks are summed level by level."""
    level = 0
    while level == 0 or words.shape[0] > 1:
        words = sums(words, table("cpu", level))
        level += 1
    return int(words[0])


def _numpy(words: "Any") -> "Any":
    """Return numpy, if it is here already and this torch can share memory with it."""
    if not _NUMPY:
        found = sys.modules.get("numpy")
        try:
            words.numpy()
        except (RuntimeError, TypeError):
            found = None
        _NUMPY.append(found)
    return _NUMPY[0]


_NUMPY: "list[Any]" = []


def _sums_in_numpy(words: "Any", table: "Any") -> "Any":
    """Return the weighted sum of each block; einsum widens in pieces that stay in the cache."""
    numpy = _NUMPY[0]
    count = words.shape[0]
    whole = count // BLOCK * BLOCK
    sums = [numpy.einsum("ij,j->i", words[:whole].reshape(-1, BLOCK), table)] if whole else []
    if whole < count:
        sums.append(numpy.einsum("i,i->", words[whole:], table[: count - whole]).reshape(1))
    return numpy.concatenate(sums)


def _sums_in_torch(words: "Any", table: "Any") -> "Any":
    """Return the weighted sum of each block of the host, widened one at a time."""
    torch = sys.modules["torch"]
    wide = torch.empty(min(words.shape[0], BLOCK), dtype=torch.int64, device="cpu")
    sums = []
    for block in words.split(BLOCK):
        size = block.shape[0]
        sums.append(torch.dot(wide[:size].copy_(block), table[:size]))
    return torch.stack(sums)


def _block_sums(words: "Any", table: "Any") -> "Any":
    """Return the weighted sum of each block on an accelerator, whose integers have no products."""
    torch = sys.modules["torch"]
    count = words.numel()
    whole = count // BLOCK * BLOCK
    step = _MOST_BLOCKS * BLOCK
    sums = [
        (words[start : min(start + step, whole)].view(-1, BLOCK) * table).sum(1)
        for start in range(0, whole, step)
    ]
    if whole < count:
        sums.append((words[whole:] * table[: count - whole]).sum().reshape(1))
    return sums[0] if len(sums) == 1 else torch.cat(sums)


def _table(device: "Any", level: int) -> "Any":
    """Return the weights of a level, int64, on a device."""
    key = (str(device), level)
    table = _TABLES.get(key)
    if table is None:
        table = _TABLES[key] = _weights(sys.modules["torch"], level).to(device)
    return table


def _numpy_table(_: str, level: int) -> "Any":
    """Return the weights of a level for numpy."""
    key = ("numpy", level)
    table = _TABLES.get(key)
    if table is None:
        table = _TABLES[key] = _table("cpu", level).numpy()
    return table


def _weights(torch: "Any", level: int) -> "Any":
    """Return the weights of a level: splitmix64 in int64, whose overflow is that of uint64."""

    def shifted(value: "Any", by: int) -> "Any":
        return (value >> by) & ((1 << (64 - by)) - 1)

    place = torch.arange(1, BLOCK + 1, dtype=torch.int64, device="cpu")
    value = place * _signed(0x9E3779B97F4A7C15) + (level << 32)
    value = (value ^ shifted(value, 30)) * _signed(0xBF58476D1CE4E5B9)
    value = (value ^ shifted(value, 27)) * _signed(0x94D049BB133111EB)
    return (value ^ shifted(value, 31)) | 1
