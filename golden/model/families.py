"""Which steps the blocks of each family have, in the order in which they are computed.

``paper`` (Bal & Sengupta, ICLR 2025), x the clamped probability between blocks, s its spikes:

    y = SSM(s),  s_out = [y + b > u],  z = act(W s_out + bias)
    clampfuse:  x <- clamp(x + BN(z), 0, 1)     (equation 8)
    none:       x <- clamp(BN(z), 0, 1)
    plain:      x <- x + z un-clamped, and the next sampler takes clamp(BN(x), 0, 1)

``released`` is what the authors' released code computes, x un-clamped, U1 and U2 uniform draws:

    s1 = [norm(inp_a x + inp_b) > U1]           the norm here with norm_position "pre"
    v  = GELU(SSM(s1))                          the GELU with gelu_before_sampler
    s2 = [out_a v + out_b > U2],  m = act(W s2 + bias)
    x <- [x +] m, then the norm with norm_position "post"

A norm in front means one more behind the last block. ``branch`` puts a second SSM beside the first,
which has no norm and no output affine; three of the four samplers share U1:

    s1' = [inp2_a x + inp2_b > U2],  s2' = [GELU(SSM'(s1')) > U1],  s2 = [out_a v + out_b > U1]
    m   = act(W (s2, s2') + bias)

The released code calls the branch "reverse", but it is not reversed in time.

``stream`` passes a real-valued stream, u the SSM's real input:

    u = norm(x),  y = SSM(u),  a = H(y) or GELU(y),  x <- [x +] mixer(a)        (norm in front)
    u = x,        y = SSM(u),  a = H(y) or GELU(y),  x <- norm([x +] mixer(a))  (norm behind)

with ``heaviside`` and ``glu``: Binary S4D; ``gelu`` and ``gsu``: the gated spiking unit
(``golden.model.neurons``); ``gelu`` and ``linear`` or ``glu``: S4D without spikes, of equal size.

``lif`` is ``paper`` with leaky integrate-and-fire neurons in place of the samplers: s = LIF(x) and
s_out = LIF(a y + b). y is the SSM's output, as in the comparison of Figure 2 of Bal & Sengupta, or
with ``drive`` "spikes" s itself: a plain spiking network, whose only memory is its membranes.
"""

import torch
from torch import nn

from golden.model.config import NetworkConfig
from golden.model.dplr import DPLR
from golden.model.lif import Integrate
from golden.model.norms import Norm
from golden.model.ops import (Add, Affine, Clamp, ClampInput, Concat, Curve, Dropout, Fire,
                              Heaviside, Mask, Mix, Product, States, Step, Ternary,
                              TernaryMix)
from golden.model.ssm import DiagonalSSM


def ssm(cfg: NetworkConfig, scaled: bool = False, direct: bool = False) -> States:
    """The state space models of a block; ``direct`` starts D at random, as S4D does."""
    made = (DPLR if cfg.dplr else DiagonalSSM)(cfg, scaled)
    if direct:
        nn.init.normal_(made.D)
    return made


def seen(net, step: Step, v, lengths) -> tuple[tuple, torch.Tensor]:
    """(inputs, output) of a step in a forward pass of v (B, L)."""
    found = []
    hook = step.register_forward_hook(lambda _step, inputs, output: found.append((inputs, output)))
    net(v, lengths)
    hook.remove()
    return found[0]


def dropout(cfg: NetworkConfig) -> Dropout | None:
    return Dropout(cfg.dropout, getattr(cfg, "tie_dropout", False)) if cfg.dropout else None


class Family:
    """Steps by name, in front of all blocks, of block k and behind them, and the start of training.

    ``recorded`` are the values of a block that a record of a forward pass has.
    """

    recorded: frozenset[str]

    @staticmethod
    def first(cfg) -> dict:
        return {}

    @staticmethod
    def last(cfg) -> dict:
        return {}


