"""Runs the published classes of transformers, network and picture processor, on tiny random weights and pictures, and
writes what they computed.

Usage: export_dinov3.py FOLDER
(needs a transformers that has DINOv3, 4.56 and later, and torchvision)
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import DINOv3ViTConfig, DINOv3ViTImageProcessorFast, DINOv3ViTModel

# Two networks that no published one is like: numbers differ pairwise, and which layers have biases.
NETWORKS = {
    "gated": dict(
        hidden_size=40, num_attention_heads=2, num_hidden_layers=3, intermediate_size=56, num_register_tokens=3,
        use_gated_mlp=True, hidden_act="silu", rope_theta=30.0, key_bias=True, proj_bias=False, patch_size=8,
    ),
    "plain": dict(
        hidden_size=48, num_attention_heads=3, num_hidden_layers=2, intermediate_size=84, num_register_tokens=5,
        layer_norm_eps=1e-3, value_bias=False, patch_size=16,
    ),
}

# Pictures by (rows, samples of a row) and what the processor makes of them. One is enlarged, one shrunk by much, one
# of either is cut by whole patches, and one is the published size.
PICTURES = {
    "squashed": ((61, 97), {"height": 48, "width": 80}),
    "enlarged": ((19, 23), {"height": 64, "width": 32}),
    "wide": ((61, 97), {"shortest_edge": 40}),
    "tall": ((310, 201), {"shortest_edge": 35}),
    "published": ((150, 211), {"height": 224, "width": 224}),
}

# Of the published size every so many-th sample is stored.
STEP = 13


def network(settings):
    model = DINOv3ViTModel(DINOv3ViTConfig(**settings)).eval()
    for name, tensor in model.named_parameters():
        spread = 0.2 if tensor.dim() < 2 or "token" in name else tensor[0].numel() ** -0.5
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            spread *= 3.0
        mean = 1.0 if ("norm" in name and name.endswith("weight")) or "lambda" in name else 0.0
        tensor.data = (torch.randn(tensor.shape) * spread + mean).half().float()
    return model


def picture(h, w):
    # A formula, so that no file has to hold it.
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([((y * 7 + x * 13 + y * x * (c + 1)) % (191 + 32 * c)).to(torch.uint8) for c in range(3)])


def stages(model, pixels):
    seen = {}

    def keep(name):
        def hook(_, __, output):
            if name == "rope":
                seen["cos"], seen["sin"] = output
            else:
                seen[name] = output[0] if isinstance(output, tuple) else output
        return hook

    named = {"embeddings": model.embeddings, "rope": model.rope_embeddings, "last_hidden_state": model.norm}
    named |= {f"layer{i}": layer for i, layer in enumerate(model.layer)}
    hooks = [module.register_forward_hook(keep(name)) for name, module in named.items()]
    seen["class"] = model(pixels).pooler_output
    for hook in hooks:
        hook.remove()
    return seen


def main(folder):
    torch.manual_seed(9)
    torch.set_num_threads(1)
    stored = {}
    inputs = {}
    for name, (shape, size) in PICTURES.items():
        pixels = DINOv3ViTImageProcessorFast(size=size)(picture(*shape), return_tensors="pt").pixel_values
        inputs[name] = pixels
        stored[f"pixels.{name}"] = pixels[..., ::STEP, ::STEP] if name == "published" else pixels
    for name, settings in NETWORKS.items():
        model = network(settings)
        for key, tensor in model.state_dict().items():
            stored[f"{name}.weights.{key}"] = tensor.half()
        with torch.inference_mode():
            for case, pixels in inputs.items():
                if case == "published":
                    stored[f"{name}.{case}.class"] = model(pixels).pooler_output
                else:
                    stored |= {f"{name}.{case}.{stage}": t for stage, t in stages(model, pixels).items()}
            both = torch.cat([inputs["squashed"], inputs["squashed"].flip(-1)])
            stored[f"{name}.batch.last_hidden_state"] = model(both).last_hidden_state
    save_file({key: t.contiguous().clone() for key, t in stored.items()}, Path(folder) / "dinov3.safetensors")


main(sys.argv[1])
