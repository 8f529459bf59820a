"""Augmentation of pictures that lie in a batch as sequences of pixels."""

import math

import torch
import torch.nn.functional as F

CONTRAST = 1.2      # of moved digits, around 128: as many black, grey and white pixels as before


def move_digits(values: torch.Tensor, order: torch.Tensor, generator: torch.Generator
                ) -> torch.Tensor:
    """(B, 784) digits, pixels in ``order``, each turned, stretched, slanted and moved a little.

    At most 10 degrees, 10 % in each direction, a slant of 0.1 and 2 pixels, all uniform; bicubic,
    with more contrast so that edges stay as sharp as they were, black outside, on the device of
    ``values``.
    """
    device, B = values.device, len(values)
    order = order.to(device)
    picture = torch.empty(B, values.shape[1], device=device)
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


def flip_and_shift(values: torch.Tensor, side: int, most: int, generator: torch.Generator
                   ) -> torch.Tensor:
    """(B, side * side) pictures row by row, half of them mirrored left to right, all shifted.

    By up to ``most`` pixels in each direction, uniform; what comes in is the edge's pixel again.
    """
    device, B = values.device, len(values)
    mirrored = torch.rand(B, 1, generator=generator, device=device) < 0.5
    shift = torch.randint(-most, most + 1, (2, B, 1), generator=generator, device=device)
    pixel = torch.arange(side, device=device)
    rows, columns = (pixel + shift).clamp(0, side - 1)                      # (B, side) each
    columns = torch.where(mirrored, side - 1 - columns, columns)
    taken = rows[:, :, None] * side + columns[:, None, :]
    return values.gather(1, taken.view(B, -1))


def mirror(values: torch.Tensor, side: int, generator: torch.Generator) -> torch.Tensor:
    """(B, side * side) pictures row by row, half mirrored left to right, half upside down."""
    B, device = len(values), values.device
    made = values.view(B, side, side)
    for axis in (1, 2):
        mirrored = torch.rand(B, 1, 1, generator=generator, device=device) < 0.5
        made = torch.where(mirrored, made.flip(axis), made)
    return made.reshape(B, -1)
