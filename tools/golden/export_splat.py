"""Export goldens of the published splatting: what was warped, and to what.

Usage: export_splat.py OUT_DIR

Computed in double precision, so that a difference is the other side's.
"""

import sys
from pathlib import Path

import torch
from forward_warp import splat
from safetensors.torch import save_file

# Half of the range of parallax, in pixels: a power of two, so that whole pixels are whole in any precision.
MOST_PX = 8.0


def smooth(n, h, w, gen):
    coarse = torch.rand(n, 1, 4, 6, generator=gen)
    return torch.nn.functional.interpolate(coarse, (h, w), mode="bilinear", align_corners=True)


def cases(gen):
    """Normalised depth by case, (N, 1, H, W); sides pairwise different. The frames of a case are a batch."""
    h, w = 9, 23
    # Cards before a slope, a flat half, noise: cuts, stretched surfaces, crossings.
    mixed = smooth(3, h, w, gen)
    mixed[0, 0, 2:6, 5:11] = 1.0
    mixed[1, 0, :, 12:] = 0.5
    mixed[2] = torch.rand(1, h, w, generator=gen)
    yield "mixed", mixed
    # Whole pixels: each lands on a pixel, those that land on the last column are lost.
    steps = torch.randint(0, 17, (2, 1, 5, 19), generator=gen) / 16.0
    steps[0, 0, 1] = 0.5
    steps[1, 0, 2] = 0.0
    steps[1, 0, 3] = 1.0
    yield "steps", steps
    # At rest, in halves and in quarters: fractional masks at the borders alone.
    rest = torch.full((3, 1, 4, 17), 0.5)
    rest[1] += 0.5 / 16
    rest[2] -= 0.25 / 16
    yield "rest", rest
    # A steep slope either way: stretched where it comes nearer to the right, folded where it goes away.
    ramp = torch.linspace(0, 1, 29)[None, None, None].expand(1, 1, 3, 29)
    yield "slopes", torch.cat([ramp, ramp.flip(3)])


def main():
    torch.set_num_threads(1)
    gen = torch.Generator().manual_seed(61)
    out = {}
    for name, depth in cases(gen):
        n, _, h, w = depth.shape
        image = torch.rand(n, 3, h, w, generator=gen)
        disparity = (depth * 2 - 1) * MOST_PX
        warped, mask = splat(image.double(), disparity.double())
        parts = {"image": image, "depth": depth, "warped": warped.float(), "mask": mask.float()}
        out.update({f"{name}.{part}": value.contiguous() for part, value in parts.items()})
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    save_file(out, folder / "splat.golden.safetensors")


if __name__ == "__main__":
    main()
