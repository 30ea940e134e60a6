"""Streams a clip through a tiny Video Depth Anything as its published program does, and writes the depth of its later
frames.

Usage: export_stream.py FOLDER

FOLDER has the tiny checkpoint and the clip (`vda.safetensors`, `vda_clips.safetensors`). The clip is played, and its last
third once more, backwards: 80 frames. The first 50 have to be what the published classes made of them, or nothing is
written: caches are kept here as there, in front of the projections, whole and recomputed for every frame.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

HEADS, TIME_HEADS, BLOCKS, TAKEN, TABLE = 2, 8, 5, (0, 1, 3, 4), 9
# Of the frames after the first so many every so-many-th sample of either axis is stored.
KNOWN, STEP = 50, 2


class Names:
    """Tensors by a prefix."""

    def __init__(self, tensors, prefix=""):
        self.tensors, self.prefix = tensors, prefix

    def __getitem__(self, name):
        return self.tensors[self.prefix + name].float()

    def at(self, name):
        return Names(self.tensors, f"{self.prefix}{name}.")


def linear(x, w, bias=True):
    return F.linear(x, w["weight"], w["bias"] if bias else None)


def norm(x, w, eps):
    return F.layer_norm(x, x.shape[-1:], w["weight"], w["bias"], eps)


def conv(x, w, bias=True, **how):
    return F.conv2d(x, w["weight"], w["bias"] if bias else None, **how)


def attention(q, k, v, heads):
    n, _, c = q.shape
    q, k, v = [t.view(n, -1, heads, c // heads).transpose(1, 2) for t in (q, k, v)]
    weights = (q @ k.transpose(2, 3) * (c // heads) ** -0.5).softmax(-1)
    return (weights @ v).transpose(1, 2).reshape(n, -1, c)


def encode(w, images):
    """Tokens of the blocks that are taken, without the class token."""
    x = conv(images, w.at("patch_embed.proj"), stride=14)
    (h, width), c = x.shape[2:], x.shape[1]
    table = w["pos_embed"][:, 1:].view(1, TABLE, TABLE, c).permute(0, 3, 1, 2)
    scale = ((h + 0.1) / TABLE, (width + 0.1) / TABLE)
    table = F.interpolate(table, scale_factor=scale, mode="bicubic").flatten(2).transpose(1, 2)
    x = torch.cat([w["cls_token"] + w["pos_embed"][:, :1], x.flatten(2).transpose(1, 2) + table], 1)
    taken = []
    for i in range(BLOCKS):
        b = w.at(f"blocks.{i}")
        q, k, v = linear(norm(x, b.at("norm1"), 1e-6), b.at("attn.qkv")).chunk(3, -1)
        x = x + b["ls1.gamma"] * linear(attention(q, k, v, HEADS), b.at("attn.proj"))
        hidden = F.gelu(linear(norm(x, b.at("norm2"), 1e-6), b.at("mlp.fc1")))
        x = x + b["ls2.gamma"] * linear(hidden, b.at("mlp.fc2"))
        if i in TAKEN:
            taken.append(norm(x, w.at("norm"), 1e-6)[:, 1:].transpose(1, 2).unflatten(2, (h, width)))
    return taken


def motion(w, x, caches):
    """One frame through a module; `caches` are those of its attentions, and what they become."""
    w, block = w.at("temporal_transformer"), w.at("temporal_transformer.transformer_blocks.0")
    _, c, h, width = x.shape
    y = F.group_norm(x, 32, w["norm.weight"], w["norm.bias"], 1e-6)
    y = linear(y.flatten(2)[0].t()[:, None], w.at("proj_in"))  # (H W, 1, C)
    kept = []
    for i in range(2):
        a = block.at(f"attention_blocks.{i}")
        normed = norm(y, block.at(f"norms.{i}"), 1e-5)
        kept.append(normed)
        seen = torch.cat([*[cache[i] for cache in caches], normed], 1)
        seen = seen + a["pos_encoder.pe"][:, :seen.shape[1]]
        q = linear(seen[:, -1:], a.at("to_q"), False)
        k, v = linear(seen, a.at("to_k"), False), linear(seen, a.at("to_v"), False)
        y = y + linear(attention(q, k, v, TIME_HEADS), a.at("to_out.0"))
    value, gate = linear(norm(y, block.at("ff_norm"), 1e-5), block.at("ff.net.0.proj")).chunk(2, -1)
    y = y + linear(value * F.gelu(gate), block.at("ff.net.2"))
    y = linear(y, w.at("proj_out"))[:, 0].t().view(1, c, h, width)
    return x + y, kept


def unit(x, w):
    y = conv(F.relu(x), w.at("conv1"), padding=1)
    return x + conv(F.relu(y), w.at("conv2"), padding=1)


def resize(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def fuse(w, path, lateral, size):
    path = path if lateral is None else path + unit(lateral, w.at("resConfUnit1"))
    return conv(resize(unit(path, w.at("resConfUnit2")), size), w.at("out_conv"))


def frame(w, image, caches):
    """Depth of one image, and what is kept of it; `caches` are the entries of the frames that it sees."""
    side, head, scratch = image.shape[2:], w.at("head"), w.at("head.scratch")
    maps = [conv(tokens, head.at(f"projects.{i}")) for i, tokens in enumerate(encode(w.at("pretrained"), image))]
    for i, stride in ((0, 4), (1, 2)):
        layer = head.at(f"resize_layers.{i}")
        maps[i] = F.conv_transpose2d(maps[i], layer["weight"], layer["bias"], stride=stride)
    maps[3] = conv(maps[3], head.at("resize_layers.3"), stride=2, padding=1)
    kept = []

    def moved(i, x):
        x, entry = motion(head.at(f"motion_modules.{i}"), x, [cache[i] for cache in caches])
        kept.append(entry)
        return x

    maps[2], maps[3] = moved(0, maps[2]), moved(1, maps[3])
    first, second, third, fourth = [
        conv(x, scratch.at(f"layer{i + 1}_rn"), False, padding=1) for i, x in enumerate(maps)
    ]
    path = moved(2, fuse(scratch.at("refinenet4"), fourth, None, third.shape[2:]))
    path = moved(3, fuse(scratch.at("refinenet3"), path, third, second.shape[2:]))
    path = fuse(scratch.at("refinenet2"), path, second, first.shape[2:])
    path = fuse(scratch.at("refinenet1"), path, first, [2 * n for n in first.shape[2:]])
    path = resize(conv(path, scratch.at("output_conv1"), padding=1), side)
    path = F.relu(conv(path, scratch.at("output_conv2.0"), padding=1))
    return F.relu(conv(path, scratch.at("output_conv2.2"))), kept


def stream(w, images, size):
    """The published loop: which entries of the cache a frame sees, and which leave it."""
    cache, depths = [], []
    for number, image in enumerate(images):
        seen = cache[:2] + cache[-29:] if cache else []
        depth, kept = frame(w, image[None], seen)
        depths.append(resize(depth, size)[0, 0])
        if number == 0:
            cache = [kept] * 32
            continue
        cache.append(kept)
        if number + 32 > 42:
            del cache[1]
    return torch.stack(depths)


def main(folder):
    torch.set_num_threads(1)
    golden = load_file(folder / "vda_clips.safetensors")
    frames = golden["clip60.frames_u8"]
    frames = torch.cat([frames, frames[40:].flip(0)])
    size = golden["clip20.net_input.frame0"].shape[1:]
    images = frames.permute(0, 3, 1, 2).float() / 255
    # OpenCV's cubic kernel is the one of PyTorch.
    images = F.interpolate(images, size, mode="bicubic", align_corners=False)
    statistics = [torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    images = (images - statistics[0]) / statistics[1]
    with torch.inference_mode():
        depth = stream(Names(load_file(folder / "vda.safetensors")), images, frames.shape[1:3])
    known = golden["stream50.depth"]
    off = (depth[:KNOWN] - known).abs().max() / known.max()
    print(f"off by {off:.1e} of the largest value over the first {KNOWN} of {len(depth)} frames")
    assert off < 1e-4, "this is not what the published classes compute"
    save_file({"stream80.depth": depth[KNOWN:, ::STEP, ::STEP].contiguous()}, folder / "vda_stream.safetensors")


main(Path(sys.argv[1]))
