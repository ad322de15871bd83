"""Names of stems that mean the same in every model, and of what is left without one."""

VOCALS = "vocals"
INSTRUMENTAL = "instrumental"
RESIDUAL = "residual"


def rest_of(stem: str) -> str:
    """What a mix without this stem is called: ``instrumental`` without the vocals, else as demucs calls it."""
    return INSTRUMENTAL if stem == VOCALS else f"no_{stem}"
