"""Time the same cases in PyTorch and in this project on the same cores, and print the ratio.

Usage: bench_svd.py OPERATIONS NETWORKS [CASE ..]
(the two binaries that `cargo bench -p parallax-nn -p parallax-svd --no-run` names)

Rounds alternate between the two, and the best of all rounds counts, so that other load disturbs both
alike. RAYON_NUM_THREADS sets the threads of both; the default is one.
"""

import os
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

ROUNDS = 2
REPEATS = 3


def cases():
    r = torch.randn

    def conv(c, n, h, w):
        x, k = r(n, c, h, w), r(c, c, 3, 3)
        return lambda: F.conv2d(x, k, torch.zeros(c), padding=1)

    def temporal_conv():
        x, k = r(1, 320, 4, 36, 64), r(320, 320, 3, 1, 1)
        return lambda: F.conv3d(x, k, torch.zeros(320), padding=(1, 0, 0))

    def group_norm():
        x, w = r(4, 320, 36, 64), torch.ones(320)
        return lambda: F.silu(F.group_norm(x, 32, w, w))

    def attention():
        # From and to (N, S, C), as the layer has it.
        x = r(1, 2304, 1280)

        def run():
            q = x.view(1, 2304, 20, 64).transpose(1, 2)
            return F.scaled_dot_product_attention(q, q, q).transpose(1, 2).reshape(1, 2304, 1280)

        return run

    def temporal_attention():
        x = r(8, 2304, 320)

        def run():
            q = x.permute(1, 0, 2).reshape(2304, 8, 5, 64).transpose(1, 2)
            y = F.scaled_dot_product_attention(q, q, q).transpose(1, 2).reshape(2304, 8, 320)
            return y.permute(1, 0, 2).contiguous()

        return run

    def linear():
        x, w, b = r(1, 4096, 320), r(320, 320), r(320)
        return lambda: F.linear(x, w, b)

    def layer_norm():
        x, w = r(4, 2304, 320), r(320)
        return lambda: F.layer_norm(x, (320,), w, w)

    def geglu():
        x = r(4, 2304, 2560)

        def run():
            a, b = x.chunk(2, -1)
            return a * F.gelu(b)

        return run

    def unet():
        m = UNetSpatioTemporalConditionModel(
            in_channels=9, block_out_channels=(128, 256, 512, 512), num_attention_heads=(2, 4, 8, 8)
        ).eval()
        x, c, i = r(1, 8, 9, 40, 64), r(1, 1, 1024), torch.tensor([[6.0, 127.0, 0.0]])
        return lambda: m(x, 1.0, c, i)

    def vae():
        return AutoencoderKLTemporalDecoder(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4
        ).eval()

    def encode():
        m, x = vae(), r(2, 3, 192, 320)
        return lambda: m.encode(x)

    def decode():
        m, x = vae(), r(4, 4, 24, 40)
        return lambda: m.decode(x, num_frames=4)

    def clip():
        cfg = CLIPVisionConfig(
            hidden_size=1280, intermediate_size=5120, projection_dim=1024, num_hidden_layers=4,
            num_attention_heads=16, patch_size=14, hidden_act="gelu",
        )
        m, x = CLIPVisionModelWithProjection(cfg).eval(), r(2, 3, 224, 224)
        return lambda: m(x)

    return {
        "conv 3x3, 4x320x36x64": lambda: conv(320, 4, 36, 64),
        "conv 3x3, 1x128x144x256": lambda: conv(128, 1, 144, 256),
        "conv over time, 4x320x36x64": temporal_conv,
        "group norm + SiLU, 4x320x36x64": group_norm,
        "attention, 20 heads of 2304x64": attention,
        "attention over 8 frames, 5 heads, 2304 positions": temporal_attention,
        "linear 4096x320 to 320": linear,
        "layer norm 4x2304x320": layer_norm,
        "GEGLU 4x2304x2560": geglu,
        "UNet step, 8 frames of 40x64, widths 128 256 512 512": unet,
        "VAE encode, 2 frames of 192x320": encode,
        "VAE decode, 4 frames of 192x320": decode,
        "CLIP, 2 images, 4 of 32 layers": clip,
    }


def best(run):
    out = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        out = min(out, time.perf_counter() - start)
    return out * 1e3


def main():
    binaries, wanted = sys.argv[1:3], sys.argv[3:]
    threads = os.environ.setdefault("RAYON_NUM_THREADS", "1")
    torch.set_num_threads(int(threads))
    print(f"torch {torch.__version__}, {threads} thread(s), {torch.backends.cpu.get_cpu_capability()}")
    print("| case | ours, ms | PyTorch, ms | ours / PyTorch |")
    print("| --- | --- | --- | --- |")
    for name, build in cases().items():
        if wanted and not any(w in name for w in wanted):
            continue
        ours = theirs = float("inf")
        with torch.no_grad():
            run = build()
            for _ in range(ROUNDS):
                theirs = min(theirs, best(run))
                # Each case is in one of the two.
                for binary in binaries:
                    lines = subprocess.run([binary, name], check=True, capture_output=True, text=True).stdout
                    ours = min(ours, *(float(line.split("\t")[1]) for line in lines.splitlines()), float("inf"))
        print(f"| {name} | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main()