class Paper(Family):
    """Blocks from s and x to the next s and x."""

    recorded = frozenset({"s_in", "s_out"})
    MEAN, DEVIATION = 0.3, 0.3      # of p of the output samplers, before training
    START = {"clampfuse": (0.3, 0.0), "none": (0.35, 0.35), "plain": (0.35, 0.35)}  # gamma, beta

    @staticmethod
    def first(cfg):
        H, plain = cfg.d_model, cfg.residual == "plain"
        return {"scale": ("x -> p", Affine(H, offset=False) if plain else None),
                "limit": ("x -> x", None if plain else ClampInput()),
                "fire": ("p -> s" if plain else "x -> s",
                         Fire(0, torch.zeros(H) if plain else None))}

    @classmethod
    def mixing(cls, cfg) -> dict:
        """From output spikes to the next block's x, and its p where that is another."""
        H, stream = cfg.d_model, cfg.residual == "plain"
        return {
            "mixer": ("s_out -> z", Mix(H, H, wide=True)),
            "act": ("z -> z", Curve(cfg.act)),
            "dropout": ("z -> z", dropout(cfg)),
            "sum": ("x z -> x", Add() if stream else None),
            "fuse": ("x -> p" if stream else "z -> z",
                     Norm(H, "batch", True, *cls.START[cfg.residual])),
            "add": ("z x -> z", Add() if cfg.residual == "clampfuse" else None),
            "limit": ("p -> p" if stream else "z -> x", Clamp())}

    @classmethod
    def block(cls, cfg, k: int):
        H, stream = cfg.d_model, cfg.residual == "plain"
        return {
            "mask": ("s -> s_in", Mask()),
            "ssm": ("s_in -> y", ssm(cfg, scaled=True)),
            "gelu": ("y -> y", Curve("gelu") if cfg.gelu_before_sampler else None),
            "out": ("y -> s_out", Fire(2 * k + 1, torch.full((H,), 0.3), output=True)),
            **cls.mixing(cfg),
            "fire": ("p -> s" if stream else "x -> s", Fire(2 * k + 2))}

    @classmethod
    def calibrate(cls, net, v, lengths) -> None:
        """Encoder, then scale and offset of every output sampler, one block after the other."""
        net.encoder.calibrate(v, lengths)
        for block in net.blocks:
            block.ssm.a.fill_(1.0)
            block.out.b.zero_()
            _, y = seen(net, block.ssm, v, lengths)
            block.ssm.a.copy_(cls.DEVIATION / y.std(1).clamp(min=1e-3))
            block.out.b.copy_(cls.MEAN - block.ssm.a * y.mean(1))


class Released(Family):
    """Blocks from x to x."""

    recorded = frozenset({"s_in", "s_out"})

    @staticmethod
    def response(cfg, spikes: str, made: str, end: str = "") -> dict:
        """SSM and what stands between it and the sampler."""
        gelu = Curve("gelu") if cfg.gelu_before_sampler else None
        return {f"ssm{end}": (f"{spikes} -> {made}", ssm(cfg, direct=True)),
                f"dropout_ssm{end}": (f"{made} -> {made}", dropout(cfg)),
                f"gelu{end}": (f"{made} -> {made}", gelu),
                f"dropout_gelu{end}": (f"{made} -> {made}", dropout(cfg))}

    @classmethod
    def block(cls, cfg, k: int):
        H, branch, plain = cfg.d_model, cfg.branch, cfg.residual == "plain"
        one, two = 2 * k, 2 * k + 1

        def fire(number, shared):
            return Fire(number, shares=shared if branch else None, output=number == two)

        second = {} if not branch else {
            "inp_branch": ("x -> q", Affine(H)), "fire_in2": ("q -> s_in2", fire(one, two)),
            "mask2": ("s_in2 -> s_in2", Mask()),
            **cls.response(cfg, "s_in2", "q", "_branch"),
            "fire_out2": ("q -> s_out2", Fire(two, shares=one)),
            "concat": ("s_out s_out2 -> mixed", Concat())}
        pre, post = ({"norm": (wiring, Norm(H, cfg.norm))} if cfg.norm_position == position else {}
                     for position, wiring in (("pre", "p -> p"), ("post", "x -> x")))
        return {
            "inp": ("x -> p", Affine(H)), **pre,
            "fire_in": ("p -> s_in", fire(one, one)), "mask": ("s_in -> s_in", Mask()),
            **cls.response(cfg, "s_in", "v"),
            "out": ("v -> v", Affine(H)), "fire_out": ("v -> s_out", fire(two, one)), **second,
            "mixer": ("mixed -> m" if branch else "s_out -> m", Mix(2 * H if branch else H, H)),
            "act": ("m -> m" if plain else "m -> x", Curve(cfg.act)),
            "dropout": ("m -> m", dropout(cfg) if plain else None),
            "add": ("x m -> x", Add() if plain else None), **post}

    @staticmethod
    def last(cfg):
        norm = Norm(cfg.d_model, cfg.norm) if cfg.norm_position == "pre" else None
        return {"norm": ("x -> x", norm)}

    @staticmethod
    def calibrate(net, v, lengths) -> None:
        """Encoder, and C of DPLR models folded for sequences of this length."""
        net.encoder.calibrate(v, lengths)
        for _, step in net.steps():
            if isinstance(step.op, DPLR):
                step.op.fold(v.shape[1])


