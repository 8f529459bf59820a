"""Signature: a CRC per layer and step over everything that the spikes do not show.

The CRC runs over one 32-bit word for each neuron, in order: the XOR of what the block's memories
show, in their order, and of its value ``y`` as it stands behind the block's operations. Each is
rotated by an amount of its own, so that no two of them cancel:

    TOOK        of a block's first memory: p of a sampler, the membrane u of a leaky neuron, what
                enters the states
    DRAWS[0]    of a sampler that is the first memory, its draws (``systematic``: phases)
    DRAWS[1]    of a later memory: a sampler's draws, a leaky neuron's membrane
    SUM         y
    5 k + ...   of mode k: the real and imaginary part written, the rounding word

What states of the future (``quant.integer.future``) wrote going backwards, with their rounding
words, is in the word of the step whose input they took, rotated by FUTURE more.

With two steps per update of the states the CRC is one per layer and block of steps. A word is then
the XOR of both steps' terms, those of the second rotated by SECOND more; what the states wrote and
their rounding words are there once, as above. A block that lacks its second step, at the end of a
sequence of odd length, has nothing in place of that step's terms.
"""

from functools import lru_cache

import numpy as np

from quant.integer import lfsr

CRC_POLY = 0x04C11DB7       # CRC-32, most significant bit first, start value all ones
MASK = 0xFFFFFFFF
TOOK, SUM, DRAWS = 0, 3, (11, 23)
SECOND = 25
FUTURE = 13
RE, IM, ROUNDING, MODE = 1, 17, 9, 5    # of mode k: one of the first three, and k times the last


def rotl(x, by: int):
    """32-bit rotation of the low 32 bits of ``x`` to the left."""
    x = x & MASK
    by %= 32
    return ((x << by) | (x >> 32 - by)) & MASK if by else x


def state_word(h_re, h_im, r_round):
    """What states show, (...): written h (..., n) and rounding words, 0 where none are drawn."""
    word = 0
    for k in range(h_re.shape[-1]):
        word = word ^ (rotl(h_re[..., k], MODE * k + RE) ^ rotl(h_im[..., k], MODE * k + IM)
                       ^ rotl(r_round[..., k], MODE * k + ROUNDING))
    return word


def of_blocks(words: np.ndarray, block: int) -> np.ndarray:
    """Words of steps (B, L, H), 0 where there is none, as those of blocks of steps (B, blocks, H).
    """
    if block == 1:
        return words
    words = np.pad(words, ((0, 0), (0, words.shape[1] % 2), (0, 0)))
    return words[:, ::2] ^ rotl(words[:, 1::2], SECOND)


def crc32(words) -> int:
    """CRC-32 (polynomial 0x04C11DB7, unreflected, no final XOR) of 32-bit words in order."""
    crc = MASK
    for word in words:
        crc ^= int(word)
        for _ in range(32):
            crc = ((crc << 1) & MASK) ^ (CRC_POLY if crc >> 31 else 0)
    return crc


@lru_cache
def crc_tables() -> np.ndarray:
    """(4, 256) uint32: the CRC behind a word is the XOR of their entries for the bytes of
    ``crc ^ word``, the lowest byte first."""
    return lfsr.byte_tables([crc32([MASK ^ 1 << b]) for b in range(32)]).astype(np.uint32)
