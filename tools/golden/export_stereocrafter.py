"""Export goldens of both stages of the stereo pipeline, orchestrated from its description.

Usage: export_stereocrafter.py SVD_GOLDENS OUT_DIR

SVD_GOLDENS is the output of export_svd.py: the networks are read from there. Networks, scheduler and
resize are the published classes; the windows, tiles and chunks around them are written
here, plainly, from the facts that the Rust crate cites.
"""

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKLTemporalDecoder, EulerDiscreteScheduler, UNetSpatioTemporalConditionModel
from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion as svd
from safetensors.torch import save_file
from transformers import CLIPVisionModelWithProjection

STEPS = 3
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


def store(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path)


class Networks:
    def __init__(self, folder, scheduler):
        load = dict(variant="fp16", torch_dtype=torch.float32)
        self.unet = UNetSpatioTemporalConditionModel.from_pretrained(folder / "unet", **load).eval()
        self.vae = AutoencoderKLTemporalDecoder.from_pretrained(folder / "vae", **load).eval()
        self.clip = CLIPVisionModelWithProjection.from_pretrained(folder / "image_encoder", **load).eval()
        self.scheduler = EulerDiscreteScheduler.from_pretrained(scheduler)
        self.down = 2 ** (len(self.vae.config.block_out_channels) - 1)

    def embed(self, frames):
        side = self.clip.config.image_size
        unit = (svd._resize_with_antialiasing(frames, (side, side)) + 1.0) / 2.0
        return self.clip(pixel_values=(unit - MEAN) / STD).image_embeds

    def encode(self, frames):
        return self.vae.encode(frames).latent_dist.mode()

    def decode(self, latents, chunk):
        latents = latents / self.vae.config.scaling_factor
        parts = [latents[i : i + chunk] for i in range(0, len(latents), chunk)]
        return torch.cat([self.vae.decode(p, num_frames=len(p)).sample for p in parts])

    def predict(self, x, t, tokens, ids, per_frame):
        """`tokens` (1, F, D) one per frame, or (1, 1, D) for all."""
        ids = torch.tensor([ids])
        if not per_frame:
            return self.unet(x, t, tokens, ids).sample
        flat, real = tokens.flatten(0, 1)[:, None], torch.Tensor.repeat_interleave
        torch.Tensor.repeat_interleave = lambda self, n, dim=None: flat if self is tokens else real(self, n, dim=dim)
        try:
            return self.unet(x, t, tokens, ids).sample
        finally:
            torch.Tensor.repeat_interleave = real

    def denoise(self, latents, extra, tokens, ids, guidance, per_frame, prepare):
        self.scheduler.set_timesteps(STEPS)
        latents = prepare(latents * self.scheduler.init_noise_sigma)
        for t in self.scheduler.timesteps:
            scaled = self.scheduler.scale_model_input(latents, t)
            v = self.predict(torch.cat([scaled, extra], 2), t, tokens, ids, per_frame)
            if guidance > 1:
                blind = torch.cat([scaled, torch.zeros_like(extra)], 2)
                u = self.predict(blind, t, torch.zeros_like(tokens), ids, per_frame)
                v = u + guidance * (v - u)
            latents = self.scheduler.step(v, t, latents).prev_sample
        return latents


def moving_pattern(n, h, w, seed):
    """Smooth shapes on the move, 8 bits."""
    gen = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, n + 2, h // 6 + 2, w // 6 + 2, generator=gen)
    fine = torch.nn.functional.interpolate(coarse, size=(n, h, w), mode="trilinear", align_corners=True)
    return (fine[0].permute(1, 0, 2, 3) * 255).round().to(torch.uint8)


def depth(net, out, name, n, window, overlap, guidance, size, source):
    gen = torch.Generator().manual_seed(51)
    frames8 = moving_pattern(n, *size, seed=52)
    video = frames8.float() / 255 * 2 - 1
    got = {"frames": frames8}
    tokens = net.embed(video)[None]
    got["embeddings"] = tokens[0]
    augmentation = torch.randn(video.shape, generator=gen)
    got["augmentation"] = augmentation
    image = net.encode(video + 0.02 * augmentation)
    got["image_latents"] = image
    if n <= window:
        window, overlap = n, 0
    stride = window - overlap
    noise = torch.randn(1, window, 4, *image.shape[-2:], generator=gen)
    got["noise"] = noise
    done, start = None, 0
    while start < n - overlap:
        end = min(start + window, n)
        sub = noise[:, : end - start]

        def prepare(latents):
            if done is not None and overlap:
                latents[:, :overlap] = done[:, -overlap:] + sub[:, :overlap] * net.scheduler.sigmas[0]
            return latents

        latents = net.denoise(
            sub, image[None, start:end], tokens[:, start:end], [7.0, 127.0, 0.02], guidance, True, prepare
        )
        got[f"window.{start}"] = latents[0]
        if done is None:
            done = latents
        else:
            if overlap:
                w = torch.linspace(0, 1, overlap)[None, :, None, None, None]
                latents[:, :overlap] = done[:, -overlap:] * (1 - w) + latents[:, :overlap] * w
                done = done[:, :-overlap]
            done = torch.cat([done, latents], 1)
        noise = torch.cat([noise[:, stride:], noise[:, :stride]], 1)
        start += stride
    got["latents"] = done[0]
    images = net.decode(done[0], 8 if n > 8 else 3)
    got["decoded"] = images
    mean = (images / 2 + 0.5).clamp(0, 1).mean(1, keepdim=True)
    up = torch.nn.functional.interpolate(mean, source, mode="bilinear", align_corners=False)
    got["depth"] = (up - up.min()) / (up.max() - up.min())
    store(out / f"depth.{name}.golden.safetensors", got)


