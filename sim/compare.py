"""The one comparison of every rung: what hardware did against what the reference says.

It names the first difference in order of step, layer, kind (input spikes, signature, output
spikes) and neuron, so that the first place where the arithmetic went wrong is what is printed.
"""

from dataclasses import dataclass, field

import numpy as np

from quant.integer.reference import Trace

KINDS = ("s_in", "signature", "s_out")


@dataclass(frozen=True)
class Rows:
    """Blocks of P time steps that one layer committed, in order, over all sequences of a run.

    words is the number of words seen in each block; ended is 0 where the block's last word did not
    carry the ``end`` mark. The last block of a sequence may have steps behind its end: they are
    not looked at.
    """

    s_in: np.ndarray            # (R P, H) 0 or 1; (R P, 0) where no spikes enter the states
    s_out: np.ndarray           # (R P, H) 0 or 1, or -1, 0 and 1
    signature: np.ndarray       # (R,) uint32
    words: np.ndarray           # (R,)
    ended: np.ndarray           # (R,)
    P: int = 1

    def __len__(self) -> int:
        return len(self.signature)

    def part(self, start: int, stop: int) -> "Rows":
        """Blocks ``start`` to ``stop - 1``."""
        steps, blocks = slice(start * self.P, stop * self.P), slice(start, stop)
        return Rows(self.s_in[steps], self.s_out[steps], self.signature[blocks],
                    self.words[blocks], self.ended[blocks], self.P)


def block_starts(lengths, P: int) -> list[int]:
    """First block of every sequence of a run, and the one behind the last of them."""
    return np.cumsum([0, *(-(-int(length) // P) for length in lengths)]).tolist()


@dataclass(frozen=True)
class Result:
    """One sequence's answer."""

    label: int
    logits: np.ndarray          # (outputs,)
    saturations: np.ndarray     # (N + 1,)


@dataclass(frozen=True)
class Difference:
    """One difference; fields that do not apply are None."""

    sequence: int | str         # with two inputs: the example, and which of its inputs
    kind: str
    layer: int | None = None
    step: int | None = None
    neuron: int | None = None
    expected: object = None
    got: object = None
    note: str = ""

    def __str__(self) -> str:
        place = [f"sequence {self.sequence}"]
        place += [f"{name} {value}" for name, value in
                  (("layer", self.layer), ("step", self.step), ("neuron", self.neuron))
                  if value is not None]
        text = f"{', '.join(place)}, {self.kind}: "
        return text + (self.note or f"expected {self.expected}, got {self.got}")


def named(sequence: int, inputs: int) -> int | str:
    """A sequence in words: its number, or with two inputs its example's and its place in it."""
    return sequence if inputs == 1 else f"{sequence // inputs}, input {sequence % inputs}"


@dataclass
class Tally:
    """Running total of a comparison.

    ``words`` is the number of words that make a block (:class:`rtl.parts.config.Geometry`),
    ``inputs`` the number of sequences that make an example: sequence ``k * inputs + i`` is input i
    of example k.
    """

    words: int
    inputs: int = 1
    sequences: int = 0
    steps: int = 0
    spikes: int = 0             # compared, in front of and behind the states of every layer
    signatures: int = 0         # compared
    mismatches: int = 0         # spikes, signatures, words, logits, labels, saturations
    first: Difference | None = None
    labels: list[int] = field(default_factory=list)     # hardware's, -1 where there is none
    classes: list[int] = field(default_factory=list)    # with a head: of examples, likewise

    @property
    def equal(self) -> bool:
        return self.mismatches == 0

    def note(self, count: int, difference: Difference) -> None:
        self.mismatches += count
        self.first = self.first or difference

    def add(self, sequence: int, expected: Trace, rows: list[Rows], result: Result | None) -> None:
        """Compare one sequence; ``rows`` are its steps, one element per layer."""
        N, L, _ = expected.s_out.shape
        sequence = named(sequence, self.inputs)
        self.sequences += 1
        self.steps += L
        self.spikes += expected.s_in.size + expected.s_out.size
        self.signatures += expected.signature.size
        found = [_layer(sequence, j, expected, rows[j], self.words) for j in range(N)]
        self.mismatches += sum(count for count, _ in found)
        places = [place for _, place in found if place]
        if places and not self.first:
            self.first = min(places, key=lambda d: (d.step, d.layer))
        self._answer(sequence, expected, result)

    def _answer(self, sequence: int | str, expected: Trace, result: Result | None) -> None:
        self.labels.append(-1 if result is None else result.label)
        if result is None:
            self.note(1, Difference(sequence, "result", note="missing"))
            return
        for kind, want, got in (("logits", expected.logits, result.logits),
                                ("saturations", expected.saturations, result.saturations),
                                ("label", expected.label, result.label)):
            bad = np.flatnonzero(np.atleast_1d(want) != np.atleast_1d(got))
            if len(bad):
                at = int(bad[0])
                name = kind if kind == "label" else f"{kind}[{at}]"
                self.note(len(bad), Difference(sequence, name,
                                               expected=int(np.atleast_1d(want)[at]),
                                               got=int(np.atleast_1d(got)[at])))

    def surplus(self, sequence: int, rows: list[int], results: int) -> None:
        """Note steps (per layer) and results behind the last sequence."""
        sequence = named(sequence, self.inputs)
        for layer, count in enumerate(rows):
            if count:
                self.note(count, Difference(sequence, "words", layer,
                                            note=f"{count} steps more than expected"))
        if results:
            self.note(results, Difference(sequence, "result",
                                          note=f"{results} more than expected"))


def _layer(sequence: int | str, layer: int, expected: Trace, rows: Rows, words: int):
    """(number of differences, first one) of one layer's steps.

    What a block has once, its signature and its framing, counts for the last one of its steps.
    """
    blocks, (_, L, _) = expected.signature.shape[1], expected.s_out.shape
    seen = min(blocks, len(rows))
    ends = {"s_in": min(L, seen * rows.P), "s_out": min(L, seen * rows.P), "signature": seen}

    def last_step(block: int) -> int:
        return min((block + 1) * rows.P, L) - 1
    wants = {"s_in": expected.s_in[layer], "signature": expected.signature[layer],
             "s_out": expected.s_out[layer]}
    bad = {kind: wants[kind][:end] != getattr(rows, kind)[:end] for kind, end in ends.items()}
    framing = (rows.words[:seen] != words) | (rows.ended[:seen] == 0)
    count = int(framing.sum()) + sum(int(wrong.sum()) for wrong in bad.values())
    places = []
    if framing.any():
        t = int(np.flatnonzero(framing)[0])
        mark = "" if rows.ended[t] else " and no end mark"
        places.append(Difference(sequence, "words", layer, last_step(t),
                                 expected=words, got=f"{rows.words[t]}{mark}"))
    for kind in KINDS:
        at = np.argwhere(bad[kind])
        if len(at):
            place = tuple(int(k) for k in at[0])
            want, got = int(wants[kind][place]), int(getattr(rows, kind)[place])
            if kind == "signature":
                want, got, place = f"{want:#010x}", f"{got:#010x}", (last_step(*place),)
            places.append(Difference(sequence, kind, layer, *place, expected=want, got=got))
    if seen < blocks:
        count += sum(want[ends[kind]:].size for kind, want in wants.items())
        places.append(Difference(sequence, "words", layer, ends["s_out"],
                                 note=f"missing: {ends['s_out']} of {L} steps seen"))
    return count, min(places, key=lambda d: d.step, default=None)
