"""Differences from the record that are meant, each with its reason; the record itself stays."""

import re

CHANGED = {
    r"(export/)?formats/layers\[\d+\]/(alpha|beta): expected 'SQ\(1,15\)', got 'SQ\((4|6),12\)'":
        "an affine map that a network has not has no format any more, but the default's",
    r"(export/)?formats/layers\[\d+\]/y: missing":
        "Binary S4D has no y to round, so there is no format for it",
    r"(export/)?formats/edge/(enc_w|enc_b): missing":
        "tokens have no affine encoder, so there are no formats for it",
    r"(export|hardware)/refused: expected '(\w+): .*', got '\2: ":
        "a refusal of the same class names the step or operation",
    r"export/(refused: missing|operations: not in the record)":
        "networks of integrate-and-fire neurons have integers now",
    r"energy/per sequence\[[01]\]: expected (192|32).0, got (18|3).0":
        "of two texts in family released: the head sees neurons, there are no 32 features",
    r"energy/lif behind an SSM\[[01]\]: expected (138|96|126|101)\.\d, got (426|193|414|198)\.\d":
        "LIF neurons alone have no d_state any more; the SSM to compare with has the default's",
    r"artifact/\S*(gelu|-a-|-a$|gain|replace)\S* hardware/"
    r"(refused: missing|\d+ lanes: not in the record)":
        "hardware has a GELU, a gain and a stream without residual now",
    r"artifact/none-\S* hardware/\d+ lanes/results\[\d\]: "
    r"expected (?P<old>\d+), got (?P<new>\d+)$":
        "without a residual a mixer's result comes a cycle earlier: a register is gone",
    r"artifact/\S* rtlil: ":
        "layers are made of chains",
    r"shipped/psmnist\S* hardware/\d lanes/(image|words): expected '?(78ff9d4797035736|27798|"
    r"50204690fa6e28b9|b295e4ef36dd153f|4f0ce645bc34fddd|789d8b8c8ce084a6|14742|13462|"
    r"3b4a8eef5e6220e3|6ec83dad40ab6638|984e54169155d198|e1d57054d0c50f27)'?, got '?"
    r"(f644d07046fa6cc6|27670|45a532ba4570a3b7|5338c13acbf36aaa|4e538b952463e30f|"
    r"e18786c1165c358d|14662|13382|b8f55e12a6d6ca62|6b3cdf6ee327d110|4f8b8fe4810b687d|"
    r"d3ebaf3a2bc3ee72)'?$":
        "d and b of a neuron have a format each in the memory, not the wider of both",
}
EARLIER = 5     # cycles of a result, at most: one of 4 layers each, one behind a short sequence


def meant(rule: str, line: str) -> bool:
    """Whether a rule is of this difference; ``new`` is a few cycles before ``old``."""
    found = re.match(rule, line)
    cycles = found.groupdict() if found else {}
    return bool(found) and (not cycles or 1 <= int(cycles["old"]) - int(cycles["new"]) <= EARLIER)


def unmeant(found: list[str], key: str) -> list[str]:
    """Differences without those that are meant; some rules name the entry ``key`` in front."""
    return [line for line in found if not any(
        meant(rule, line) or meant(rule, f"{key} {line}") for rule in CHANGED)]
