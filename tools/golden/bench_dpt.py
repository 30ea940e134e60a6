"""Time depth networks in PyTorch, in ONNX Runtime and in this project on the same cores, and print the ratios.

Usage: bench_dpt.py BENCH [CASE ..]
(BENCH: the binary that `cargo bench --workspace --bench networks --no-run` names for crates/models/dpt)

Random weights of the published sizes, f32. Rounds alternate between all, and the best of all rounds counts, so that other
load disturbs all alike; processor time, which it disturbs least, is that of all threads. PyTorch attends by
scaled_dot_product_attention. RAYON_NUM_THREADS sets the threads of all; the default is one.
"""

import io
import os
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

ROUNDS = int(os.environ.get("ROUNDS", "3"))
THREADS = int(os.environ.setdefault("RAYON_NUM_THREADS", "1"))
CHANNELS, FEATURES = [48, 96, 192, 384], 64
# A window of the published scheme, and how much of it is new.
WINDOW, NEW = 32, 22


def single():
    taken = [3, 6, 9, 12]
    backbone = Dinov2Config(
        hidden_size=384, num_attention_heads=6, num_hidden_layers=12, image_size=518, patch_size=14,
        out_indices=taken, out_features=[f"stage{i}" for i in taken], reshape_hidden_states=False, apply_layernorm=True,
    )
    model = DepthAnythingForDepthEstimation(DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=384, neck_hidden_sizes=CHANNELS,
        fusion_hidden_size=FEATURES, head_hidden_size=32,
    )).eval()
    model.backbone.config._attn_implementation = "sdpa"
    return model


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.LayerNorm(c)
        self.qkv = nn.Linear(c, 3 * c, bias=False)
        self.out = nn.Linear(c, c)

    def forward(self, x, positions):
        # (H W, F, C)
        n, f, c = x.shape
        q, k, v = self.qkv(self.norm(x) + positions).view(n, f, 3, 8, c // 8).permute(2, 0, 3, 1, 4)
        return x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, f, c))


class Motion(nn.Module):
    """The published module, its three projections of an attention as one."""

    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(32, c, eps=1e-6)
        self.proj_in, self.proj_out = nn.Linear(c, c), nn.Linear(c, c)
        self.attentions = nn.ModuleList([Attention(c), Attention(c)])
        self.ff_norm, self.ff_in, self.ff_out = nn.LayerNorm(c), nn.Linear(c, 8 * c), nn.Linear(4 * c, c)
        self.register_buffer("positions", torch.randn(1, WINDOW, c))

    def forward(self, frames):
        f, c, h, w = frames.shape
        x = self.proj_in(self.norm(frames).permute(2, 3, 0, 1).reshape(h * w, f, c))
        for attention in self.attentions:
            x = attention(x, self.positions[:, :f])
        value, gate = self.ff_in(self.ff_norm(x)).chunk(2, -1)
        x = self.proj_out(x + self.ff_out(value * F.gelu(gate)))
        return frames + x.view(h, w, f, c).permute(2, 3, 0, 1)


class Video(nn.Module):
    """Video Depth Anything: all frames of a window through the encoder, attention over time in the head."""

    def __init__(self):
        super().__init__()
        self.net = single()
        self.motion = nn.ModuleList([Motion(c) for c in (CHANNELS[2], CHANNELS[3], FEATURES, FEATURES)])

    def forward(self, images):
        h, w = images.shape[-2] // 14, images.shape[-1] // 14
        neck, head = self.net.neck, self.net.head
        maps = neck.reassemble_stage(self.net.backbone.forward_with_filtered_kwargs(images).feature_maps, h, w)
        maps = [*maps[:2], self.motion[0](maps[2]), self.motion[1](maps[3])]
        first, second, third, fourth = [conv(map) for conv, map in zip(neck.convs, maps)]
        layers = neck.fusion_stage.layers
        path = self.motion[2](layers[0](fourth, size=third.shape[2:]))
        path = self.motion[3](layers[1](path, third, size=second.shape[2:]))
        out = []
        # Four frames at a time, as published.
        for i in range(0, len(images), 4):
            part = layers[2](path[i:i + 4], second[i:i + 4], size=first.shape[2:])
            part = head.conv1(layers[3](part, first[i:i + 4]))
            part = F.interpolate(part, (14 * h, 14 * w), mode="bilinear", align_corners=True)
            out.append(torch.relu(head.conv3(torch.relu(head.conv2(part)))))
        return torch.cat(out)


def onnx(model, x):
    import onnxruntime

    class Depth(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model(x).predicted_depth

    file = io.BytesIO()
    torch.onnx.export(Depth(), (x,), file, opset_version=17, dynamo=False, input_names=["x"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    inputs = {"x": x.numpy()}
    depth = torch.from_numpy(session.run(None, inputs)[0])
    assert (depth - model(x).predicted_depth).abs().max() < 1e-4 * depth.abs().max(), "the export computes something else"
    return lambda: session.run(None, inputs)


def still(h, w):
    model, x = single(), torch.randn(1, 3, h, w)
    return {"PyTorch": lambda: model(x), "ONNX Runtime": onnx(model, x)}, 1


def window():
    model, x = Video(), torch.randn(WINDOW, 3, 252, 448)
    return {"PyTorch": lambda: model.eval()(x)}, NEW


CASES = {
    "Depth Anything V2 Small, 252x448": lambda: still(252, 448),
    "Depth Anything V2 Small, 518x518": lambda: still(518, 518),
    "Video Depth Anything Small, 22 new frames of 252x448": window,
}


def timed(run):
    start, busy = time.perf_counter(), time.process_time()
    run()
    return [(time.perf_counter() - start) * 1e3, (time.process_time() - busy) * 1e3]


def main():
    binary, wanted = sys.argv[1], sys.argv[2:]
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    print(f"torch {torch.__version__}, {THREADS} thread(s), {torch.backends.cpu.get_cpu_capability()}")
    print("| case, a frame | wall ms | CPU ms | CPU, ours / theirs |")
    print("| --- | --- | --- | --- |")
    for name, build in CASES.items():
        if wanted and not any(w in name for w in wanted):
            continue
        best = {}

        def note(who, times, frames):
            best[who] = [min(a, b / frames) for a, b in zip(best.get(who, [float("inf")] * 2), times)]

        with torch.inference_mode(False), torch.no_grad():
            peers, frames = build()
            for _ in range(ROUNDS):
                lines = subprocess.run([binary, name], check=True, capture_output=True, text=True).stdout
                for line in lines.splitlines():
                    label, *times = line.split("\t")
                    if label == name:
                        note("ours", map(float, times), frames)
                for who, run in peers.items():
                    for _ in range(3 if frames == 1 else 1):
                        note(who, timed(run), frames)
        for who, (wall, busy) in best.items():
            print(f"| {name}: {who} | {wall:.1f} | {busy:.1f} | {best['ours'][1] / busy:.2f} |", flush=True)


if __name__ == "__main__":
    main()
