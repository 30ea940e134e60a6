"""Runs the published class of transformers on tiny random weights with the published 37x37 table of positions, at
real grids, and writes what it computed.

Usage: export_dpt.py FOLDER
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

# Rows and columns of patches: the table's own square, and what films of 16:9 and 4:3 become.
GRIDS = [(37, 37), (28, 49), (37, 66), (27, 36)]
# Of a plane that large every so many-th sample of either axis is stored.
STEP = 7

# Two networks: heads and channels differ, and which blocks are taken.
NETWORKS = {
    "narrow": dict(width=24, heads=2, blocks=4, taken=[1, 2, 3, 4], channels=[6, 8, 12, 16], features=12, hidden=8),
    "deep": dict(width=40, heads=5, blocks=9, taken=[2, 3, 7, 9], channels=[12, 8, 16, 24], features=8, hidden=32),
}


def network(width, heads, blocks, taken, channels, features, hidden):
    backbone = Dinov2Config(
        hidden_size=width, num_attention_heads=heads, num_hidden_layers=blocks, image_size=518, patch_size=14,
        out_indices=taken, out_features=[f"stage{i}" for i in taken], reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=width, neck_hidden_sizes=channels,
        fusion_hidden_size=features, head_hidden_size=hidden,
    )
    model = DepthAnythingForDepthEstimation(config).eval()
    for name, tensor in model.named_parameters():
        spread = 0.1 if tensor.dim() < 2 else tensor[0].numel() ** -0.5
        tensor.data = torch.randn(tensor.shape) * spread + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        tensor.data = tensor.data.half().float()
    # Depth above zero, so that the last layer hides nothing.
    model.head.conv3.bias.data = (model.head.conv3.bias.data + 1.0).half().float()
    return model


def picture(h, w):
    # A formula, so that no file has to hold it.
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([((y * 7 + x * 13 + y * x) % (31 + 6 * c)).float() / 16 - 1 for c in range(3)])[None]


def main(folder):
    torch.manual_seed(5)
    torch.set_num_threads(1)
    stored = {}
    for name, settings in NETWORKS.items():
        model = network(**settings)
        for key, tensor in model.state_dict().items():
            stored[f"{name}.weights.{key}"] = tensor.half()
        for rows, columns in GRIDS:
            with torch.inference_mode():
                depth = model(picture(14 * rows, 14 * columns)).predicted_depth
            stored[f"{name}.{rows}x{columns}"] = depth[0, ::STEP, ::STEP].contiguous()
    save_file(stored, Path(folder) / "real_grids.safetensors")


main(sys.argv[1])