def any_latent_size(unet):
    """Let upsamplers return the size of the skip they meet, as later releases of the library do."""
    inner = unet.forward

    def forward(sample, *args, **kwargs):
        h, w = sample.shape[-2:]
        sizes = []
        for _ in range(len(unet.up_blocks) - 1):
            sizes.append((h, w))
            h, w = (h + 1) // 2, (w + 1) // 2
        for block, size in zip(unet.up_blocks, reversed(sizes)):
            up = block.upsamplers[0]
            up.forward = lambda x, up=up, size=size: type(up).forward(up, x, output_size=size)
        return inner(sample, *args, **kwargs)

    unet.forward = forward


def inpaint(net, out, name, n, length, overlap, tiles, shared, guidance):
    gen = torch.Generator().manual_seed(71)
    warped8 = moving_pattern(n, 45, 59, seed=72)
    holes = moving_pattern(n, 45, 59, seed=73)[:, :1]
    # Grey mattes, some of them between hole and no hole.
    mask8 = ((holes.float() - 128) * 6 + 128).clamp(0, 255).to(torch.uint8).repeat(1, 3, 1, 1)
    mask8[:, 1] = 255 - (255 - mask8[:, 1].int()).clamp(max=200).to(torch.uint8)
    got = {"warped": warped8, "mask": mask8}
    h, w = 45 // 8 * 8, 59 // 8 * 8
    frames = warped8[:, :, :h, :w].float() / 255
    mask = (mask8[:, :, :h, :w].float() / 255).mean(1, keepdim=True)
    th, tw = int((h + shared * (tiles - 1)) / tiles), int((w + shared * (tiles - 1)) / tiles)
    if tiles == 1:
        th, tw = h, w
    step_h, step_w = th - shared, tw - shared
    results, previous, chunk = [], None, 0
    for i in range(0, n, length - overlap):
        if i + overlap >= n:
            break
        first, known = i, overlap
        if previous is not None and i + length > n:
            first = max(n + overlap - length, 0)
            known = i - first + overlap
        part = frames[first : first + length].clone()
        if previous is not None:
            part[:known] = previous[-known:]
        part_mask = mask[first : first + length]
        grid = []
        for r in range(tiles):
            row = []
            for c in range(tiles):
                at = (..., slice(r * step_h, r * step_h + th), slice(c * step_w, c * step_w + tw))
                x, m = part[at] * 2 - 1, (part_mask[at] >= 0.5).float()
                tokens = net.embed(x[:1])[None]
                # Drawn for a noise augmentation of strength zero.
                torch.randn(x.shape, generator=gen)
                image = net.encode(x)
                small = torch.nn.functional.interpolate(m, image.shape[-2:], mode="nearest")
                noise = torch.randn(1, len(x), 4, *image.shape[-2:], generator=gen)
                extra = torch.cat([image, small], 1)[None]
                latents = net.denoise(noise, extra, tokens, [6.0, 127.0, 0.0], guidance, False, lambda z: z)[0]
                key = f"{chunk}.{r * tiles + c}."
                got[key + "noise"] = noise
                if chunk == 0:
                    got[key + "extra"], got[key + "token"] = extra[0], tokens[0]
                row.append(latents)
            grid.append(row)
        ov = shared // net.down
        ramp = torch.arange(ov) / max(ov, 1)
        for r in range(tiles):
            for c in range(tiles):
                if r > 0:
                    k = ramp.view(1, 1, -1, 1)
                    grid[r][c][:, :, :ov] = grid[r - 1][c][:, :, -ov:] * (1 - k) + grid[r][c][:, :, :ov] * k
                if c > 0:
                    k = ramp.view(1, 1, 1, -1)
                    grid[r][c][..., :ov] = grid[r][c - 1][..., -ov:] * (1 - k) + grid[r][c][..., :ov] * k
        crop_h, crop_w = step_h // net.down, step_w // net.down
        latents = torch.cat(
            [
                torch.cat(
                    [
                        t[:, :, : crop_h if r < tiles - 1 else None, : crop_w if c < tiles - 1 else None]
                        for c, t in enumerate(row)
                    ],
                    3,
                )
                for r, row in enumerate(grid)
            ],
            2,
        )
        images = net.decode(latents, 2)
        eight = ((images / 2 + 0.5).clamp(0, 1) * 255).round()
        got[f"{chunk}.merged"], got[f"{chunk}.frames"] = latents, eight.to(torch.uint8)
        previous = eight / 255
        results.append(eight.to(torch.uint8)[known if chunk else 0 :])
        chunk += 1
    got["result"] = torch.cat(results)
    assert len(got["result"]) == n
    store(out / f"inpaint.{name}.golden.safetensors", got)


def main():
    torch.set_num_threads(1)
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    with torch.no_grad():
        small = Networks(root / "small", root / "small/scheduler")
        depth(small, out, "windows", 7, 4, 2, 1.2, (24, 40), (31, 50))
        depth(small, out, "whole", 3, 4, 2, 1.0, (16, 24), (16, 24))
        odd = Networks(root / "odd", root / "small/scheduler")
        any_latent_size(odd.unet)
        inpaint(odd, out, "whole", 9, 5, 2, 1, 0, 1.01)
        inpaint(odd, out, "tiled", 10, 5, 2, 2, 8, 1.01)


if __name__ == "__main__":
    main()
