"""Which processor a network runs on, and in which precision."""

import torch

from pipeline.errors import ModelError

DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "fp32", "bf16")


class DeviceMissing(ModelError):
    """The asked device is not on this machine; the message names those that are."""

    code = "device_missing"


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        DeviceMissing: not a device of this machine.
    """
    here = [
        device
        for device, present in (
            ("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()), ("cpu", True)
        )
        if present
    ]  # fmt: skip
    if name not in ("auto", *here):
        raise DeviceMissing(f"The device {name!r} is not on this machine; here are: {', '.join(here)}.")
    return torch.device(here[0] if name == "auto" else name)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 multiplies faster than float32 there: by the hardware's own instructions."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def choose_dtype(device: torch.device, precision: str = "auto") -> torch.dtype:
    """The type networks run in: of ``fp32``, ``bf16``, or ``auto`` for bf16 where it is fast.

    Raises:
        ValueError: no such precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"The precision {precision!r} is unknown; choose one of {', '.join(PRECISIONS)}.")
    bf16 = has_fast_bf16(device) if precision == "auto" else precision == "bf16"
    return torch.bfloat16 if bf16 else torch.float32


def describe_device(device: torch.device) -> str:
    """The device for people: its name, and the precision a separation would use."""
    precision = "bfloat16" if has_fast_bf16(device) else "float32"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({precision})"
    if device.type == "cpu":
        return f"CPU, {torch.get_num_threads()} threads ({precision})"
    return f"{device.type.upper()} ({precision})"
