"""Time both stages of the pipeline, as published, in PyTorch and in this project on the same cores.

Usage: bench_pipeline.py BENCH_BINARY     (the binary that `cargo bench -p parallax-stereocrafter --no-run` names)

Random models of a fraction of the published widths, one depth window and one chunk. Rounds alternate
between the two, and the best of all rounds counts. RAYON_NUM_THREADS sets the threads of both.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKLTemporalDecoder, EulerDiscreteScheduler, UNetSpatioTemporalConditionModel
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

import export_stereocrafter as published
from export_svd import SCHEDULER

FRAMES, WIDTH, HEIGHT = 8, 256, 128
STEPS = 8
ROUNDS = 2


def write(root):
    svd = root / "stable-video-diffusion-img2vid-xt-1-1"
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=320, intermediate_size=1280, projection_dim=1024, num_hidden_layers=4,
        num_attention_heads=4, patch_size=14, hidden_act="gelu",
    )
    CLIPVisionModelWithProjection(vision).half().save_pretrained(svd / "image_encoder", variant="fp16")
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(64, 128, 256, 256), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4
    )
    vae.half().save_pretrained(svd / "vae", variant="fp16")
    EulerDiscreteScheduler(**SCHEDULER).save_pretrained(svd / "scheduler")
    CLIPImageProcessor().save_pretrained(svd / "feature_extractor")
    for folder, channels in (("DepthCrafter", 8), ("StereoCrafter/unet_diffusers", 9)):
        unet = UNetSpatioTemporalConditionModel(
            in_channels=channels, block_out_channels=(64, 128, 256, 256), num_attention_heads=(1, 2, 4, 4)
        )
        unet.half().save_pretrained(root / folder)


def networks(root, denoiser):
    net = published.Networks.__new__(published.Networks)
    svd = root / "stable-video-diffusion-img2vid-xt-1-1"
    load = dict(torch_dtype=torch.float32)
    net.vae = AutoencoderKLTemporalDecoder.from_pretrained(svd / "vae", variant="fp16", **load).eval()
    net.clip = CLIPVisionModelWithProjection.from_pretrained(svd / "image_encoder", variant="fp16", **load).eval()
    net.unet = UNetSpatioTemporalConditionModel.from_pretrained(root / denoiser, **load).eval()
    net.scheduler = EulerDiscreteScheduler.from_pretrained(svd / "scheduler")
    net.down = 8
    return net


def run(depth, inpaint):
    video = torch.randn(FRAMES, 3, HEIGHT, WIDTH).clamp(-1, 1)
    mask = torch.zeros(FRAMES, 1, HEIGHT // 8, WIDTH // 8)
    noise = torch.randn(1, FRAMES, 4, HEIGHT // 8, WIDTH // 8)
    # Chunks as in the pipelines: images embedded and encoded by eight for depth, encoded by five after.
    tokens = depth.embed(video)[None]
    image = depth.encode(video + 0.02 * torch.randn(video.shape))
    latents = depth.denoise(noise, image[None], tokens, [7.0, 127.0, 0.02], 1.2, True, lambda z: z)
    (depth.decode(latents[0], 8) / 2 + 0.5).clamp(0, 1).mean(1)
    tokens = inpaint.embed(video[:1])[None]
    image = torch.cat([inpaint.encode(part) for part in video.split(5)])
    extra = torch.cat([image, mask], 1)[None]
    latents = inpaint.denoise(noise, extra, tokens, [6.0, 127.0, 0.0], 1.01, False, lambda z: z)
    ((inpaint.decode(latents[0], 2) / 2 + 0.5).clamp(0, 1) * 255).round()


def main():
    threads = os.environ.setdefault("RAYON_NUM_THREADS", "1")
    torch.set_num_threads(int(threads))
    published.STEPS = STEPS
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        root = Path(folder)
        write(root)
        depth, inpaint = networks(root, "DepthCrafter"), networks(root, "StereoCrafter/unet_diffusers")
        ours = theirs = float("inf")
        for _ in range(ROUNDS):
            start = time.perf_counter()
            run(depth, inpaint)
            theirs = min(theirs, (time.perf_counter() - start) * 1e3)
            command = [sys.argv[1], str(root), str(FRAMES), str(WIDTH), str(HEIGHT)]
            line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            ours = min(ours, float(line.split("\t")[1]))
    print(f"torch {torch.__version__}, {threads} thread(s), {torch.backends.cpu.get_cpu_capability()}")
    print(f"both stages, {FRAMES} frames of {WIDTH}x{HEIGHT}: {ours:.0f} / {theirs:.0f} ms, {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
