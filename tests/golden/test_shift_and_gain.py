"""Augmentation of sound: its ranges, silence, clips of different lengths, any encoding."""

import numpy as np
import pytest
import torch

from golden.tasks import audio, make_task
from golden.tasks.audio import ENCODINGS
from golden.tasks.shift_and_gain import GAIN, PIECE, louder, shift_and_gain

DTYPES = {"mulaw": torch.int8, "linear": torch.int16, "bytes": torch.int16}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def raw_of(sound: np.ndarray, encoding: str) -> torch.Tensor:
    """Raw values of sixteen-bit sound (B, L)."""
    stored = sound if encoding == "linear" else audio.eight_bit(sound / 32768)
    lengths = np.full(len(sound), sound.shape[1])
    return torch.from_numpy(ENCODINGS[encoding].raw(stored, lengths).copy())


def sound_of(raw: torch.Tensor, encoding: str) -> np.ndarray:
    """Sixteen-bit sound of raw values."""
    first = ENCODINGS[encoding].first
    values = raw.numpy().astype(int)
    return values if first is None else audio.LINEAR[values - first].astype(int)


@pytest.fixture(params=ENCODINGS)
def encoding(request):
    return request.param


def test_shift_and_gain_ranges(encoding):
    """One click in each clip says by how much it was moved and by what it was multiplied."""
    B, L, shift, height = 3 * PIECE + 5, 50, 7, 8000
    sound = np.zeros((B, L), np.int16)
    sound[:, 25] = height
    raw = raw_of(sound, encoding)
    out = shift_and_gain(raw, generator(), ENCODINGS[encoding], shift, ragged=False)
    assert out.dtype == raw.dtype == DTYPES[encoding] and out.shape == raw.shape
    moved = sound_of(out, encoding)
    assert ((moved != 0).sum(1) == 1).all()
    steps = moved.argmax(1) - 25
    counts = np.bincount(steps + shift, minlength=2 * shift + 1)
    assert len(counts) == 2 * shift + 1 and counts.min() > 0.5 * B / len(counts)
    gain = 20 * np.log10(moved.max(1) / height)
    assert abs(gain).max() < GAIN + 0.3 and gain.min() < -5.5 and gain.max() > 5.5
    assert abs(gain.mean()) < 0.4
    assert abs(np.corrcoef(steps, gain)[0, 1]) < 0.15


def test_silence_stays_silence(encoding):
    raw = torch.full((9, 30), ENCODINGS[encoding].silence, dtype=DTYPES[encoding])
    for ragged in (False, True):
        assert torch.equal(shift_and_gain(raw, generator(), ENCODINGS[encoding], 5, ragged), raw)


def test_same_generator_same_clips(encoding):
    task = make_task(f"sc4:{encoding}")
    sound = np.random.default_rng(1).integers(-32768, 32768, (PIECE + 3, 8000)).astype(np.int16)
    raw = raw_of(sound, encoding)
    before = raw.clone()
    a, b, c = (task.augment(raw, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(a, b) and not torch.equal(a, c) and torch.equal(raw, before)
    assert a.dtype == raw.dtype and len(a.unique(dim=0)) == len(a)
    low, high = (1, 256) if task.vocab else (task.sample_format.lo, task.sample_format.hi)
    assert a.min() >= low and a.max() <= high


def test_loud_sound_is_cut_off(encoding):
    sound = np.array([[32767, -32768] * 20] * 64, np.int16)
    out = shift_and_gain(raw_of(sound, encoding), generator(), ENCODINGS[encoding], 0, False)
    heard = sound_of(out, encoding)
    assert (np.sign(heard) == np.sign(sound)).all()         # nothing wraps round
    assert (abs(heard).max(1) >= 32767).sum() > 20 and abs(heard).max(1).min() > 15_000


def test_every_code_times_one_is_itself():
    codes = torch.arange(256).repeat(2, 1)
    for name in ("mulaw", "bytes"):
        raw = codes + ENCODINGS[name].first
        assert torch.equal(louder(raw, torch.ones(2), ENCODINGS[name]), raw)


def test_a_clip_ends_where_it_ended(encoding):
    B, L = 200, 60
    lengths = np.random.default_rng(2).integers(20, L + 1, B)
    sound = np.random.default_rng(3).integers(2000, 9000, (B, L)).astype(np.int16)
    behind = np.arange(L) >= lengths[:, None]
    sound[behind] = 0
    stored = sound if encoding == "linear" else audio.eight_bit(sound / 32768)
    raw = torch.from_numpy(ENCODINGS[encoding].raw(stored, lengths).copy())
    out = shift_and_gain(raw, generator(), ENCODINGS[encoding], 10, ragged=True).numpy()
    assert (out[behind] == 0).all()
    heard = sound_of(torch.from_numpy(out), encoding) * ~behind
    first = (heard != 0).argmax(1)
    last = L - 1 - (heard != 0)[:, ::-1].argmax(1)
    early = last < lengths - 1                  # moved to the front: silence before the end
    assert first.max() == 10 and early.any() and (first[early] == 0).all()
    assert (lengths - 1 - last).max() == 10
    if encoding == "bytes":
        assert (out[~behind] > 0).all()
