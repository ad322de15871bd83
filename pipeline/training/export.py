"""Writes what inference needs of a training: the averaged weights, in half precision, as safetensors."""

from pathlib import Path

import torch
from safetensors.torch import save

from pipeline.transcription.note_network import NoteNetwork, Size


def export(checkpoint: Path, out: Path) -> int:
    """Write the weights of a checkpoint (``steady.pt`` or ``checkpoint.pt`` of a run); the number of parameters."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    size = Size(**state["size"])
    network = NoteNetwork(size)
    network.load_state_dict(state["average"])
    kept = {
        name: value.half().contiguous() if value.dtype.is_floating_point else value
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    metadata = {name: str(value) for name, value in size.as_dict().items()}
    # Not save_file, which makes files that only their owner can read
    out.write_bytes(save(kept, {**metadata, "steps": str(state["step"]), "recipe": state["recipe"]}))
    return sum(parameter.numel() for parameter in network.parameters())
