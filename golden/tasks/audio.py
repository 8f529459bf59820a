"""Clips of sound as numbers: wav files, mu-law codes, half the rate, what a network gets of them.

A sound x lies in [-1, 1). Its mu-law code q is a byte, ``y = sign(x) log(1 + 255 |x|) / log 256``,
``q = round(127.5 (y + 1))``, halves to even, so silence is 128. Eight-bit sound is kept as
``q - 128`` in int8, sixteen-bit sound as ``32768 x`` in int16: silence is 0 in both.
"""

import io
import struct
import wave
from dataclasses import dataclass

import numpy as np

from golden.base.qformat import QFormat
from golden.tasks.data import DataError
from golden.tasks.formats import MU_LAW, PCM
from golden.tasks.sources import again

MU = 255
SILENCE = 128           # mu-law code of 0


def mulaw(x: np.ndarray) -> np.ndarray:
    """Codes 0..255, uint8, of a sound in [-1, 1]; what is louder is cut off."""
    x = np.clip(x, -1, 1)
    y = np.sign(x) * np.log1p(MU * np.abs(x)) / np.log1p(MU)
    return np.rint((y + 1) * 127.5).astype(np.uint8)


def decoded() -> np.ndarray:
    """(256,) int16: the sound of each code, ``x = sign(y) (256^|y| - 1) / 255``, times 32768.

    Code 128 stands for silence and is 0 here (by the formula 3), so that silence stays silent.
    """
    y = np.arange(256) / 127.5 - 1
    x = np.sign(y) * ((MU + 1.0) ** np.abs(y) - 1) / MU
    linear = np.clip(np.rint(32768 * x), -32767, 32767).astype(np.int16)
    linear[SILENCE] = 0
    return linear


LINEAR = decoded()
BY_BYTE = np.roll(LINEAR, 128)      # indexed by q - 128, seen as a byte without sign


def to_linear(signed: np.ndarray) -> np.ndarray:
    """Sixteen-bit sound, int16, of eight-bit sound ``q - 128``, int8."""
    return BY_BYTE[signed.view(np.uint8)]


def signed_codes(codes: np.ndarray) -> np.ndarray:
    """``q - 128`` as int8 of codes q, uint8."""
    return (codes ^ 128).view(np.int8)


def eight_bit(x: np.ndarray) -> np.ndarray:
    """Sound in [-1, 1] as eight-bit sound, int8."""
    return signed_codes(mulaw(x))


def sixteen_bit(x: np.ndarray) -> np.ndarray:
    """Sound in [-1, 1) as sixteen-bit sound, int16; what is louder is cut off."""
    return np.clip(np.rint(32768 * x), -32768, 32767).astype(np.int16)


def half_rate(x: np.ndarray) -> np.ndarray:
    """Sound (n,) at half its rate, (n + 1) // 2 samples, low-pass filtered."""
    from scipy.signal import resample_poly      # slow to import
    return resample_poly(x, 1, 2)


def read_wav(raw: bytes, name: str, rate: int, path, most_channels: int = 1) -> np.ndarray:
    """The samples (n,) of a wav file of 16 bits and ``rate`` Hz as sound in [-1, 1).

    Of several channels, where they are allowed, the mean. ``name`` is the clip's, ``path`` the
    folder or archive it is from. Raises :class:`DataError` for any other file, for one without
    samples and for one that ends too soon.
    """
    try:
        with wave.open(io.BytesIO(raw)) as file:
            channels, bits = file.getnchannels(), 8 * file.getsampwidth()
            found = file.getframerate()
            n = file.getnframes()
            samples = file.readframes(n)
    except (wave.Error, EOFError, OverflowError, ValueError, RuntimeError, struct.error) as error:
        raise DataError(f"{path}: {name} is not a wav file of plain samples ("
                        f"{str(error) or 'it ends too soon'}); {again(path)}") from None
    if channels > most_channels or (bits, found) != (16, rate):
        allowed = "1 channel" if most_channels == 1 else f"1 to {most_channels} channels"
        raise DataError(f"{path}: {name} has {found} Hz, {bits} bits, channels: {channels}; "
                        f"it must have {rate} Hz, 16 bits, {allowed}; {again(path)}")
    if len(samples) != 2 * channels * n or n == 0:
        raise DataError(f"{path}: {name} holds {len(samples) // (2 * channels)} samples, its "
                        f"header says {n}, and at least 1 is needed; {again(path)}")
    return np.frombuffer(samples, "<i2").reshape(-1, channels).mean(1) / 32768


def fitted(sound: np.ndarray, length: int) -> np.ndarray:
    """Sound (n,) cut at ``length`` samples, or filled up with silence, 0."""
    out = np.zeros(length, sound.dtype)
    out[:min(length, len(sound))] = sound[:length]
    return out


@dataclass(frozen=True)
class Encoding:
    """Numbers of one step. Raw values are ``code - 128`` or tokens ``code + 1`` of mu-law codes,
    or sixteen-bit samples; behind a clip's end they are 0."""

    sample_format: QFormat | None
    vocab: int
    silence: int            # raw value of a silent step
    first: int | None       # raw value of mu-law code 0; None: the values are no codes

    def raw(self, sound: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Raw values of sound (n, L), int8 or int16, 0 behind the
        lengths (n,)."""
        if self.first is None:
            return to_linear(sound) if sound.dtype == np.int8 else sound
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
    "bytes": Encoding(None, 257, silence=SILENCE + 1, first=1),
}
