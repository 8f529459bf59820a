"""Folding: a trained network as the few operations that are quantised, exact, in float64.

Passes over the operations that ``quant.lower.steps`` gives:

* what stands behind a block's x belongs to the next block: its sampler, and the norm in front;
* a clamp in front of a sampler, which clamps by itself, goes; in front of integrate-and-fire
  neurons it stays;
* two affine maps in a row are one; one behind a state space model goes into g, d and b;
* behind a mixer's ReLU or identity, which are positively homogeneous, the size of a norm's scale
  goes into the rows of W and the bias, its sign stays, the rest is added;
* the norm behind the last block goes into the decoder: a mean and an affine map commute;
* a real-valued stream, and whatever is multiplied or looked up, is rounded to a format where it is
  made (:class:`quant.integer.ops.Limit`).

Blocks of samplers and of integrate-and-fire neurons end in the one order that hardware has
(``quant.integer.spiking``), with signs of one and offsets of zero where a network lacks them.
"""

from dataclasses import replace

import numpy as np
import torch

from golden.model.network import Network
from quant.formats import TERNARY
from quant.integer.future import Future
from quant.integer.head import Head
from quant.integer.membrane import Integrate
from quant.integer.memory import Fire, States
from quant.integer.operation import Operation, Tensor
from quant.integer.ops import Add, Clamp, Curve, Limit, Mix, Scale, Table, Ternary
from quant.integer.program import Program
from quant.integer.spiking import encoder_pattern, ending, filled, pattern
from quant.lower.steps import FoldError, array, check, operations

Ops = list[Operation]


