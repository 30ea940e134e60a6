"""The published splatting in PyTorch, plainly.

StereoCrafter `depth_splatting_inference.py` (class ForwardWarpStereo) on the kernel of wbhu/Forward-Warp:
every pixel is shared out bilinearly among the four pixels around where it lands, and only if all four lie
inside the picture.
"""

import torch


def forward_warp(image, flow):
    """`image` (N, C, H, W) moved by `flow` (N, 2, H, W), in pixels: x, y. Sums, not means."""
    n, c, h, w = image.shape
    x = torch.arange(w, dtype=flow.dtype)[None, None, :] + flow[:, 0]
    y = torch.arange(h, dtype=flow.dtype)[None, :, None] + flow[:, 1]
    left, top = x.floor(), y.floor()
    right, bottom = left + 1, top + 1
    inside = (left >= 0) & (right < w) & (top >= 0) & (bottom < h)
    out = torch.zeros(n, c, h * w, dtype=image.dtype)
    corners = [
        (left, top, (right - x) * (bottom - y)),
        (right, top, (x - left) * (bottom - y)),
        (left, bottom, (right - x) * (y - top)),
        (right, bottom, (x - left) * (y - top)),
    ]
    for column, row, share in corners:
        at = torch.where(inside, row * w + column, torch.zeros_like(row)).long().flatten(1)
        part = torch.where(inside, share, torch.zeros_like(share)).flatten(1)
        out.scatter_add_(2, at[:, None].expand(n, c, -1), image.flatten(2) * part[:, None])
    return out.view(n, c, h, w)


def splat(image, disparity):
    """The right eye and its occlusion mask of `image` (N, C, H, W) by `disparity` (N, 1, H, W) in pixels."""
    flow = torch.cat([-disparity, torch.zeros_like(disparity)], 1)
    weights = 1.414 ** (disparity - disparity.min())
    total = forward_warp(weights, flow).clamp(min=1e-6)
    warped = forward_warp(image * weights, flow) / total
    mask = 1 - forward_warp(torch.ones_like(disparity), flow).clamp(0, 1)
    return warped, mask
