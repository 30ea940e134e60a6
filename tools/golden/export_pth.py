"""Writes a small file with `torch.save`, as models are published, and the same tensors as safetensors.

    python export_pth.py crates/models/weights/tests/golden
"""

import pathlib
import sys

import safetensors.torch
import torch


class Small(torch.nn.Module):
    """Every type that is read, a scalar, and two tensors in one storage."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(3, 2)
        self.norm = torch.nn.BatchNorm1d(2)
        shared = torch.arange(12, dtype=torch.float32).reshape(4, 3) / 8
        self.register_buffer("rows", shared[1:3])
        self.register_buffer("row", shared[3])
        self.register_buffer("f16", torch.tensor([[1.5], [-65504.0]], dtype=torch.float16))
        self.register_buffer("bf16", torch.tensor([0.15625, -3e38], dtype=torch.bfloat16))
        self.register_buffer("empty", torch.zeros(0, 4))


def main(folder):
    torch.manual_seed(5)
    state = Small().state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "small.pth")
    copies = {name: value.contiguous().clone() for name, value in state.items()}
    safetensors.torch.save_file(copies, folder / "small.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
