"""Half-precision tensors: their digest, and the safetensors file they make.

The file is written here rather than by the safetensors package, because that one orders metadata at random and the
same tensors must always give the same bytes (https://huggingface.co/docs/safetensors: eight bytes of header length,
little-endian, a JSON header padded with spaces to a multiple of eight bytes, then the tensors).
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.float16]]


def tensor_digest(tensors: Tensors) -> str:
    """SHA-256 of the weights themselves, however they are stored.

    Hashed for each tensor, in ascending order of names: the name in UTF-8, a zero byte, the shape in decimal separated
    by commas, a zero byte, the values as little-endian half precision in C order.

    Args:
        tensors: name to float16 array of any shape.

    Returns:
        64 lower-case hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        digest.update(f"{name}\0{','.join(map(str, array.shape))}\0".encode())
        digest.update(_stored(array))
    return digest.hexdigest()


def write_safetensors(path: Path, tensors: Tensors, metadata: Mapping[str, str]) -> None:
    """Write tensors in ascending order of names, and metadata in the order given.

    Args:
        path: file to write; not atomic.
        tensors: name to float16 array of any shape.
        metadata: free text, by key.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    offset = 0
    ordered = sorted(tensors.items())
    for name, array in ordered:
        end = offset + 2 * array.size
        header[name] = {"dtype": "F16", "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for _, array in ordered:
            file.write(_stored(array))


def _stored(array: NDArray[np.float16]) -> bytes:
    return array.astype("<f2", copy=False).tobytes()
