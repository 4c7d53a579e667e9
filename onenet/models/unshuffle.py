"""Algorithm 1 of arXiv 2411.09838: pixel unshuffle on tensors that stay 1D, section 3.3.

The listing, and that of the paper's interim report, cannot be run as printed:

* ``t <- 2i + 2j`` is not where a patch begins in an image flattened row by row: row 2j, column 2i is at ``t = 2jW + 2i``;
* each pass of the loop must append its four indices to I; the listing overwrites them;
* rows are the outer loop (j below H/2) and columns the inner one (i below W/2), or the result is the transposed image's;
* ``transpose(0, 2, 1, 3)`` orders four axes: it is a permutation.

So it is what stands here, and then it equals ``PixelUnshuffle(2)``, flattened pixel by pixel: channel 4c + k of a pixel is the
k-th of the four pixels of its patch, in channel c. Lowering knows it by its indices (rule ``index_unshuffle``), so that a
network in this form has the same deploy form as one with ``PixelUnshuffle``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def patch_order(height: int, width: int) -> list[int]:
    """The loop of algorithm 1: places of the pixels of a flattened image, patch by patch of 2x2; each patch row by row."""
    indices: list[int] = []
    for j in range(height // 2):
        for i in range(width // 2):
            t = 2 * j * width + 2 * i
            indices += [t, t + 1, t + width, t + width + 1]
    return indices


def pixel_unshuffle_1d(x: Tensor, height: int, width: int) -> Tensor:
    """Algorithm 1.

    Args:
        x: channel planes (N, C, H*W), each flattened row by row.
        height, width: of the image, both even.

    Returns:
        The unshuffled image as a pixel-major sequence (N, H*W*C): what channel-wise convolutions read.
    """
    order = torch.tensor(patch_order(height, width), device=x.device)
    patches = x[:, :, order].reshape(x.shape[0], x.shape[1], -1, 4)  # (N, C, H*W/4, 4)
    return patches.permute(0, 2, 1, 3).flatten(1)
