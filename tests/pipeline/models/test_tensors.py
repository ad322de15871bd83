"""The digest of tensors, and the file they are written to."""

import hashlib

import numpy as np
from safetensors import safe_open

from pipeline.models.tensors import tensor_digest, write_safetensors

TENSORS = {
    "b": np.array([[1.0, -2.0, 65504.0]], dtype=np.float16),
    "a.scale": np.array(0.5, dtype=np.float16),
    "c": np.arange(6, dtype=np.float16).reshape(2, 3).T,
}
META = {"z": "last letter first", "a": "[]", "m": '{"text": "\\u00e9"}'}


def test_the_digest_is_over_names_shapes_and_values():
    hashed = (
        b"a.scale\0\0" + b"\x00\x38" + b"b\0" + b"1,3\0" + b"\x00\x3c\x00\xc0\xff\x7b" + b"c\0" + b"3,2\0"
        b"\x00\x00\x00\x42\x00\x3c\x00\x44\x00\x40\x00\x45"
    )
    assert tensor_digest(TENSORS) == hashlib.sha256(hashed).hexdigest()
    assert tensor_digest(dict(reversed(TENSORS.items()))) == tensor_digest(TENSORS)
    assert tensor_digest(TENSORS | {"b": TENSORS["b"].T}) != tensor_digest(TENSORS)
    assert tensor_digest({"d" if name == "b" else name: value for name, value in TENSORS.items()}) != tensor_digest(
        TENSORS
    )


def test_the_file_is_safetensors_and_always_the_same(tmp_path):
    path, again = tmp_path / "a", tmp_path / "b"
    write_safetensors(path, TENSORS, META)
    write_safetensors(again, dict(reversed(TENSORS.items())), META)
    assert path.read_bytes() == again.read_bytes()
    with safe_open(path, framework="np") as file:
        assert file.metadata() == META
        assert set(file.keys()) == set(TENSORS)
        for name, value in TENSORS.items():
            np.testing.assert_array_equal(file.get_tensor(name), value, strict=True)
