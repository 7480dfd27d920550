"""A made RIFE: what is read of the real one, with answers that are known.

In between it gives the blend, times its weight `gain`. The flow to a frame is, half-way, that frame's first colour to
the right and twice that down, and at other times other ones.
"""

from __future__ import annotations

from pathlib import Path

import torch

IFNET = """
import torch
class IFNet(torch.nn.Module):
    def __init__(self, device=None):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(1, device=device))
    def forward(self, x, timestep=0.5, scale_list=(8, 4, 2, 1)):
        assert x.shape[2] % 128 == 0 and x.shape[3] % 128 == 0 and len(scale_list) == 5
        first, last = x[:, :1], x[:, 3:4]
        flow = 2 * timestep * torch.cat((first, 2 * first, last, 2 * last), dim=1)
        blend = (1 - timestep) * x[:, :3] + timestep * x[:, 3:]
        return [None, flow], None, [None, self.gain * blend]
"""


def write_rife(folder: Path) -> tuple[Path, Path]:
    """Its module and its weights."""
    module, weights = folder / "ifnet.py", folder / "flownet.pkl"
    module.write_text(IFNET)
    torch.save({"module.gain": torch.ones(1), "module.teacher": torch.ones(3)}, weights)
    return module, weights
