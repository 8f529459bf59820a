"""Texts as sequences of bytes: token = byte + 1, token 0 is padding."""

from collections.abc import Sequence

import numpy as np

VOCAB = 257


def tokens(texts: Sequence[bytes], length: int) -> tuple[np.ndarray, np.ndarray]:
    """(tokens (n, L), lengths (n,)) of texts, cut at ``length`` bytes.

    As uint8 where no byte is 255 (in UTF-8 none is), which keeps a large split small.
    """
    cut = [text[:length] for text in texts]
    lengths = np.array([len(text) for text in cut], np.int64)
    flat = np.frombuffer(b"".join(cut), np.uint8)
    wide = np.uint8 if flat.max(initial=0) < 255 else np.int16
    values = np.zeros((len(cut), int(lengths.max(initial=1))), wide)
    values[np.arange(values.shape[1]) < lengths[:, None]] = flat.astype(wide) + wide(1)
    return values, lengths
