"""The products of a core, and which of them are made of LUTs: those without a multiplier."""

from dataclasses import replace

from rtl.decoder import LOW_BITS, total_format
from rtl.layer import chains
from rtl.layer.block_update import BlockUpdate
from rtl.layer.fuse import totals
from rtl.spec import EndSpec, LayerSpec


def of_lane(spec: LayerSpec) -> int:
    """Four, or five for two steps; and those of a value that enters the states."""
    return (4 if spec.geo.P == 1 else 5) + (0 if spec.spikes_enter else 2 * spec.geo.P) \
        if spec.cut.states else 0


def of_encoder(spec: EndSpec) -> int:
    return 0 if spec.art.vocab else spec.geo.values


def of_decoder(spec: EndSpec) -> int:
    """Two where a sum over time is wider than a multiplier."""
    return 1 + (total_format(spec).width > LOW_BITS + 1)


def of_neurons(spec: LayerSpec) -> int:
    """Of a word's neurons, outside the lanes; and a threshold's."""
    each = sum(len(flow.products) for flow in chains.flows(spec, totals(spec)))
    each += bool(spec.cut.states) and not spec.spikes_enter
    return spec.geo.values * each + (spec.geo.P if spec.cut.ternary else 0)


def others(encoder: EndSpec, layers: list[LayerSpec], decoder: EndSpec) -> int:
    """All that are not of lanes."""
    return of_encoder(encoder) + sum(map(of_neurons, layers)) + of_decoder(decoder)


def multipliers(encoder: EndSpec, layers: list[LayerSpec], decoder: EndSpec) -> int:
    """That a core takes: its products but for those made of LUTs."""
    return others(encoder, layers, decoder) + sum(of_lane(spec) * spec.geo.lanes for spec in layers
                                                  ) - logic(encoder, layers, decoder)


def logic(encoder: EndSpec, layers: list[LayerSpec], decoder: EndSpec) -> int:
    """How many products are made of LUTs."""
    return sum(spec.logic for spec in (encoder, *layers, decoder))


def divided(encoder: EndSpec, layers: list[LayerSpec], decoder: EndSpec, limit: int):
    """The same parts with as many products of LUTs as there are too few multipliers.

    First those of the ends, whose factors are short, then those of lanes of two steps, evenly from
    the last layer on. Where all of them are not enough nothing is changed.
    """
    short = multipliers(encoder, layers, decoder) - limit
    ends = [min(max(0, short), of_decoder(decoder))]
    ends.append(min(max(0, short - ends[0]), of_encoder(encoder)))
    left, made = short - sum(ends), list(layers)
    for k in range(len(layers) - 1, -1, -1):
        spec = layers[k]
        most = BlockUpdate.most_logic if spec.geo.P > 1 and spec.cut.states else 0
        room = most * spec.geo.lanes
        share = min(max(0, -(-left // (k + 1))), room)
        made[k] = replace(spec, logic=share)
        left -= share
    if short <= 0 or left > 0:
        return encoder, list(layers), decoder
    return replace(encoder, logic=ends[1]), made, replace(decoder, logic=ends[0])
