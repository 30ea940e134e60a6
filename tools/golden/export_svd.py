"""Export goldens for the Stable Video Diffusion family from the published PyTorch classes.

Usage: export_svd.py OUT_DIR OUT_DIR_OF_NN
"""

import json
import sys
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    UNetSpatioTemporalConditionModel,
)
from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion as svd
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

SCHEDULER = dict(
    num_train_timesteps=1000,
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",
    prediction_type="v_prediction",
    interpolation_type="linear",
    use_karras_sigmas=True,
    sigma_min=0.002,
    sigma_max=700.0,
    timestep_spacing="leading",
    timestep_type="continuous",
    steps_offset=1,
)

UNETS = {
    "small": dict(
        in_channels=8,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        block_out_channels=(32, 64),
        num_attention_heads=(2, 4),
        layers_per_block=1,
        cross_attention_dim=24,
        addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=48,
        num_frames=3,
    ),
    "odd": dict(
        in_channels=9,
        down_block_types=(
            "CrossAttnDownBlockSpatioTemporal",
            "DownBlockSpatioTemporal",
            "DownBlockSpatioTemporal",
        ),
        up_block_types=(
            "UpBlockSpatioTemporal",
            "UpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
        ),
        # Where a group of a norm is one channel, the norm takes what the ids add to it away again.
        block_out_channels=(32, 64, 32),
        num_attention_heads=(1, 4, 8),
        layers_per_block=[1, 1, 1],  # the library also takes lists
        cross_attention_dim=[20, 20, 20],
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24,
        num_frames=4,
    ),
}
VAES = {
    "small": dict(block_out_channels=(32, 32), layers_per_block=2, latent_channels=4),
    "odd": dict(block_out_channels=(64, 32), layers_per_block=1, latent_channels=4),
}
CLIPS = {
    "small": dict(
        hidden_size=48, intermediate_size=80, projection_dim=24, num_hidden_layers=3,
        num_attention_heads=4, image_size=28, patch_size=7, hidden_act="gelu",
    ),
    "odd": dict(
        hidden_size=30, intermediate_size=52, projection_dim=20, num_hidden_layers=2,
        num_attention_heads=5, image_size=30, patch_size=6, hidden_act="quick_gelu",
    ),
}

# Layers whose output is, or is added to, the input of a norm.
QUIET_FACTOR = 2.0**-6
QUIET_SUFFIXES = (
    "conv_in", "conv1", "conv2", "time_emb_proj", "proj_in", "proj_out", "to_out.0", "net.2",
    "time_pos_embed.linear_2", "patch_embedding", "class_embedding", "position_embedding",
    "self_attn.out_proj", "mlp.fc2", "pre_layrnorm", "samplers.0.conv.bias",
)


def is_quiet(name):
    return name.endswith(QUIET_SUFFIXES) or name.rsplit(".", 1)[0].endswith(QUIET_SUFFIXES)


def randomise(model, seed):
    """Weights of unit gain, biases and mixing factors that are not zero, all exact in half precision."""
    gen = torch.Generator().manual_seed(seed)

    def draw(shape):
        return torch.randn(shape, generator=gen)

    with torch.no_grad():
        for name, p in model.named_parameters():
            leaf = name.rsplit(".", 2)
            if name.endswith("mix_factor"):
                value = draw(p.shape)
            elif p.dim() == 1 and "norm" in leaf[-2] and name.endswith("weight"):
                value = 1 + 0.2 * draw(p.shape)
            elif p.dim() == 1:
                value = 0.2 * draw(p.shape)
            elif "embedding" in name and p.dim() == 2 and "linear" not in name:
                value = draw(p.shape)
            else:
                value = draw(p.shape) / p[0].numel() ** 0.5
            p.copy_(value.half().float())
    return model.eval()


class Taps:
    """Collects the output of every module whose name passes `wanted`."""

    def __init__(self, model, wanted):
        self.taken = {}
        self.handles = [
            m.register_forward_hook(self.hook(name)) for name, m in model.named_modules() if wanted(name)
        ]

    def hook(self, name):
        def take(_module, _args, out):
            out = out[0] if isinstance(out, tuple) else getattr(out, "sample", out)
            self.taken["tap." + name] = out.detach().clone().contiguous()

        return take

    def close(self):
        for h in self.handles:
            h.remove()
        return self.taken


def unet_block(name):
    parts = name.split(".")
    if name in ("conv_in", "conv_norm_out", "time_embedding", "add_embedding"):
        return True
    return parts[-1].isdigit() and parts[-2] in ("resnets", "attentions", "downsamplers", "upsamplers")


def vae_block(name):
    parts = name.split(".")
    if parts[-1] in ("conv_in", "conv_norm_out", "conv_out"):
        return True
    return parts[-1].isdigit() and parts[-2] in ("resnets", "attentions", "downsamplers", "upsamplers")


