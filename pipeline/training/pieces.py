"""MIDI files of pieces that songs borrow from."""

from pathlib import Path

from pipeline.training.errors import TrainingError


def midi_files(folder: Path | None) -> list[Path]:
    """The MIDI files below the folder that ``--pieces`` names, in order; none without a folder.

    Raises:
        TrainingError: there is no such folder, or no MIDI file below it.
    """
    if folder is None:
        return []
    if not folder.is_dir():
        raise TrainingError(f"--pieces {folder}: no such folder")
    # Versions and drafts that POP909 has beside a piece would be the same music once more
    files = sorted(path for path in folder.rglob("*.mid") if "versions" not in path.parts)
    if not files:
        raise TrainingError(f"--pieces {folder}: no MIDI files below it")
    return files