class Stream(Family):
    """Blocks from x to x."""

    recorded = frozenset({"u", "y", "s_out"})
    last = Released.last

    @staticmethod
    def mixing(cfg) -> dict:
        """From the SSM's output to z."""
        H = cfg.d_model
        value = Mix(H, H)
        neuron = (Curve("gelu") if cfg.neuron == "gelu" else
                  Heaviside(cfg.surrogate, cfg.surrogate_width, cfg.fires_at_zero))
        if cfg.mixer == "linear":
            return {"neuron": ("y -> s_out", neuron), "value": ("s_out -> z", value),
                    "act": ("z -> z", Curve(cfg.act))}
        if cfg.mixer == "gsu":
            return {"neuron": ("y -> a", neuron),
                    "ternary": ("a -> s_out", Ternary(cfg.ternary_threshold)),
                    "value": ("s_out -> n", value),
                    "gate": ("a -> gate", TernaryMix(H, H, cfg.ternary_threshold)),
                    "product": ("n gate -> z", Product())}
        return {"neuron": ("y -> s_out", neuron), "value": ("s_out -> n", value),
                "gate": ("s_out -> gate", Mix(H, H)), "sigmoid": ("gate -> gate", Curve("sigmoid")),
                "product": ("n gate -> z", Product())}

    @classmethod
    def block(cls, cfg, k: int):
        pre, plain = cfg.norm_position == "pre", cfg.residual == "plain"
        norm = {"norm": ("x -> u" if pre else "x -> x", Norm(cfg.d_model, cfg.norm))}
        steps = {"mask": ("u -> u" if pre else "x -> u", Mask()),
                 "ssm": ("u -> y", ssm(cfg, direct=True)), **cls.mixing(cfg),
                 "dropout": ("z -> z", dropout(cfg)),
                 "add": ("x z -> x", Add()) if plain else ("z -> x", Curve("identity"))}
        return norm | steps if pre else steps | norm

    @staticmethod
    def calibrate(net, v, lengths) -> None:
        """C and D of every neuron so that its SSM's output has a deviation of 1, block by block.

        Norms take the batch's own statistics.
        """
        was_training = net.training
        net.train()
        for block in net.blocks:
            _, y = seen(net, block.ssm, v, lengths)
            size = y.std(1).clamp(min=1e-3)
            block.ssm.D /= size
            for C in block.ssm.sides():
                C /= size[:, None, None]
        net.train(was_training)


class LIF(Paper):
    """Blocks from x (and with a plain residual p) to the next."""

    RATE = 0.3          # share of steps in which an output neuron spikes, before training

    @staticmethod
    def first(cfg):
        plain = cfg.residual == "plain"
        return {"affine": ("x -> p", Affine(cfg.d_model) if plain else None),
                "limit": ("p -> p" if plain else "x -> x", Clamp())}

    @classmethod
    def block(cls, cfg, k: int):
        H, driven = cfg.d_model, cfg.drive == "ssm"
        neurons_in, neurons_out = Integrate(cfg), Integrate(cfg, output=True)
        models = ssm(cfg) if driven else None
        drive = Affine(H, offset=False, start=torch.randn(H))
        return {
            "neurons_in": ("p -> s" if cfg.residual == "plain" else "x -> s", neurons_in),
            "mask": ("s -> s_in", Mask()), "ssm": ("s_in -> y", models),
            "drive": ("y -> y" if driven else "s_in -> y", drive),
            "neurons_out": ("y -> s_out", neurons_out), **cls.mixing(cfg)}

    @classmethod
    def calibrate(cls, net, v, lengths) -> None:
        """Encoder, then the output neurons' drive: so many spikes a step, block by block.

        The drive gets a deviation of ``RATE`` (a keeps its sign), then b follows the error of the
        measured rate.
        """
        net.encoder.calibrate(v, lengths)
        for block in net.blocks:
            neurons = block.neurons_out
            neurons.b.zero_()
            (drive, now), _ = seen(net, neurons, v, lengths)
            size = cls.RATE / drive.std(1).clamp(min=1e-3)
            block.drive.a *= size
            for _ in range(8):
                neurons.b += cls.RATE - neurons(drive * size[:, None], now).mean(1)


FAMILIES = {"paper": Paper, "released": Released, "stream": Stream, "lif": LIF}


def of(cfg: NetworkConfig) -> type[Family]:
    """The family of a configuration."""
    return FAMILIES[cfg.family]