def _times(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return one or other
    return Tensor(one.raw * other.raw)


def _first(ops: Ops, kind: type) -> Operation | None:
    return next((op for op in ops if isinstance(op, kind)), None)


def handed_on(ops: Ops) -> tuple[Ops, Ops]:
    """(what makes the block's x, what follows it and belongs to the next block)."""
    end = max((i for i, op in enumerate(ops) if op.makes == "x"), default=-1) + 1
    return ops[:end], ops[end:]


def no_clamp_at_samplers(ops: Ops) -> Ops:
    """Without clamps of what only a sampler reads."""
    return [op for op, following in zip(ops, [*ops[1:], None])
            if not (isinstance(op, Clamp) and isinstance(following, Fire)
                    and op.reads[0] == op.makes != "x")]


def one_affine(ops: Ops) -> Ops:
    """Each run of affine maps as one."""
    found = []
    for op in ops:
        before = found[-1] if found else None
        if isinstance(op, Scale) and isinstance(before, Scale) and op.reads == (before.makes,):
            b = _times(op.a, before.b) if before.b else None
            if op.b:
                b = Tensor(b.raw + op.b.raw) if b else op.b
            op = Scale(f"{before.reads[0]} -> {op.makes}", _times(op.a, before.a), b)
            found.pop()
        found.append(op)
    return found


def scaled_states(ops: Ops) -> Ops:
    """The scale directly behind a state space model goes into g and d, of both sides if it has."""
    found, sides = list(ops), {}        # what a value is the sum of, by its name
    for i, op in enumerate(ops):
        if isinstance(op, States):
            sides[op.makes] = [i]
        elif isinstance(op, Add) and all(name in sides for name in op.reads):
            sides[op.makes] = [k for name in op.reads for k in sides[name]]
        else:
            if isinstance(op, Scale) and op.a and op.reads[0] in sides:
                found[i] = replace(op, a=None)
                for k in sides[op.reads[0]]:
                    found[k] = found[k].on_tensors(lambda name, t: t if name in (
                        "a_re", "a_im") else Tensor((op.a.raw * t.raw.T).T))
            sides = {}
    return found


def scaled_rows(ops: Ops) -> Ops:
    """The size of a scale behind a mixer and a homogeneous activation goes into W and its bias."""
    found = list(ops)
    for i, (mix, curve, *_) in enumerate(zip(ops, [*ops[1:], None])):
        at = i + 2 if isinstance(curve, Curve) and curve.kind == "relu" else i + 1
        scale = ops[at] if at < len(ops) else None
        if isinstance(mix, Mix) and isinstance(scale, Scale) and scale.reads == (mix.makes,):
            size = np.abs(scale.a.raw)
            found[i] = replace(mix, w=Tensor((mix.w.raw.T * size).T),
                               bias=Tensor(mix.bias.raw * size))
            found[at] = replace(scale, a=Tensor(np.where(scale.a.raw < 0, -1.0, 1.0)))
    return found


def constants(ops: Ops) -> tuple[Tensor, Tensor]:
    """(zeros, ones), one for each neuron."""
    return tuple(Tensor(value(len(_first(ops, Mix).bias.raw))) for value in (np.zeros, np.ones))


def ended(ops: Ops, streams: bool) -> tuple[dict, dict]:
    """(options of ``quant.integer.spiking.ending``, what fills it): a block from its mixer on."""
    mix, (zero, one) = _first(ops, Mix), constants(ops)
    behind = ops[ops.index(mix) + 1:]
    scale, act = _first(behind, Scale), _first(behind, Curve)
    act = act.kind if act else "identity"
    folded = scale and scale.reads == (mix.makes,) and act != "gelu"        # as scaled_rows does
    sign, gain = (scale.a, None) if folded else (one, scale and scale.a)
    residual = "plain" if streams else "clampfuse"
    if not _first(behind, Add):
        residual = "replace" if streams else "none"
    return {"act": act, "residual": residual, "gain": gain is not None}, mix.tensors | {
        "sign": Tensor(sign.raw, TERNARY), "gain": gain, "addend": scale.b if scale else zero,
        "x": None, "p_bits": 0}                                                 # to be chosen


def samplers_block(ops: Ops, number: int) -> Ops:
    """A block with samplers in the order of hardware, with what it lacks as ones and zeros."""
    fires, (zero, one) = [op for op in ops if isinstance(op, Fire)], constants(ops)
    front = ops[:ops.index(fires[0])]
    inner, states = ops[len(front) + 1:ops.index(fires[1])], _first(ops, States)
    out, (options, named) = _first(inner, Scale), ended(ops, bool(front))
    named |= states.tensors | {
        "alpha": front and front[0].a, "beta": front and front[0].b or zero,
        "a": out and out.a or one, "b": out and out.b or zero,
        "h": None, "row_in": None, "row_out": None}                             # to be chosen
    made = filled(pattern(number, rounding=states.rounding, sampling=fires[0].form,
                          gelu_out=_first(inner, Curve) is not None, **options), named)
    at, later = made.index(_first(made, States)) + 1, _first(inner, Future)
    two_sided = [replace(later, wiring="s_in -> future"), Add("y future -> y")] if later else []
    return [*made[:at], *two_sided, *made[at:]]


def integrators_block(ops: Ops, _number: int) -> Ops:
    """A block of integrate-and-fire neurons: as it is up to the mixer, then as with samplers."""
    front, names = ops[:ops.index(_first(ops, Mix))], {"p": "p_in", "s": "s_in"}
    options, named = ended(ops, streams=not isinstance(front[0], Integrate))
    return [*(replace(op, wiring=" ".join(names.get(word, word) for word in op.wiring.split()))
              for op in front), *filled(ending(**options), named)]


def numbered(ops: Ops, number: int, blocks: int) -> tuple[Operation, ...]:
    """A block whose recurrences have random words of their own: past ones first, then future ones.
    """
    return tuple(replace(op, layer=number + blocks * op.backwards) if isinstance(op, States) else op
                 for op in ops)


def stream_block(ops: Ops, _number: int) -> Ops:
    """A block that passes a real-valued stream, rounded where something is made of it."""
    found = []
    for op in ops:
        if isinstance(op, (Curve, Table, Ternary)) and op.reads[0] == "y":      # a GELU, by a table
            found += [Limit("y -> y_in"), Table(f"y_in -> {op.makes}", "gelu", None,
                                                Tensor(np.zeros(0)))]
            continue
        if isinstance(op, Table) and op.kind == "sigmoid":
            name = op.reads[0]
            found += [Limit(f"{name} -> {name}", counted=False), op]
            continue
        if isinstance(op, Curve) and op.kind == "identity":                     # no residual
            found.append(Limit(f"{op.reads[0]} -> x"))
            continue
        if isinstance(op, Add) and op.makes == "x":
            found += [Add("z x -> z"), Limit("z -> x")]
            continue
        found.append(op)
        looked_up = any(isinstance(o, Table) and o.reads == (op.makes,) for o in ops)
        if isinstance(op, (Scale, Mix)) and not looked_up:
            found.append(Limit(f"{op.makes} -> {op.makes}"))
    return found


FORMS = {Fire: samplers_block, Integrate: integrators_block}    # by what a block has; else a stream


@torch.no_grad()
def fold(net: Network) -> Program:
    """Fold a network; its batch-norm statistics must be final (``golden.model.norms.reestimate``).

    Exact up to float64 rounding. Raises :class:`FoldError` for steps that integers have not, and
    for tensors that are not finite.
    """
    cfg = net.cfg
    if cfg.dplr:
        raise FoldError(f"the network has init = {cfg.init}, so its matrices are not diagonal, but "
                        f"integers need diagonal ones; make them with python -m quant.diagonalise")
    check(net)
    encoder = net.encoder
    _, carried = handed_on(operations(net.first, net))
    blocks = []
    for number, block in enumerate(net.blocks):
        ops, following = handed_on(operations(block, net))
        ops, carried = carried + ops, following
        for change in (no_clamp_at_samplers, one_affine, scaled_states, scaled_rows):
            ops = change(ops)
        form = next((form for kind, form in FORMS.items() if _first(ops, kind)), stream_block)
        blocks.append(numbered(form(ops, number), number, cfg.n_blocks))
    stream, weight = isinstance(blocks[0][-1], Limit), Tensor(array(encoder.weight))
    named = {"enc_w": weight, "x": None, "p_bits": 0}
    if not encoder.tokens:
        named["enc_b"] = Tensor(array(encoder.bias))
    first = filled(encoder_pattern(encoder.tokens, stream), named)
    if encoder.tokens:
        first = (replace(first[0], unit=not stream),)
    w, b = array(net.decoder.weight), array(net.decoder.bias)
    for scale in operations(net.last, net):
        w, b = w * scale.a.raw, b + w @ scale.b.raw
    head = net.head and Head(None, *(array(t) for layer in (net.head.hidden, net.head.last)
                                     for t in (layer.weight, layer.bias)))
    return checked(Program(vocab=cfg.vocab, sample=None, first=first, blocks=tuple(blocks),
                           decoder_w=Tensor(w), decoder_b=Tensor(b), head=head))


def checked(program: Program) -> Program:
    """The program itself; :class:`FoldError` for values that are not finite or do not decay."""
    named = {"decoder_w": program.decoder_w.raw, "decoder_b": program.decoder_b.raw}
    for place, ops in program.parts():
        for op in ops:
            named |= {f"layer {place}, {op}, {name}": t.raw for name, t in op.tensors.items()}
            if isinstance(op, States):
                bad = np.count_nonzero(np.hypot(op.a_re.raw, op.a_im.raw) >= 1)
                if bad:
                    raise FoldError(f"layer {place}, A_bar: {bad} of {op.a_re.raw.size} modes have "
                                    f"|A_bar| >= 1, so the state would not decay")
    if program.head:
        named |= {f"head, {name}": raw for name, raw in vars(program.head).items() if name != "fmt"}
    for name, raw in named.items():
        bad = np.count_nonzero(~np.isfinite(raw))
        if bad:
            raise FoldError(f"{name}: {bad} of {raw.size} values are not finite")
    return program
