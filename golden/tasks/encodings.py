"""How a network gets a sample of sound: as a signed number, or as a token."""

from dataclasses import dataclass

import numpy as np

from golden.tasks import audio
from golden.base.qformat import QFormat
from golden.tasks.formats import MU_LAW, PCM


@dataclass(frozen=True)
class Encoding:
    """Numbers of one step. Raw values are ``code - 128`` or tokens ``code + 1`` of mu-law codes,
    or sixteen-bit samples; behind a clip's end they are 0."""

    sample_format: QFormat | None
    vocab: int
    silence: int            # raw value of a silent step
    first: int | None       # raw value of mu-law code 0; None: the values are no codes

    def raw(self, sound: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Raw values of sound (n, L), int8 or int16 as in ``golden.tasks.audio``, 0 behind the
        lengths (n,)."""
        if self.first is None:
            return audio.to_linear(sound) if sound.dtype == np.int8 else sound
        if not self.vocab:
            return sound
        tokens = sound.astype(np.int16)
        tokens += self.silence
        L = sound.shape[1]
        for k in np.flatnonzero(lengths < L):
            tokens[k, lengths[k]:] = 0
        return tokens


ENCODINGS = {
    "mulaw": Encoding(MU_LAW, 0, silence=0, first=-128),
    "linear": Encoding(PCM, 0, silence=0, first=None),
    "bytes": Encoding(None, 257, silence=audio.SILENCE + 1, first=1),
}
