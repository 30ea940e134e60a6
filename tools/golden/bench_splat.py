"""Time splatting and mask of 1080p frames in PyTorch and in this project on the same cores.

Usage: bench_splat.py BENCH_BINARY     (the binary that `cargo bench -p parallax-stereo --no-run` names)

Rounds alternate between the two, and the best of all rounds counts, so that other load disturbs both
alike. CPU time is that of the process, over all its threads. RAYON_NUM_THREADS sets the threads of both;
the default is two. PyTorch computes the published formulas (`forward_warp.py`) in two ways: as they are
written, and with what can be shared shared: one scatter of colours, weights and ones, and only the two
corners that a shift along rows reaches.
"""

import os
import subprocess
import sys
import time

import torch
from forward_warp import splat

WIDTH, HEIGHT, MOST_PX = 1920, 1080, 20.0
ROUNDS = 8


def inputs():
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    card = (x // 160 + y // 120) % 3 == 0
    depth = 0.1 + 0.3 * x / WIDTH + 0.2 * y / HEIGHT + 0.4 * card
    image = torch.stack([((x * 7 + y * 13 + n * 5) % 251) / 250 for n in range(3)])
    return image[None], ((depth * 2 - 1) * MOST_PX)[None, None]


def shared(image, disparity):
    """The same as `splat`, with less to do."""
    _, _, h, w = image.shape
    weights = 1.414 ** (disparity - disparity.min())
    values = torch.cat([image * weights, weights, torch.ones_like(disparity)], 1)[0].flatten(1)
    at = torch.arange(w)[None] - disparity[0, 0]
    left = at.floor()
    inside = (left >= 0) & (left + 1 < w)
    inside[-1] = False
    part = ((at - left) * inside).flatten()
    index = torch.where(inside, left, 0).long().flatten() + (torch.arange(h * w) // w) * w
    out = torch.zeros(5, h * w)
    out.index_add_(1, index, values * (inside.flatten().float() - part))
    out.index_add_(1, (index + 1).clamp(max=h * w - 1), values * part)
    warped = out[:3] / out[3].clamp(min=1e-6)
    return warped.view(1, 3, h, w), (1 - out[4].clamp(0, 1)).view(1, 1, h, w)


def timed(run):
    start, busy = time.perf_counter(), time.process_time()
    run()
    return (time.perf_counter() - start) * 1e3, (time.process_time() - busy) * 1e3


def main():
    threads = os.environ.setdefault("RAYON_NUM_THREADS", "2")
    torch.set_num_threads(int(threads))
    print(f"torch {torch.__version__}, {threads} threads, {torch.backends.cpu.get_cpu_capability()}")
    image, disparity = inputs()
    for a, b in zip(splat(image, disparity), shared(image, disparity)):
        assert (a - b).abs().max() < 1e-5, "the two ways differ"
    peers = {"PyTorch, as published": splat, "PyTorch, with what can be shared shared": shared}
    best = {}

    def note(name, wall, busy):
        w, b = best.get(name, (float("inf"), float("inf")))
        best[name] = min(w, wall), min(b, busy)

    with torch.no_grad():
        for _ in range(ROUNDS):
            for name, run in peers.items():
                note(name, *timed(lambda: run(image, disparity)))
            lines = subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True).stdout
            for line in lines.splitlines():
                name, wall, busy = line.split("\t")
                note(name, float(wall), float(busy))
    published, quick = (best[name] for name in peers)
    print("| 1080p, per frame | wall ms | CPU ms | frames/s | times PyTorch: wall, CPU | times the shared: wall, CPU |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (wall, busy) in best.items():
        ratios = [f"{p[0] / wall:.1f}, {p[1] / busy:.1f}" for p in (published, quick)]
        print(f"| {name} | {wall:.2f} | {busy:.2f} | {1e3 / wall:.1f} | {ratios[0]} | {ratios[1]} |")


if __name__ == "__main__":
    main()
