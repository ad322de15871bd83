"""What the commands of training refuse."""


class TrainingError(ValueError):
    """What a command was given cannot be used: a line that names the option or the file, and says why."""
