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
}
# What was refused when the record was made, and has integers now.
MADE = {
    r"FoldError: the network has kernel = two_sided, ": "a two-sided kernel is two recurrences",
}
EARLIER = 5     # cycles of a result, at most: one of 4 layers each, one behind a short sequence


def meant(rule: str, line: str) -> bool:
    """Whether a rule is of this difference; ``new`` is a few cycles before ``old``."""
    found = re.match(rule, line)
    cycles = found.groupdict() if found else {}
    return bool(found) and (not cycles or 1 <= int(cycles["old"]) - int(cycles["new"]) <= EARLIER)


def unmeant(found: list[str], key: str, entry: dict) -> list[str]:
    """Differences from the record's ``entry`` without those that are meant.

    Some rules name its ``key`` in front.
    """
    said = entry.get("export", {}).get("refused", "")
    if any(re.match(rule, said) for rule in MADE):
        found = [line for line in found if not line.startswith("export/")]
    return [line for line in found if not any(
        meant(rule, line) or meant(rule, f"{key} {line}") for rule in CHANGED)]
