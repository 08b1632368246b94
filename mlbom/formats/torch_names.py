"""The names that torch writes into its pickles: storages, dtypes, and what only rebuilds tensors.

Source: torch 2.13, `torch/storage.py` (storage classes), `torch/_utils.py` (rebuild functions) and
`torch/_weights_only_unpickler.py` (what `torch.load(weights_only=True)` admits).
"""

# Storage class -> dtype of its elements. An UntypedStorage counts bytes.
STORAGE_DTYPES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
    "ComplexDoubleStorage": "C128",
    "ComplexFloatStorage": "C64",
    "QInt8Storage": "QINT8",
    "QUInt8Storage": "QUINT8",
    "QInt32Storage": "QINT32",
    "QUInt4x2Storage": "QUINT4X2",
    "QUInt2x4Storage": "QUINT2X4",
    "UntypedStorage": "U8",
}
# Attribute of the module torch -> dtype.
DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bool": "BOOL",
    "complex32": "C32",
    "complex64": "C64",
    "complex128": "C128",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2": "F8_E5M2",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float8_e8m0fnu": "F8_E8M0",
    "float4_e2m1fn_x2": "F4_X2",
    "qint8": "QINT8",
    "quint8": "QUINT8",
    "qint32": "QINT32",
    "quint4x2": "QUINT4X2",
    "quint2x4": "QUINT2X4",
    "bits8": "BITS8",
    "bits16": "BITS16",
    "bits1x8": "BITS1X8",
    "bits2x4": "BITS2X4",
    "bits4x2": "BITS4X2",
}
_TENSOR_CLASSES = (
    "FloatTensor DoubleTensor HalfTensor BFloat16Tensor LongTensor IntTensor ShortTensor "
    "CharTensor ByteTensor BoolTensor"
).split()
_SMALL_INTEGERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in range(1, 8)]
_REBUILDERS = (
    "_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter "
    "_rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor _rebuild_nested_tensor "
    "_rebuild_meta_tensor_no_storage _rebuild_wrapper_subclass "
    "_rebuild_device_tensor_from_cpu_tensor _rebuild_device_tensor_from_numpy"
).split()
_OTHERS = (
    "_codecs.encode",
    "__builtin__.bytearray",
    "__builtin__.complex",
    "__builtin__.set",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.set",
    "collections.Counter",
    "collections.OrderedDict",
    "torch.Size",
    "torch.Tensor",
    "torch._tensor._rebuild_from_type_v2",
    "torch.device",
    "torch.nn.parameter.Parameter",
    "torch.per_channel_affine",
    "torch.per_channel_affine_float_qparams",
    "torch.per_channel_symmetric",
    "torch.per_tensor_affine",
    "torch.per_tensor_symmetric",
    "torch.serialization._get_layout",
)
# What torch 2.13 loads with `weights_only=True`, without its deprecated sparse tensor classes: it
# rebuilds tensors and plain data and does nothing else. The names of Python 2 are admitted too.
REBUILDING = frozenset(
    [f"torch.{name}" for name in STORAGE_DTYPES if name != "UntypedStorage"]
    + [f"torch.cuda.{name}" for name in STORAGE_DTYPES if not name.startswith(("Q", "U"))]
    + ["torch.storage.TypedStorage", "torch.storage.UntypedStorage"]
    + [f"torch.{name}" for name in _TENSOR_CLASSES]
    + [f"torch.cuda.{name}" for name in _TENSOR_CLASSES]
    + [f"torch.{name}" for name in (*DTYPES, *_SMALL_INTEGERS)]
    + [f"torch._utils.{name}" for name in _REBUILDERS]
    + list(_OTHERS)
)
