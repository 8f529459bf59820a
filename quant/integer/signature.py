"""Signature: a CRC per layer and step over everything that the spikes do not show."""

import numpy as np

CRC_POLY = 0x04C11DB7       # CRC-32, most significant bit first, start value all ones
MASK = 0xFFFFFFFF


def rotl(x, by: int):
    """32-bit rotation of the low 32 bits of ``x`` to the left."""
    x = x & MASK
    by %= 32
    return ((x << by) | (x >> 32 - by)) & MASK if by else x


def neuron_word(h_re, h_im, r_round, p_in, r_in, y, r_out) -> np.ndarray:
    """One 32-bit word per neuron: XOR of everything computed, each rotated by its position.

    h_re, h_im, r_round: (H, n) written state and rounding words (0 when not drawn); p_in as the
    input sampler took it; y behind the step's operations; r_in, r_out what the samplers held
    against p: the draws, or with ``systematic`` the phases before the step.
    """
    word = rotl(p_in, 0) ^ rotl(r_in, 11) ^ rotl(y, 3) ^ rotl(r_out, 23)
    for k in range(h_re.shape[1]):
        word ^= (rotl(h_re[:, k], 5 * k + 1) ^ rotl(h_im[:, k], 5 * k + 17)
                 ^ rotl(r_round[:, k], 5 * k + 9))
    return word


def crc32(words) -> int:
    """CRC-32 (polynomial 0x04C11DB7, unreflected, no final XOR) of 32-bit words in order."""
    crc = MASK
    for word in words:
        crc ^= int(word)
        for _ in range(32):
            crc = ((crc << 1) & MASK) ^ (CRC_POLY if crc >> 31 else 0)
    return crc
