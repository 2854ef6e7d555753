"""One matrix of whole numbers out of a MATLAB 5 file ("MAT-File Format", MathWorks, chapter 1).

SciPy's loadmat reads far more, but trusts what it reads: among files with a few bytes changed, some end the process
with a segmentation fault (SciPy 1.17), and an evaluation of 5,000 images must outlive one damaged file.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_HEADER: Final = 128  # bytes; the last two say the byte order
_ORDERS: Final = {b"IM": "<", b"MI": ">"}
_MATRIX: Final = 14
_COMPRESSED: Final = 15
_STORED: Final = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"}  # often narrower than the matrix's class
_WHOLE_CLASSES: Final = range(8, 14)  # int8 to uint32
_COMPLEX: Final = 0x800
_HEAD: Final = 4096  # bytes that hold a matrix's flags, shape and name


@dataclass(frozen=True)
class _Tag:
    """A data element: what kind, where its bytes are, and where the next element starts."""

    kind: int
    size: int
    start: int
    next: int


def whole_matrix(data: bytes, name: str, check: Callable[[tuple[int, ...]], None]) -> NDArray[np.integer] | None:
    """The matrix of this name, of any shape and signed or unsigned; None if there is none.

    check: is given its shape before it is unpacked, and may raise.
    Raises TypeError if it is not of whole numbers, and ValueError, struct.error or zlib.error for damaged files.
    """
    order = _ORDERS.get(data[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("not a MATLAB 5 file")
    offset = _HEADER
    while offset < len(data):
        tag = _tag(data, offset, order)
        end = tag.start + tag.size
        if end > len(data):
            raise ValueError("cut short")
        if tag.kind == _COMPRESSED:  # these are not padded
            found, offset = _matrix(partial(_unpacked, data[tag.start : end]), order, name, check), end
        else:
            found, offset = _matrix(partial(_plain, data[offset:end]), order, name, check), tag.next
        if found is not None:
            return found
    return None


def _tag(data: bytes, offset: int, order: str) -> _Tag:
    first, second = struct.unpack_from(f"{order}II", data, offset)
    if first >> 16:  # a small element: kind and size in four bytes, and the data in the next four
        return _Tag(first & 0xFFFF, first >> 16, offset + 4, offset + 8)
    return _Tag(first, second, offset + 8, offset + 8 + math.ceil(second / 8) * 8)


def _plain(element: bytes, count: int, last: bool) -> bytes:
    return element[:count]


def _unpacked(packed: bytes, count: int, last: bool) -> bytes:
    stream = zlib.decompressobj()
    element = stream.decompress(packed, count + 1)
    if last and not stream.eof:  # the checksum stands at the end
        raise ValueError("cut short, or longer than it says")
    return element


def _matrix(
    take: Callable[[int, bool], bytes], order: str, name: str, check: Callable[[tuple[int, ...]], None]
) -> NDArray[np.integer] | None:
    """take: the first so many bytes of the element, unpacked; and whether nothing may follow them."""
    head = take(_HEAD, False)
    outer = _tag(head, 0, order)
    if outer.kind != _MATRIX:
        return None
    flags = _tag(head, outer.start, order)
    dimensions = _tag(head, flags.next, order)
    title = _tag(head, dimensions.next, order)
    if head[title.start : title.start + title.size] != name.encode():
        return None
    shape = struct.unpack_from(f"{order}{dimensions.size // 4}i", head, dimensions.start)
    check(shape)
    (bits,) = struct.unpack_from(f"{order}I", head, flags.start)
    if bits & 0xFF not in _WHOLE_CLASSES or bits & _COMPLEX:
        raise TypeError("not whole numbers")
    values = _tag(head, title.next, order)
    dtype = np.dtype(order + _STORED.get(values.kind, "V1"))
    if dtype.kind == "V" or values.size != math.prod(shape) * dtype.itemsize:
        raise ValueError("not as many whole numbers as the shape says")
    body = take(values.next, True)
    return np.frombuffer(body, dtype, math.prod(shape), values.start).reshape(shape, order="F")
