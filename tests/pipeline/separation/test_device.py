"""Devices and precisions by name."""

import pytest
import torch

from pipeline.separation.device import DeviceMissing, choose_device, choose_dtype, describe_device, has_fast_bf16

CPU = torch.device("cpu")


def test_auto_takes_the_fastest_there_is() -> None:
    fastest = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device("auto").type == fastest
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["npu", "", "CPU"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(DeviceMissing, match=rf"{name!r} is not on this machine; here are: .*cpu"):
        choose_device(name)


def test_precisions() -> None:
    assert choose_dtype(CPU, "fp32") == torch.float32
    assert choose_dtype(CPU, "bf16") == torch.bfloat16
    assert choose_dtype(CPU) == (torch.bfloat16 if has_fast_bf16(CPU) else torch.float32)
    with pytest.raises(ValueError, match="choose one of auto, fp32, bf16"):
        choose_dtype(CPU, "fp16")


def test_a_device_in_words() -> None:
    threads = torch.get_num_threads()
    precision = "bfloat16" if has_fast_bf16(CPU) else "float32"
    assert describe_device(CPU) == f"CPU, {threads} threads ({precision})"
