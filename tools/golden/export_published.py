"""Export goldens of the published programs themselves, run unchanged on tiny random models.

Usage: export_published.py STEREOCRAFTER DEPTHCRAFTER FORWARD_WARP MODELS OUT_DIR

The first three are checkouts of the published repositories; nothing of theirs is copied here. MODELS is a
folder that `cargo run -p parallax-tiny-weights -- MODELS 21` wrote. What reads and writes video, and what
moves tensors to a GPU, is replaced by stand-ins; models are loaded in single precision.
"""

import inspect
import sys
import types
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline, ModelMixin
from safetensors.torch import save_file
from transformers import PreTrainedModel

DEPTH_SEED = 5
INPAINT_SEED = 6
FRAMES = 8
# Source of the chain: sides are multiples of 64, so that nothing is resized, and the width is cropped.
WIDTH, HEIGHT = 320, 128
MAX_DISPARITY = 6.0


def film(width, height):
    """Frames (N, H, W, 3) by a formula that the test repeats."""
    t, y, x, c = np.ogrid[:FRAMES, :height, :width, :3]
    boxed = ((x + 3 * t) % width // (width // 3) == 1) & (y > height // 3)
    stripes = 40 + 40 * (((x + 2 * t) // 5 + y // 7) % 3) + 15 * c
    return np.where(boxed, 180 + 10 * c, stripes).astype(np.uint8)


def grid(width, height):
    """What the second program takes: source, (unused) depth, mask and warped view in one picture."""
    source = film(width, height)
    t, _, x, _ = np.ogrid[:FRAMES, :height, :width, :3]
    hole = np.broadcast_to((x + 2 * t) // 24 % 5 == 0, source.shape)
    mask, warped = np.where(hole, 255, 0).astype(np.uint8), np.where(hole, 0, source)
    return np.concatenate([np.concatenate([source, source], 2), np.concatenate([mask, warped], 2)], 1)


class Reader:
    """A video in memory. Opening it seeds: loading the models before has drawn from the generator too."""

    videos = {}
    seed = 0

    def __init__(self, path, ctx=None, width=None, height=None):
        torch.manual_seed(self.seed)
        self.frames = self.videos[path]
        assert (width or 0, height or 0) in ((0, 0), self.frames.shape[2:0:-1])

    def __len__(self):
        return len(self.frames)

    def get_avg_fps(self):
        return 24.0

    def get_batch(self, indices):
        return types.SimpleNamespace(asnumpy=lambda: self.frames[list(indices)], shape=self.frames[list(indices)].shape)

    def __getitem__(self, index):
        return types.SimpleNamespace(asnumpy=lambda: self.frames[index])


class Writer:
    """Remembers frames by path."""

    videos = {}

    def __init__(self, path, *_):
        self.frames = self.videos[path] = []

    def write(self, frame):
        self.frames.append(np.array(frame))

    def release(self):
        pass


def module(name, **members):
    made = sys.modules[name] = types.ModuleType(name)
    made.__dict__.update(members)
    return made


def stand_ins(depthcrafter):
    rgb = lambda frame, _code: frame[:, :, ::-1]
    module("cv2", VideoWriter=Writer, VideoWriter_fourcc=lambda *_: 0, cvtColor=rgb, COLOR_RGB2BGR=0)
    module("decord", VideoReader=Reader, cpu=lambda _index: None)
    module("fire", Fire=None)
    module("mediapy")
    module("matplotlib").cm = module("matplotlib.cm")
    module("torchvision").io = module("torchvision.io", write_video=None)
    module("forward_warp_cuda")
    module("dependency").__path__ = []
    module("dependency.DepthCrafter").__path__ = [str(depthcrafter)]
    here = lambda self, *_args, **_kwargs: self
    torch.Tensor.cuda = torch.nn.Module.cuda = DiffusionPipeline.to = here
    for base in (DiffusionPipeline, ModelMixin, PreTrainedModel):
        load = base.from_pretrained.__func__

        def single(cls, *args, load=load, **kwargs):
            return load(cls, *args, **{**kwargs, "torch_dtype": torch.float32})

        base.from_pretrained = classmethod(single)


def stored(frames, step):
    """Every `step`-th row and column of frames (N, H, W, C), as (N, C, h, w)."""
    return torch.from_numpy(np.stack(frames)[:, ::step, ::step].copy()).permute(0, 3, 1, 2).contiguous()


def defaults(function, *names):
    found = inspect.signature(function).parameters
    return torch.tensor([float(found[name].default) for name in names])


def depth_and_warp(models, got):
    import depth_splatting_inference as program

    names = ("num_denoising_steps", "guidance_scale", "window_size", "overlap")
    got["defaults.depth"] = defaults(program.DepthCrafterDemo.infer, *names)
    program.vis_sequence_depth = lambda depth: np.zeros((*depth.shape, 3))
    demo = program.DepthCrafterDemo(
        unet_path=str(models / "DepthCrafter"),
        pre_trained_path=str(models / "stable-video-diffusion-img2vid-xt-1-1"),
        cpu_offload=None,
    )
    # Between whole levels: a pixel that lands alone keeps its level, give or take the last bit, and is then cut.
    Reader.videos["source"] = film(WIDTH, HEIGHT) + 0.5
    Reader.seed = DEPTH_SEED
    depth, vis = demo.infer("source", "nowhere/out.mp4", num_denoising_steps=3, window_size=4, overlap=1, seed=DEPTH_SEED)
    got["depth"] = torch.from_numpy(depth[:, None, ::4, ::4].copy())
    program.DepthSplatting("source", "grid", depth, vis, MAX_DISPARITY, -1, 10)
    frames = np.stack(Writer.videos["grid"])[..., ::-1]
    got["mask"] = stored(frames[:, HEIGHT:, :WIDTH, :1], 4)
    got["warped"] = stored(frames[:, HEIGHT:, WIDTH:], 4)
    return frames


def inpaint(models, got, name, frames, tiles):
    import inpainting_inference as program

    got["defaults.inpaint"] = defaults(program.main, "frames_chunk", "overlap", "tile_num")
    Reader.videos[name], Reader.seed = frames, INPAINT_SEED
    with torch.no_grad():
        program.main(
            pre_trained_path=str(models / "stable-video-diffusion-img2vid-xt-1-1"),
            unet_path=str(models / "StereoCrafter"),
            input_video_path=name, save_dir=".", frames_chunk=4, overlap=1, tile_num=tiles,
        )
    both = np.stack(Writer.videos[f"./{name}_inpainting_results_sbs.mp4"])[..., ::-1]
    got[name] = stored(both[:, :, both.shape[2] // 2 :], 3 if tiles == 1 else 4)


def main():
    torch.set_num_threads(1)
    stereocrafter, depthcrafter, warp, models, out = map(Path, sys.argv[1:])
    sys.path[:0] = [str(stereocrafter), str(warp)]
    stand_ins(depthcrafter)
    got = {}
    chain = depth_and_warp(models, got)
    inpaint(models, got, "chain", chain, 1)
    inpaint(models, got, "tiled", grid(384, 256), 2)
    save_file({k: v.contiguous() for k, v in got.items()}, out / "published.golden.safetensors")


if __name__ == "__main__":
    main()
