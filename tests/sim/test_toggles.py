"""Toggles counted in a waveform."""

from sim.measure import toggles

HEADER = """$timescale 1ps $end
$scope module TOP $end
$var wire 1 # clk $end
$scope module bench $end
$var wire 1 # clk $end
$scope module core $end
$var wire 4 $ port [3:0] $end
$scope module layer0 $end
$var wire 4 $ i [3:0] $end
$scope module engine $end
$var wire 1 % en $end
$upscope $end
$upscope $end
$var wire 40 & wide [39:0] $end
$upscope $end
$upscope $end
$upscope $end
$enddefinitions $end
"""
CHANGES = """#0
0#
b0000 $
x%
b1 &
#10
1#
b0101 $
1%
#20
0#
b1010 $
b1000000000000000000000000000000000000001 &
#30
0%
bxx10 $
"""


def test_bits_that_change_are_counted_once_per_net():
    found = toggles.read((HEADER + CHANGES).splitlines(keepends=True))
    # port and i are one net: 2 + 4 + 1 (x is 0); en: 0 -> 1 -> 0; wide: its highest bit.
    assert found.by_part == {"layer0": 2 + 4 + 1 + 2, "core": 1}
    assert found.total == 10 and found.nets == 4 + 1 + 40


def test_the_clock_counts_where_it_has_another_name():
    found = toggles.read((HEADER + CHANGES).splitlines(keepends=True), clock="none")
    assert found.total == 10 + 2 and found.nets == 46
