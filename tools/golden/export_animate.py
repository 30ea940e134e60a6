"""Export pictures as Pillow resizes and the forerunner of `animate` blends them.

Usage: export_animate.py OUT_DIR
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:37, 0:61]
    smooth = np.stack([x * 4, y * 6, (x * y) // 9], -1) % 256
    noisy = rng.integers(0, 256, (37, 61, 3))
    picture = Image.fromarray(np.where((x // 9 + y // 7)[..., None] % 2 == 0, smooth, noisy).astype(np.uint8))
    picture.save(out / "picture.png")
    for name, size in (("small", (16, 24)), ("large", (80, 64)), ("narrow", (7, 90)), ("same_height", (40, 37))):
        picture.resize(size, Image.LANCZOS).save(out / f"{name}.png")
    mask = Image.fromarray((((x - 30) ** 2 + (y - 18) ** 2 < 150) * 255).astype(np.uint8))
    mask.save(out / "mask.png")
    frame = rng.integers(0, 256, (24, 16, 3)).astype(np.uint8)
    Image.fromarray(frame).save(out / "frame.png")
    part = np.array(mask.convert("RGB").resize((16, 24), Image.LANCZOS).convert("L"))[..., None] / 255.0
    small = np.array(Image.open(out / "small.png"))
    Image.fromarray((small * (1 - part) + frame * part).astype(np.uint8)).save(out / "blended.png")


if __name__ == "__main__":
    main()
