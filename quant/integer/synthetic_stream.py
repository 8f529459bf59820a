"""Random networks that pass a real-valued stream: Binary S4D and the gated spiking unit."""

from dataclasses import dataclass

import numpy as np

from golden.base.qformat import QFormat
from quant.formats import BIT, TERNARY, THRESHOLD, StreamFormats
from quant.integer import lfsr
from quant.integer.curves import gelu_table, sigmoid_table
from quant.integer.memory import Draws, States
from quant.integer.operation import Operation, Tensor
from quant.integer.ops import Add, Limit, Mix, Product, Scale, Step, Table, Ternary
from quant.integer.reference import Running
from quant.integer.spiking import encoder_pattern, filled
from quant.integer.synthetic_draw import Draw

Ops = list[Operation]
STEPS = 24      # that norms see


@dataclass(frozen=True)
class Streams(Draw):
    """Blocks as ``quant.lower.passes.stream_block`` makes them, options as in ``StreamConfig``."""

    mixer: str = "glu"              # or gsu
    neuron: str = ""                # step or ternary; "": what the paper has with the mixer
    norm_position: str = "pre"      # or post
    residual: str = "plain"         # or none
    fires_at_zero: bool = True      # a step
    fmt: StreamFormats = StreamFormats()

    @property
    def x_format(self) -> QFormat:
        return self.fmt.x

    def tensor(self, fmt: QFormat, low, high) -> Tensor:
        return Tensor(self.moderate(fmt, self.H, low, high), fmt)

    def norm(self, made: str, to: QFormat, x: np.ndarray) -> Ops:
        """As a trained one: for x (steps, H) about 0 and 1 are mean and deviation of a neuron."""
        f, x = self.fmt, x * 2.0 ** -self.fmt.x.f_bits
        scale = self.rng.choice([-1, 1], self.H) / np.maximum(x.std(0), 0.1)
        alpha = self.tensor(f.alpha, 0.6 * scale, 1.5 * scale)
        mean = alpha.real * x.mean(0)
        return [Scale(f"x -> {made}", alpha, self.tensor(f.beta, -0.3 - mean, 0.3 - mean)),
                Limit(f"{made} -> {made}", to)]

    def states(self, j: int) -> States:
        """Their sum has a deviation of about one for inputs that have; with a step the last of
        several neurons stays at zero, where ``fires_at_zero`` decides."""
        f, H = self.fmt, self.H
        a_re, a_im, radius = self.decays(f.a_bar)
        most = 1.5 * np.sqrt((1 - radius ** 2) / self.n)
        g = [self.moderate(f.g, a_re.shape, -most, most) for _ in range(2)]
        d = self.moderate(f.d, H, -1, 1)
        if self.spikes == "step" and H > 2 and not self.limits:
            for raw in (*g, d):
                raw[-1] = 0
        source = "u" if self.norm_position == "pre" else "x"
        tensors = (Tensor(a_re, f.a_bar), Tensor(a_im, f.a_bar), *(Tensor(raw, f.g) for raw in g),
                   Tensor(d, f.d))
        more = self.of_block(*tensors, f.direct(self.n))
        return States(f"{source} -> y", *tensors, f.h, self.rounding, j, **more)

    def mix(self, wiring: str, size: float) -> Mix:
        """Sums of columns of about ``size``, by the rows' shifts."""
        f, H = self.fmt, self.H
        w = self.weights(f.w)
        deviation = 2 ** f.w.width * np.sqrt(H / 24)        # where half the columns are added
        near = round(np.log2(size * 2 ** f.bias.f_bits / deviation))
        shift = (self.uniform(f.shift, H) if self.limits else
                 np.clip(near + self.rng.integers(-1, 2, H), 0, f.shift.hi))
        return Mix(wiring, Tensor(w, f.w), self.tensor(f.bias, -0.5, 0.5), Tensor(shift, f.shift))

    @property
    def spikes(self) -> str:
        return self.neuron or {"glu": "step", "gsu": "ternary"}[self.mixer]

    def neurons(self) -> Ops:
        """From y to spikes, s_out. A gsu's gate, and a ternary threshold, take GELU(y): a."""
        f, found = self.fmt, []
        if self.mixer == "gsu" or self.spikes == "ternary":
            found = [Limit("y -> y_in", f.y), Table("y_in -> a", "gelu", f.gelu_index, Tensor(
                gelu_table(f.gelu_index, f.gelu), f.gelu))]
        if self.spikes == "step":
            return [*found, Step("y -> s_out", self.fires_at_zero)]
        low = np.array(self.rng.integers(8, 24))    # negative values of a GELU reach it
        return [*found, Ternary("a -> s_out", Tensor(low, THRESHOLD))]

    def few(self) -> np.ndarray:
        """The weights of a gsu's gate, of which a row has a few."""
        rng, shape = self.rng, (self.H, self.H)
        w = rng.integers(0, 2, shape) * 2 - 1
        w = np.where(rng.random(shape) < min(0.7, rng.uniform(1.5, 6) / self.H), w, 0)
        if self.limits:
            w = np.full(shape, {"lowest": -1, "highest": 1, "zero": 0}[self.limits])
        return w

    def glu(self) -> Ops:
        f = self.fmt
        return [*self.neurons(), self.mix("s_out -> n", 1.0), Limit("n -> n", f.n),
                self.mix("s_out -> gate", 4.0), Limit("gate -> gate", f.index, counted=False),
                Table("gate -> gate", "sigmoid", f.index, Tensor(
                    sigmoid_table(f.index, f.sigmoid), f.sigmoid))]

    def gsu(self) -> Ops:
        f, w = self.fmt, self.few()
        return [*self.neurons(), self.mix("s_out -> n", 0.7), Limit("n -> n", f.n),
                Mix("a -> gate", Tensor(w, TERNARY), self.tensor(f.gate_bias, -0.5, 0.5)),
                Limit("gate -> gate", f.gate)]

    def first(self) -> tuple[Operation, ...]:
        """An encoder whose x has a mean of about 0."""
        f, edge, H = self.fmt, self.edges, self.H
        if self.vocab:
            named = {"enc_w": Tensor(self.moderate(f.x, (self.vocab, H), -2, 2), f.x)}
        else:
            w = self.tensor(edge.enc_w, -3, 3)
            mean = w.real * (edge.sample.lo + edge.sample.hi) * 2.0 ** -edge.sample.f_bits / 2
            named = {"enc_w": w, "enc_b": self.tensor(edge.enc_b, -0.3 - mean, 0.3 - mean)}
        return filled(encoder_pattern(bool(self.vocab), True), named | {"x": f.x})

    def through(self, ops: Ops, name: str, fmt: QFormat, inputs: np.ndarray) -> np.ndarray:
        """x (steps, H) behind some operations, of all inputs of this name."""
        run = Running(tuple(ops), {name: fmt}, Draws(
            self.random, lfsr.SEED + self.seed, self.H, self.n, len(inputs), block=self.block))
        return np.array([run(**{name: value}) for value in inputs])

    def layer(self, j: int, x: np.ndarray) -> tuple[Ops, np.ndarray]:
        """Operations for x (steps, H) in front of them, and x behind them."""
        fmt = self.fmt.x
        norm = self.norm("u", self.fmt.u, x) if self.norm_position == "pre" else []
        ops = [*norm, self.states(j), *(self.glu() if self.mixer == "glu" else self.gsu()),
               Product("n gate -> z"), *([Add("z x -> z")] if self.residual == "plain" else []),
               Limit("z -> x", fmt)]
        x = self.through(ops, "x", fmt, x)
        if self.norm_position == "post":
            norm = self.norm("x", fmt, x)
            ops, x = ops + norm, self.through(norm, "x", fmt, x)
        return ops, x

    def parts(self) -> dict:
        first, blocks, sample = self.first(), [], self.edges.sample
        v = self.rng.integers(*((sample.lo, sample.hi + 1) if sample else (0, self.vocab)), STEPS)
        x = self.through(first, "v", sample or BIT, v[:, None])     # a row is of the table's format
        for j in range(self.n_layers):
            ops, x = self.layer(j, x)
            blocks.append(tuple(ops))
        dec_w, dec_b = self.decoder()
        return {"first": first, "blocks": tuple(blocks),
                "decoder_w": Tensor(dec_w, self.edges.dec_w),
                "decoder_b": Tensor(dec_b, self.edges.dec_b)}
