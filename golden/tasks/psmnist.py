"""Permuted sequential MNIST: the 784 pixels of a digit, one a step, in a fixed order."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from golden import data
from golden.tasks.base import Split, known_split, permuted
from quant.formats import PIXEL


CONTRAST = 1.2      # of moved digits, around 128: as many black, grey and white pixels as before


class PermutedMNIST:
    """MNIST as 784 grey values v / 256; validation is 10 % of the training set, seed 42."""

    n_classes, length, vocab, sample_format = 10, 784, 0, PIXEL

    def __init__(self, permutation: str = "bit_reversal"):
        self.order = permuted(permutation, self.length)
        self.permutation = permutation
        self.name = "psmnist" + (f":{permutation}" if permutation != "bit_reversal" else "")

    def load(self, split: str, data_dir=None) -> Split:
        part = "t10k" if known_split(split) == "test" else "train"
        values = data.mnist(f"{part}-images-idx3-ubyte", data_dir)[:, self.order]
        labels = data.mnist(f"{part}-labels-idx1-ubyte", data_dir).astype(np.int64)
        whole = Split(values, np.full(len(values), self.length), labels)
        if split == "test":
            return whole
        shuffled = np.random.default_rng(42).permutation(len(whole))
        held_out = len(whole) // 10
        return whole.take(np.sort(shuffled[:held_out] if split == "val" else shuffled[held_out:]))

    def augment(self, values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """(B, 784) raw sequences, each digit turned, stretched, slanted and moved a little.

        At most 10 degrees, 10 % in each direction, a slant of 0.1 and 2 pixels, all uniform;
        bicubic, with more contrast so that edges stay as sharp as they were, black outside, on the
        device of ``values``.
        """
        device, B = values.device, len(values)
        order = torch.from_numpy(self.order).to(device)
        picture = torch.empty(B, self.length, device=device)
        picture[:, order] = values.float()
        draws = 2 * torch.rand(6, B, generator=generator, device=device) - 1
        angle, slant = draws[0] * math.radians(10), 0.1 * draws[1]
        wide, high = 1 + 0.1 * draws[2:4]
        cos, sin = angle.cos(), angle.sin()
        theta = torch.stack([cos * wide, slant * cos - sin, draws[4] * 2 / 14,
                             sin, cos * high + slant * sin, draws[5] * 2 / 14], 1).view(B, 2, 3)
        grid = F.affine_grid(theta, (B, 1, 28, 28), align_corners=False)
        moved = F.grid_sample(picture.view(B, 1, 28, 28), grid, mode="bicubic", align_corners=False)
        sharp = (CONTRAST * (moved - 128) + 128).round().clamp(0, 255)
        return sharp.view(B, -1)[:, order].to(values.dtype)
