"""Pictures as bytes: arrays to PNG, enlarged for the eye."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(pixels: Pixels) -> bytes:
    """An 8-bit colour picture (h, w, 3) as PNG; the same pixels give the same bytes.

    Source: PNG Specification, third edition (W3C 2025), sections 5 and 11.2.
    """
    height, width, _ = pixels.shape
    flat = pixels.reshape(height, -1)
    above = np.concatenate([np.zeros_like(flat[:1]), flat[:-1]])
    rows = np.concatenate([np.full((height, 1), 2, np.uint8), flat - above], axis=1)  # filter 2, "up"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # colour type 2: red, green, blue
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)


def pixels_of(data: bytes) -> Pixels:
    """The pixels (h, w, 3) of a PNG that `png` wrote."""
    parts, at = dict[bytes, bytes](), len(_SIGNATURE)
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        parts[data[at + 4 : at + 8]] = data[at + 8 : at + 8 + size]
        at += size + 12  # with its length, its kind and its check
    width, height = struct.unpack_from(">II", parts[b"IHDR"])
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    return np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8).reshape(height, width, 3)


def one_by_one(
    pixels: Callable[[Sequence[Mapping[str, Any]]], Pixels], points: Sequence[Mapping[str, Any]], device: str
) -> list[Pixels]:
    """Pictures (h, w, 3) that depend on their own points alone, to the last bit.

    How many are drawn at once, and by how many threads, changes the order of sums and with it a pixel here and there.
    So a processor draws each by itself with one thread; other devices draw all at once, where that is much faster.

    Args:
        pixels: Draws pictures (b, h, w, 3) of b points.
        points: Their parameters.
        device: What draws.
    """
    if device != "cpu":
        return list(pixels(points))
    with one_thread():
        return [pixels([point])[0] for point in points]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def on_shell(Z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Latents (b, d) brought to |z| = sqrt d, where almost all of a standard normal lies."""
    length = np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-300)
    scaled: NDArray[np.float64] = Z * (np.sqrt(Z.shape[1]) / length)
    return scaled
