"""The tensors of a safetensors file, in place."""

from mlbom.formats.safetensors import read_layout
from mlbom.formats.tensors.file import Fact, Packaging, Placed, TensorFile, labelled, layout_facts
from mlbom.formats.tensors.rows import BITS, TensorRow, part_of
from mlbom.formats.tensors.source import ByteSource
from mlbom.formats.tensors.window import Window, plain_strides
from mlbom.formats.weights import TensorInfo


def open_safetensors(source: ByteSource) -> TensorFile:
    """Return the tensors of a safetensors file, in the order of their bytes.

    Raises:
        MalformedError, LimitError: as the reader of the header.
    """
    with source.stream() as stream:
        layout = read_layout(stream, source.nbytes)
    order = sorted(layout.facts.tensors, key=lambda t: (layout.begins[t.name], t.name))
    placed = tuple(_placed(source, info, layout.begins[info.name]) for info in order)
    facts: Packaging = {Fact("format"): layout.facts.format}
    facts |= labelled("metadata", {pair.name: pair.text for pair in layout.facts.metadata})
    if layout.padding:
        facts[Fact("padding of the header")] = f"{layout.padding} bytes"
    return TensorFile(
        name=source.path.name,
        format=layout.facts.format,
        placed=placed,
        packaging=facts | layout_facts(placed),
        sources=(source,),
    )


def _placed(source: ByteSource, info: TensorInfo, begin: int) -> Placed:
    name, dtype, shape = info
    row = TensorRow(name=name, dtype=dtype, shape=shape, part=part_of(name, dtype))
    strides = plain_strides(shape)
    window = Window(source=source, begin=begin, bits=BITS[dtype], shape=shape, strides=strides)
    return Placed(row, window)
