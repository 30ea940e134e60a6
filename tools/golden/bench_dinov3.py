"""Time DINOv3 in PyTorch and in this project on the same cores, and print the ratios.

Usage: bench_dinov3.py BENCH [CASE ..]
(BENCH: the binary that `cargo bench -p parallax-dinov3 --no-run` names)

Random weights of the published sizes, f32. Rounds alternate between both, and the best of all rounds counts, so that other
load disturbs both alike; processor time, which it disturbs least, is that of all threads. PyTorch attends by
scaled_dot_product_attention. RAYON_NUM_THREADS sets the threads of both; the default is one.
"""

import os
import subprocess
import sys
import time

import torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel

ROUNDS = int(os.environ.get("ROUNDS", "3"))
THREADS = int(os.environ.setdefault("RAYON_NUM_THREADS", "1"))

SMALL = dict(hidden_size=384, num_attention_heads=6, num_hidden_layers=12, intermediate_size=1536)
PLUS = SMALL | dict(use_gated_mlp=True, hidden_act="silu")
BASE = dict(hidden_size=768, num_attention_heads=12, num_hidden_layers=12, intermediate_size=3072)

CASES = {
    "DINOv3 ViT-S/16, 224x224": (SMALL, 224),
    "DINOv3 ViT-S+/16, 224x224": (PLUS, 224),
    "DINOv3 ViT-S/16, 512x512": (SMALL, 512),
    "DINOv3 ViT-B/16, 224x224": (BASE, 224),
}


def model(settings):
    config = DINOv3ViTConfig(num_register_tokens=4, **settings)
    config._attn_implementation = "sdpa"
    model = DINOv3ViTModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return model


def timed(run):
    start, busy = time.perf_counter(), time.process_time()
    run()
    return [(time.perf_counter() - start) * 1e3, (time.process_time() - busy) * 1e3]


def main():
    binary, wanted = sys.argv[1], sys.argv[2:]
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    print(f"torch {torch.__version__}, {THREADS} thread(s), {torch.backends.cpu.get_cpu_capability()}")
    print("| case | wall ms | CPU ms | CPU, ours / theirs |")
    print("| --- | --- | --- | --- |")
    for name, (settings, side) in CASES.items():
        if wanted and not any(w in name for w in wanted):
            continue
        best = {}

        def note(who, times):
            best[who] = [min(pair) for pair in zip(best.get(who, [float("inf")] * 2), times)]

        with torch.inference_mode():
            network, picture = model(settings), torch.randn(1, 3, side, side)
            for _ in range(ROUNDS):
                lines = subprocess.run([binary, name], check=True, capture_output=True, text=True).stdout
                for line in lines.splitlines():
                    label, *times = line.split("\t")
                    if label == name:
                        note("ours", map(float, times))
                for _ in range(3):
                    note("PyTorch", timed(lambda: network(picture)))
        for who, (wall, busy) in best.items():
            print(f"| {name}: {who} | {wall:.1f} | {busy:.1f} | {best['ours'][1] / busy:.2f} |", flush=True)


if __name__ == "__main__":
    main()
