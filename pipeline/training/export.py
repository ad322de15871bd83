"""Writes what inference needs of a training: the averaged weights, in half precision, as safetensors."""

from pathlib import Path

from safetensors.torch import save

from pipeline.training.errors import TrainingError
from pipeline.training.train import note_checkpoint
from pipeline.transcription.note_network import NoteNetwork, Size


def export(checkpoint: Path, out: Path) -> int:
    """Write the weights of a checkpoint (``steady.pt`` or ``checkpoint.pt`` of a run); the number of parameters.

    Raises:
        TrainingError: the file is no checkpoint of the note network as it is now.
    """
    state = note_checkpoint(checkpoint)
    try:
        size = Size(**state["size"])
        network = NoteNetwork(size)
        network.load_state_dict(state["average"])
    except (TypeError, RuntimeError) as error:
        raise TrainingError(f"{checkpoint}: a checkpoint of another network") from error
    kept = {
        name: value.half().contiguous() if value.dtype.is_floating_point else value
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    metadata = {name: str(value) for name, value in size.as_dict().items()}
    # Not save_file, which makes files that only their owner can read
    out.write_bytes(save(kept, {**metadata, "steps": str(state["step"]), "recipe": state["recipe"]}))
    return sum(parameter.numel() for parameter in network.parameters())
