"""The precision follows from what the hardware can do, and from nothing that is measured."""

import pytest
import torch

from alanet.engine.precision import choose_precision
from alanet.engine.runner import pick_device
from alanet.errors import OptionError, ResourceError


@pytest.mark.parametrize(
    ("amx", "avx512", "chosen", "reason"),
    [
        (True, True, "bf16", "this CPU has AMX-BF16"),
        (False, True, "bf16", "this CPU has AVX512-BF16"),
        (False, False, "fp32", "this CPU has no bf16 arithmetic"),
    ],
)
def test_a_cpu(monkeypatch, amx, avx512, chosen, reason):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    choice = choose_precision("auto", torch.device("cpu"))
    assert (choice.precision, choice.reason) == (chosen, reason)


@pytest.mark.parametrize(("device", "chosen"), [("cuda", "fp16"), ("mps", "fp32"), ("xpu", "fp32")])
def test_a_gpu(device, chosen):
    assert choose_precision("auto", torch.device(device)).precision == chosen


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_what_is_asked_for_is_taken(name):
    assert choose_precision(name, torch.device("cpu")).precision == name


@pytest.mark.parametrize(("name", "message"), [("fp16", "needs a GPU"), ("int8", "not one of auto, fp32, bf16, fp16")])
def test_wrong_names(name, message):
    with pytest.raises(OptionError, match=message):
        choose_precision(name, torch.device("cpu"))


@pytest.mark.parametrize(
    ("there", "chosen"), [(("cuda", "xpu"), "cuda"), (("mps",), "mps"), (("xpu",), "xpu"), ((), "cpu")]
)
def test_auto_takes_the_accelerator_that_is_there(monkeypatch, there, chosen):
    for kind in ("cuda", "xpu"):
        monkeypatch.setattr(getattr(torch, kind), "is_available", lambda kind=kind: kind in there)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in there)
    assert pick_device("auto").type == chosen
    if "xpu" not in there:
        with pytest.raises(ResourceError, match="device xpu is not available here"):
            pick_device("xpu")
