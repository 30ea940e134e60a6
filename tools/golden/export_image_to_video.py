"""Export goldens of Stable Video Diffusion itself: pictures to clips, by the published pipeline.

Usage: export_image_to_video.py OUT_DIR

The networks are drawn rather than stored: every tensor in the order of its name from one generator for each
network, which the tests draw again. Pictures follow from indices, noise from a seed. What is kept are
configurations, what the pipeline computed on its way, and frames, of large pictures every third pixel.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from export_svd import SCHEDULER

SETS = {
    # The wide latents of a shallow VAE; the frames' count of the smaller published model.
    "shallow": dict(
        unet=dict(
            in_channels=8, block_out_channels=(32, 64), num_attention_heads=(2, 4), layers_per_block=1,
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            cross_attention_dim=24, addition_time_embed_dim=16, projection_class_embeddings_input_dim=48,
            num_frames=14,
        ),
        vae=dict(block_out_channels=(32, 64), layers_per_block=2, latent_channels=4),
        clip=dict(
            hidden_size=48, intermediate_size=80, projection_dim=24, num_hidden_layers=2, num_attention_heads=3,
            image_size=224, patch_size=32, hidden_act="gelu",
        ),
    ),
    # Eight pixels to a latent, as in the published one.
    "deep": dict(
        unet=dict(
            in_channels=8, block_out_channels=(64, 32, 96), num_attention_heads=(1, 4, 3), layers_per_block=2,
            down_block_types=(
                "CrossAttnDownBlockSpatioTemporal", "CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal",
            ),
            up_block_types=(
                "UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal",
            ),
            cross_attention_dim=20, addition_time_embed_dim=8, projection_class_embeddings_input_dim=24,
            num_frames=25,
        ),
        vae=dict(block_out_channels=(32, 32, 64, 32), layers_per_block=1, latent_channels=4, scaling_factor=0.25),
        clip=dict(
            hidden_size=40, intermediate_size=52, projection_dim=20, num_hidden_layers=3, num_attention_heads=5,
            image_size=224, patch_size=56, hidden_act="quick_gelu",
        ),
    ),
}

CASES = {
    ("shallow", "landscape"): dict(
        size=(40, 64), frames=5, steps=4, bucket=127, fps=7, aug=0.02, guidance=(1.0, 3.0), chunk=2, seed=5, keep=1,
    ),
    ("shallow", "no_guidance"): dict(
        size=(32, 48), frames=3, steps=2, bucket=200, fps=25, aug=0.0, guidance=(0.5, 1.0), chunk=3, seed=6, keep=1,
    ),
    ("deep", "portrait"): dict(
        size=(320, 256), frames=2, steps=2, bucket=40, fps=12, aug=0.3, guidance=(2.5, 1.5), chunk=8, seed=7, keep=3,
    ),
    ("deep", "single"): dict(
        size=(64, 64), frames=1, steps=1, bucket=255, fps=2, aug=1.0, guidance=(2.0, 3.0), chunk=8, seed=8, keep=1,
    ),
}


def draw(model, seed):
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            value = torch.randn(p.shape, generator=gen)
            if p.dim() != 1 or name.endswith("mix_factor"):
                value = value / (1 if p.dim() == 1 else p[0].numel() ** 0.5)
            else:
                value = (1 if "norm" in name and name.endswith("weight") else 0) + 0.2 * value
            p.copy_(value)
    return model.eval()


def picture(height, width):
    y, x = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    c = np.arange(3)[None, None]
    levels = (x * (3 + c) + y * (5 - c) + x * y // 16 + (x // 5 + y // 7) % 2 * 90) % 256
    return Image.fromarray(levels.astype(np.uint8))


class Taken:
    """What the pipeline computes on its way."""

    def __init__(self, pipe):
        self.tensors = {}
        self.steps, self.decoded = 0, 0
        self.wrap(pipe.image_encoder, "forward", self.embeds)
        self.wrap(pipe.vae, "encode", self.latents)
        self.wrap(pipe.vae, "decode", self.decode)
        self.wrap(pipe.unet, "forward", self.unet)

    def wrap(self, module, name, take):
        inner = getattr(module, name)

        def wrapped(*args, **kwargs):
            out = inner(*args, **kwargs)
            take(args, kwargs, out)
            return out

        setattr(module, name, wrapped)

    def embeds(self, args, kwargs, out):
        self.tensors["image_embeds"] = out.image_embeds

    def latents(self, args, kwargs, out):
        self.tensors["image_latents"] = out.latent_dist.mode()

    def decode(self, args, kwargs, out):
        self.decoded += 1

    def unet(self, args, kwargs, out):
        self.steps += 1


def run(pipe, case):
    height, width = case["size"]
    taken = Taken(pipe)
    latents = []

    def step(_pipe, _i, _t, kwargs):
        latents.append(kwargs["latents"])
        return {}

    frames = pipe(
        picture(height, width), height=height, width=width, num_frames=case["frames"], output_type="np",
        num_inference_steps=case["steps"], min_guidance_scale=case["guidance"][0],
        max_guidance_scale=case["guidance"][1], fps=case["fps"], motion_bucket_id=case["bucket"],
        noise_aug_strength=case["aug"], decode_chunk_size=case["chunk"],
        generator=torch.Generator().manual_seed(case["seed"]), callback_on_step_end=step,
    ).frames[0]
    assert taken.steps == case["steps"] and taken.decoded == -(-case["frames"] // case["chunk"])
    levels = (frames * 255).round().astype(np.uint8)
    clipped = ((levels == 0) | (levels == 255)).mean()
    print(case, "clipped", round(float(clipped), 3))
    assert clipped < 0.4
    kept = case["keep"]
    out = {k: v.detach().float().contiguous().clone() for k, v in taken.tensors.items()}
    out["last"] = latents[-1].contiguous().clone()
    out["frames"] = torch.from_numpy(levels[:, ::kept, ::kept].copy())
    return out


def pipeline(config):
    unet = draw(UNetSpatioTemporalConditionModel(**config["unet"]), 1)
    downs = ("DownEncoderBlock2D",) * len(config["vae"]["block_out_channels"])
    vae = draw(AutoencoderKLTemporalDecoder(**config["vae"], down_block_types=downs), 2)
    clip = draw(CLIPVisionModelWithProjection(CLIPVisionConfig(**config["clip"])), 3)
    pipe = StableVideoDiffusionPipeline(
        vae=vae, image_encoder=clip, unet=unet, scheduler=EulerDiscreteScheduler(**SCHEDULER),
        feature_extractor=CLIPImageProcessor(),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def main():
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    for name, config in SETS.items():
        folder = out / name
        pipe = pipeline(config)
        for part, model in (("unet", pipe.unet), ("vae", pipe.vae)):
            model.save_config(folder / part)
        pipe.image_encoder.config.save_pretrained(folder / "image_encoder")
        pipe.scheduler.save_pretrained(folder / "scheduler")
        pipe.feature_extractor.save_pretrained(folder / "feature_extractor")
        for (of, case_name), case in CASES.items():
            if of == name:
                save_file(run(pipeline(config), case), folder / f"{case_name}.golden.safetensors")
                (folder / f"{case_name}.json").write_text(json.dumps(case) + "\n")


if __name__ == "__main__":
    main()