def clip_block(name):
    parts = name.split(".")
    return parts[-1] in ("embeddings", "pre_layrnorm", "post_layernorm") or (
        parts[-1].isdigit() and parts[-2] == "layers"
    )


def force_upsample_sizes(model, h, w):
    """Make upsamplers return the size of the skip they meet, as later releases of the library do."""
    sizes = [(h, w)]
    for _ in range(len(model.up_blocks) - 1):
        h, w = (h + 1) // 2, (w + 1) // 2
        sizes.append((h, w))
    for block, size in zip(model.up_blocks, reversed(sizes[:-1])):
        up = block.upsamplers[0]
        inner = type(up).forward
        up.forward = lambda x, up=up, size=size, inner=inner: inner(up, x, output_size=size)


def store(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().float().contiguous().clone() for k, v in tensors.items()}, path)


def save_weights(model, folder):
    model.half().save_pretrained(folder, variant="fp16", safe_serialization=True)
    model.float()
    for extra in folder.glob("*.md"):
        extra.unlink()


def quieten(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if is_quiet(name):
                p.mul_(QUIET_FACTOR)


def run_unet(model, seed, b, f, h, w, ctx_dim, ids, tokens=1, per_frame=False):
    gen = torch.Generator().manual_seed(seed)
    x = torch.randn(b, f, model.config.in_channels, h, w, generator=gen)
    ctx = torch.randn(b, f if per_frame else tokens, ctx_dim, generator=gen)
    t = torch.tensor(1.15845)
    ids = torch.tensor(ids)
    wanted = unet_block if not per_frame else (lambda n: n == "mid_block.attentions.0")
    taps = Taps(model, wanted if tokens == 1 else (lambda n: n == "mid_block.attentions.0"))
    with torch.no_grad():
        if per_frame:
            # DepthCrafter's forward: one token per frame, so the repeat over frames is undone first.
            flat = ctx.flatten(0, 1)[:, None]
            real = torch.Tensor.repeat_interleave
            calls = []

            def repeat(self, n, dim=None):
                calls.append(tuple(self.shape))
                return flat if self is ctx else real(self, n, dim=dim)

            torch.Tensor.repeat_interleave = repeat
            try:
                out = model(x, t, ctx, ids).sample
            finally:
                torch.Tensor.repeat_interleave = real
            assert len(calls) == 2
        else:
            out = model(x, t, ctx, ids).sample
    got = taps.close()
    got.update({"sample": x, "context": ctx, "timestep": t[None], "added_time_ids": ids, "out": out})
    return got


def run_vae(model, seed, f, h, w):
    gen = torch.Generator().manual_seed(seed)
    scale = 2 ** (len(model.config.block_out_channels) - 1)
    image = torch.rand(2, 3, h * scale, w * scale, generator=gen) * 2 - 1
    latents = torch.randn(f, model.config.latent_channels, h, w, generator=gen)
    with torch.no_grad():
        taps = Taps(model.encoder, vae_block)
        mode = model.encode(image).latent_dist.mode()
        out = {"encode.image": image, "encode.mode": mode}
        out.update({k.replace("tap.", "tap.encoder."): v for k, v in taps.close().items()})
        taps = Taps(model.decoder, vae_block)
        out["decode.latents"] = latents
        out["decode.image"] = model.decode(latents, num_frames=f).sample
        out.update({k.replace("tap.", "tap.decoder."): v for k, v in taps.close().items()})
        out["decode.two_at_a_time"] = torch.cat(
            [model.decode(latents[i : i + 2], num_frames=len(latents[i : i + 2])).sample for i in range(0, f, 2)]
        )
    return out


def run_clip(model, seed, n):
    gen = torch.Generator().manual_seed(seed)
    side = model.config.image_size
    x = torch.randn(n, 3, side, side, generator=gen)
    taps = Taps(model, clip_block)
    with torch.no_grad():
        embeds = model(pixel_values=x).image_embeds
    out = taps.close()
    out.update({"pixels": x, "embeds": embeds})
    return out


def models(out):
    small = randomise(UNetSpatioTemporalConditionModel(**UNETS["small"]), 11)
    save_weights(small, out / "small/unet")
    ids = [[6.0, 127.0, 0.02], [7.0, 110.0, 0.25]]
    store(out / "small/unet.golden.safetensors", run_unet(small, 1, 2, 3, 4, 6, 24, ids))
    store(out / "small/unet_per_frame.golden.safetensors", run_unet(small, 2, 1, 3, 2, 4, 24, ids[:1], per_frame=True))
    store(out / "small/unet_tokens.golden.safetensors", run_unet(small, 3, 1, 3, 4, 2, 24, ids[:1], tokens=5))
    quieten(small)
    store(out / "quiet/unet.golden.safetensors", run_unet(small, 4, 1, 5, 4, 6, 24, ids[:1]))

    odd = randomise(UNetSpatioTemporalConditionModel(**UNETS["odd"]), 12)
    save_weights(odd, out / "odd/unet")
    force_upsample_sizes(odd, 5, 7)
    store(out / "odd/unet.golden.safetensors", run_unet(odd, 5, 1, 4, 5, 7, 20, [[6.0, 127.0, 0.0]]))

    small = randomise(AutoencoderKLTemporalDecoder(**VAES["small"], down_block_types=("DownEncoderBlock2D",) * 2), 13)
    save_weights(small, out / "small/vae")
    store(out / "small/vae.golden.safetensors", run_vae(small, 6, 3, 4, 6))
    quieten(small)
    store(out / "quiet/vae.golden.safetensors", run_vae(small, 7, 3, 3, 4))
    odd = randomise(AutoencoderKLTemporalDecoder(**VAES["odd"], down_block_types=("DownEncoderBlock2D",) * 2), 14)
    save_weights(odd, out / "odd/vae")
    store(out / "odd/vae.golden.safetensors", run_vae(odd, 8, 3, 3, 5))

    small = randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIPS["small"])), 15)
    save_weights(small, out / "small/image_encoder")
    store(out / "small/image_encoder.golden.safetensors", run_clip(small, 9, 3))
    quieten(small)
    store(out / "quiet/image_encoder.golden.safetensors", run_clip(small, 9, 2))
    odd = randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIPS["odd"])), 16)
    save_weights(odd, out / "odd/image_encoder")
    store(out / "odd/image_encoder.golden.safetensors", run_clip(odd, 10, 2))
    (out / "quiet/quiet.json").write_text(
        json.dumps({"factor": QUIET_FACTOR, "suffixes": QUIET_SUFFIXES}, indent=2) + "\n"
    )


