"""Sabotage of the mixer with tables: each mutant is seen by a test of the mixer or its tables."""

import pytest

from rtl.layer import table_shape
from rtl.layer.table_build import TableBuilder
from rtl.layer.table_mixer import TableMixer
from rtl.layer.table_shape import TableShape
from rtl.layer.weight_tables import WeightTables
from rtl.parts.bank import Bank, PairBank
from tests.rtl import test_bank, test_mixer, test_table_mixer, test_weight_tables
from tests.test_mutants import mutate


def sums():
    test_weight_tables.test_sums("three")
    test_weight_tables.test_sums("two banks")


def written():
    test_weight_tables.test_weights_that_are_written("three")
    test_weight_tables.test_weights_that_are_written("two banks")
    test_weight_tables.test_some_rows_in_any_order("two banks")


def wide():
    test_weight_tables.test_weights_that_are_written("wide")


def free(P: int = 1):
    return lambda: test_mixer.matches(test_table_mixer.mixer("glu", P=P), 0.0)


def short():
    test_mixer.matches(test_table_mixer.mixer("single neuron"), 0.0)


def pauses():
    test_mixer.pausing(test_table_mixer.mixer("many words"), 30, 60)


def forgotten():
    test_mixer.forgets(test_table_mixer.mixer("odd"))


def refused(what: str):
    return lambda: test_table_mixer.test_refusals(what)


# name: owner, function, text, mutated text, the check that sees it
MUTANTS = {
    "a sign of another neuron": (TableShape, "entries", "@ SIGNS.T", "@ SIGNS[::-1].T", sums),
    "no rows' sums": (TableShape, "sums", "w.sum(axis=1)", "0", sums),
    "a group that is not turned": (
        WeightTables, "elaborate", "^ turned[j].replicate(ENTRY_BITS)", "", sums),
    "a turned group without its 1": (
        WeightTables, "elaborate", ".as_signed() + counted,", ".as_signed(),", sums),
    "signs without the first": (WeightTables, "elaborate",
                                "group[1:] ^ group[0].replicate(GROUP - 1)", "group[1:]", sums),
    "always the lower output": (WeightTables, "_chosen", "Mux(high, top, low)", "low", sums),
    "rows' sums of another pair": (WeightTables, "_row_sums", "stages - rows.latency",
                                   "stages - rows.latency + 1", sums),
    "both ports one group": (WeightTables, "_look_up", "address(b, builder.entry, 1)",
                             "address(b, builder.entry, 0)", sums),
    "rows' sums that stay": (WeightTables, "_row_sums", "Mux(odd, 0, builder.delta)", "0",
                             written),
    "all memories are written": (WeightTables, "_look_up", "builder.write & here &",
                                 "builder.write &", written),
    "both outputs are written": (WeightTables, "_look_up", "(builder.output[0] == out)", "1",
                                 written),
    "the old weight stays": (TableBuilder, "elaborate", "weight - old", "weight", written),
    "the first weight like the others": (TableBuilder, "elaborate", "ones + self.seen",
                                         "ones - self.seen", written),
    "a difference without its sign": (TableBuilder, "elaborate", "self.seen - delta",
                                      "self.seen + delta", written),
    "an entry too few": (TableBuilder, "elaborate", "(at < DELTA + ENTRIES)",
                         "(at < DELTA + ENTRIES - 1)", written),
    "rows that go on": (TableBuilder, "_weights", "[have.eq(0), coming.eq(0),", "[", written),
    "another region's words": (TableBuilder, "_weights", "hit.eq(here)",
                               "hit.eq(now.en)", written),
    "a weight cut to 7 bits": (TableBuilder, "elaborate", "twice[1:1 + width]", "twice[1:width]",
                               wide),
    "a step too early": (TableMixer, "_send", "free.eq(~busy | end)", "free.eq(1)", pauses),
    "a step too late": (TableMixer, "_send", "free.eq(~busy | end)", "free.eq(~busy)", short),
    "sums without room": (TableMixer, "_send", "room.eq(following != BEHIND)", "room.eq(1)",
                          pauses),
    "words in a wrong order": (TableMixer, "_gather",
                               "Cat(gathered[geo.G:], word[name][p * geo.G:(p + 1) * geo.G])",
                               "Cat(word[name][p * geo.G:(p + 1) * geo.G], gathered[:-geo.G])",
                               free()),
    "one step's spikes for both": (TableMixer, "elaborate", "Mux(odd, steps[1], steps[0])",
                                   "steps[0]", free(2)),
    "outputs not turned": (TableMixer, "_turn", "Mux(second, first_high, first_low)",
                           "first_low", free(2)),
    "words after a reset": (TableMixer, "elaborate", '"valid", reset_less=False', '"valid"',
                            forgotten),
    "large sums of four": (table_shape, "_wide", "high < 1 << MOST_BITS", "high <= 1 << MOST_BITS",
                           refused("entries")),
    "words of four values": (table_shape, "misfit", "geo.values > 2", "geo.values > 4",
                             refused("lanes")),
    "a register too few": (Bank, "elaborate", "if self.registered:", "if False:",
                           lambda: test_bank.
                           test_rows_come_when_latency_says_and_stay_without_enable(True)),
    "one port's address for both": (PairBank, "elaborate", 'getattr(self, f"{name}_addr")',
                                    "self.a_addr", test_bank.test_two_rows_at_once),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant(name, monkeypatch):
    *place, look = MUTANTS[name]
    mutate(monkeypatch, *place)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        look()


def test_all_of_them_pass_unmutated():
    for look in {id(look): look for *_, look in MUTANTS.values()}.values():
        look()