def scheduler(out):
    EulerDiscreteScheduler(**SCHEDULER).save_pretrained(out / "small/scheduler")
    tensors = {}
    gen = torch.Generator().manual_seed(21)
    for n in (1, 5, 8, 25):
        s = EulerDiscreteScheduler(**SCHEDULER)
        s.set_timesteps(n)
        tensors[f"{n}.sigmas"] = s.sigmas
        tensors[f"{n}.timesteps"] = s.timesteps
        tensors[f"{n}.init_noise_sigma"] = s.init_noise_sigma[None]
    s = EulerDiscreteScheduler(**SCHEDULER)
    s.set_timesteps(5)
    x = torch.randn(1, 2, 4, 3, 5, generator=gen) * s.init_noise_sigma
    tensors["trace.start"] = x
    for i, t in enumerate(s.timesteps):
        tensors[f"trace.{i}.scaled"] = s.scale_model_input(x, t)
        v = torch.randn(x.shape, generator=gen)
        tensors[f"trace.{i}.v"] = v
        x = s.step(v, t, x).prev_sample
        tensors[f"trace.{i}.next"] = x
    store(out / "scheduler.golden.safetensors", tensors)


def resize(out):
    gen = torch.Generator().manual_seed(31)
    tensors = {}
    cases = ((40, 56, 28, 28), (33, 71, 14, 20), (9, 12, 16, 22), (448, 250, 224, 224), (61, 47, 7, 5))
    for h, w, oh, ow in cases:
        x = torch.rand(1, 3 if h < 200 else 1, h, w, generator=gen) * 2 - 1
        if h > 200:
            # Smooth and reproducible from indices, so that the big input is not stored.
            y, z = torch.arange(h)[:, None], torch.arange(w)[None]
            x = ((y * 7 + z * 13 + y * z) % 32 / 16.0 - 1)[None, None]
        else:
            tensors[f"{h}x{w}.{oh}x{ow}.in"] = x
        got = svd._resize_with_antialiasing(x, (oh, ow))
        tensors[f"{h}x{w}.{oh}x{ow}.out"] = got[..., ::8, ::8] if h > 200 else got
    store(out / "resize.golden.safetensors", tensors)


def noise(out):
    tensors = {}
    for seed in (0, 42, 1234567, 2**32 - 1, 2**40 + 5):
        for n in (1, 2, 7, 15, 16, 17, 32, 61, 640):
            tensors[f"{seed}.{n}.f32"] = torch.randn(n, generator=torch.Generator().manual_seed(seed))
            tensors[f"{seed}.{n}.f16"] = torch.randn(
                n, generator=torch.Generator().manual_seed(seed), dtype=torch.float16
            )
    # One generator across calls of both paths: an odd number of scalars leaves a value in its cache.
    gen = torch.Generator().manual_seed(7)
    for i, n in enumerate((3, 20, 5, 4, 33, 16, 1)):
        tensors[f"stream.{i}.{n}"] = torch.randn(n, generator=gen)
    store(out / "noise.golden.safetensors", tensors)


def main():
    torch.set_num_threads(1)
    out, common = Path(sys.argv[1]), Path(sys.argv[2])
    models(out)
    scheduler(out)
    resize(common)
    noise(common)


if __name__ == "__main__":
    main()
