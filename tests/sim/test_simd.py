"""Verilator's code for many tracks: what becomes of a statement, and what is refused."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from sim import campaign
from sim.native import edge, simd
from sim.native.statements import UnknownForm, overwritten

HEADER = """
            VL_IN8(clk,0,0);
            VL_IN(data,16,0);
            VL_OUTW(wide_out,99,0,4);
            CData/*0:0*/ a;
            CData/*7:0*/ byte;
            SData/*15:0*/ half;
            IData/*31:0*/ __Vdly__data;
            QData/*35:0*/ q;
            VlWide<3>/*95:0*/ w;
            VlUnpacked<QData/*35:0*/, 128> ram;
"""
CODE = """
void Vcore___024root___nba_sequent__TOP__0(Vcore___024root* vlSelf) {
    auto& vlSelfRef = std::ref(*vlSelf).get();
    // Locals
    VlWide<2>/*63:0*/ __Vtemp_1;
    CData/*0:0*/ held;
    held = 0;
    // Body
%s
}
void Vcore___024root___eval_nba(Vcore___024root* vlSelf) {
    auto& vlSelfRef = std::ref(*vlSelf).get();
    // Body
    if ((1ULL & vlSelfRef.__VnbaTriggered[0U])) {
        Vcore___024root___nba_sequent__TOP__0(vlSelf);
        vlSelfRef.a = 1U;
    }
}
"""


def model(folder, body: str) -> list[str]:
    (folder / "Vcore___024root__0.cpp").write_text(CODE % body)
    (folder / "Vcore___024root.h").write_text(HEADER)
    names = simd.write(edge.find(folder), folder, 4)
    return ["".join((folder / f"{name}.cpp").read_text().split()) for name in names]


def mixed_of(code: list[str]) -> str:
    return "".join(text for text in code if "ONE_BY_ONE" in text and "EACH" not in text)


@pytest.mark.parametrize("text, expected", [
    ("vlSelfRef.a = (1U & vlSelfRef.data);", "vlSelfRef.a[t]=(1U&vlSelfRef.data[t]);"),
    ("vlSelfRef.w[2U] = vlSelfRef.wide_out\n        [0U];",
     "vlSelfRef.w[2U][t]=vlSelfRef.wide_out[0U][t];"),
    ("__Vtemp_1[1U] = held;", "__Vtemp_1[1U][t]=held[t];"),
    ("held = vlSelfRef.a;", "EACH{held[t]=0;held[t]=vlSelfRef.a[t];}"),
    ("vlSelfRef.byte = vlSelfRef.data;", "vlSelfRef.byte[t]=0xffU&(vlSelfRef.data[t]);"),
    ("vlSelfRef.half\n        = vlSelfRef.data;",
     "vlSelfRef.half[t]=0xffffU&(vlSelfRef.data[t]);"),
    ("vlSelfRef.q = vlSelfRef.ram[(7U & vlSelfRef.data)];",
     "if(SAME((7U&vlSelfRef.data[t]))){constIDatarow0=FIRST((7U&vlSelfRef.data[t]));"
     "autoline0=vlSelfRef.ram.line(row0);EACH{vlSelfRef.q[t]=line0[t];}}elseONE_BY_ONE{"
     "vlSelfRef.q[t]=vlSelfRef.ram((7U&vlSelfRef.data[t]),t);}"),
    ("vlSelfRef.ram[vlSelfRef.a] = 5ULL;",
     "autoline0=vlSelfRef.ram.line(row0);EACH{line0[t]=5ULL;}vlSelfRef.ram.put(row0,line0);}"
     "elseONE_BY_ONE{vlSelfRef.ram(vlSelfRef.a[t],t)=5ULL;}"),
    ("vlSelfRef.q = vlSelfRef.ram[3U];",
     "constIDatarow0=FIRST(3U);autoline0=vlSelfRef.ram.line(row0);EACH{vlSelfRef.q[t]=line0[t];}"),
    ("vlSelfRef.q = vlSelfRef.ram[vlSelfRef.ram[vlSelfRef.a]];",
     "ONE_BY_ONE{vlSelfRef.q[t]=vlSelfRef.ram(vlSelfRef.ram(vlSelfRef.a[t],t),t);}")])
def test_statements(tmp_path, text, expected):
    assert expected in model(tmp_path, f"    {text}")[0]


def test_branches_are_taken_for_all_tracks_or_one_by_one(tmp_path):
    code = model(tmp_path, """    if (vlSelfRef.a) {
        vlSelfRef.q = 1ULL;
        if (held) {
            vlSelfRef.q = 2ULL;
        }
    } else if ((1U & vlSelfRef.data)) {
        vlSelfRef.q = 3ULL;
    } else {
        vlSelfRef.q = 4ULL;
    }""")
    first, rest = code[0].split("COUNT((vlSelfRef.a[t]));", 1)
    no, yes = rest.split("COUNT((held[t]));")
    assert "COUNT(((1U&vlSelfRef.data[t])));" in no and "3ULL" in no and "4ULL" in no
    assert no.index("taken==0") < no.index("4ULL") < no.index("3ULL") < no.index("1ULL")
    assert "2ULL" in yes and "1ULL" not in yes
    mixed = mixed_of(code)
    assert mixed.count("ONE_BY_ONE") == 3
    assert "elseif((1U&vlSelfRef.data[t])){vlSelfRef.q[t]=3ULL;}else{" in mixed


def test_a_row_that_is_read_changes_is_asked_for_again(tmp_path):
    code, = (text for text in model(tmp_path, """    vlSelfRef.q = vlSelfRef.ram[vlSelfRef.a];
    vlSelfRef.a = vlSelfRef.ram[vlSelfRef.a];
    vlSelfRef.q = vlSelfRef.ram[vlSelfRef.a];
    vlSelfRef.data = vlSelfRef.ram[vlSelfRef.a];""") if "line0" in text)
    assert [part.count("line0[t]") for part in code.split("SAME(")[1:]] == [1, 1, 2]


def test_conditions_are_asked_at_once_where_none_has_an_other_side(tmp_path):
    code = model(tmp_path, """    if (vlSelfRef.a) {
        vlSelfRef.data = 0U;
    }
    if (vlSelfRef.data) {
        vlSelfRef.q = 1ULL;
    }
    if (held) {
        vlSelfRef.q = 2ULL;
    } else {
        vlSelfRef.q = 3ULL;
    }""")[0]
    some = "if(COUNT((((vlSelfRef.a[t]))!=0)|(((vlSelfRef.data[t]))!=0))){"
    assert some in code
    assert code.index(some) < code.index("COUNT((vlSelfRef.a[t]))") < code.index("COUNT((held[t]))")


@pytest.mark.parametrize("text, lost", [
    ("vlSelfRef.__Vdly__data = 1U;", True),
    ("vlSelfRef.__Vdly__data = vlSelfRef.__Vdly__data + 1U;", False),
    ("vlSelfRef.data = vlSelfRef.__Vdly__data;", False),
    ("if (vlSelfRef.a) {\n        vlSelfRef.__Vdly__data = 1U;\n    }", False),
    ("if (vlSelfRef.__Vdly__data) {\n        vlSelfRef.__Vdly__data = 1U;\n    } else {\n"
     "        vlSelfRef.__Vdly__data = 2U;\n    }", False),
    ("if (vlSelfRef.a) {\n        vlSelfRef.q = 1ULL;\n        vlSelfRef.__Vdly__data = 1U;\n"
     "    } else {\n        vlSelfRef.__Vdly__data = 2U;\n    }", True)])
def test_copies_that_nothing_reads(text, lost):
    copy = "    vlSelfRef.__Vdly__data\n        = vlSelfRef.data;"
    bodies = [[copy, "    vlSelfRef.a = 1U;"], [f"    {text}"]]
    assert overwritten(bodies, ["    "] * 2) == ({(0, 0)} if lost else set())


def test_inputs_and_state(tmp_path):
    model(tmp_path, "    vlSelfRef.a = 0U;")
    text = (tmp_path / "simd.h").read_text()
    for line in ("alignas(64) IData a[TRACKS];", "alignas(64) IData w[3][TRACKS];",
                 "alignas(64) IData wide_out[4][TRACKS];", "Memory<QData, 128> ram;",
                 "s.data[to] = s.data[from];", "s.a[t] = r.a;", "constexpr int TRACKS = 4;"):
        assert line in text
    assert text.index("IData a[TRACKS]") < text.index("IData data[TRACKS]")    # assigned first
    assert "s.a[to]" not in text and "s.wide_out[to]" not in text


@pytest.mark.parametrize("text", [
    "vlSelfRef.other = 1U;", "VL_SHIFTL_WWI(96,96,8, vlSelfRef.w, __Vtemp_1, 3U);",
    "vlSelfRef.w[0U = 1U;", "if (vlSelfRef.a) vlSelfRef.q = 1ULL;"])
def test_what_is_unknown_is_refused(tmp_path, text):
    with pytest.raises(UnknownForm):
        model(tmp_path, f"    {text}")
    assert not (tmp_path / "simd.h").exists()


MEMORY = """
#include <cstdint>
#include <cstdio>
#include <cstdlib>
using IData = uint32_t;
constexpr int TRACKS = 4, ROWS = 5;
#include "together.h"
int differs(int first) {      // how they first become different
    Memory<uint64_t, ROWS> memory;
    uint64_t plain[ROWS][TRACKS], rounds = 0;
    for (int row = 0; row < ROWS; row++) {
        memory.fill(row, row);
        for (int t = 0; t < TRACKS; t++) plain[row][t] = row;
    }
    srand(1);
    for (int round = 0; round < 4000; round++) {
        const int row = rand() % ROWS, value = rand();
        const int how = round == 2000 ? first : rand() % 3;
        const bool alike = round < 2000;
        Line<uint64_t> line = memory.line(row);
        for (int t = 0; t < TRACKS; t++) {
            const uint64_t now = value + (alike ? 0 : t);
            if (how == 0) line[t] = plain[row][t] = now;
            if (how == 1 && !alike) memory(row, t) = plain[row][t] = now;
            if (how == 2 && !alike) memory(row, t) = memory((row + 1) % ROWS, t),
                                    plain[row][t] = plain[(row + 1) % ROWS][t];
        }
        if (how == 0) memory.put(row, line);
        for (int k = 0; k < ROWS; k++) {
            Line<uint64_t> found = memory.line(k);
            for (int t = 0; t < TRACKS; t++)
                if (found[t] != plain[k][t] || memory(k, t) != plain[k][t]) return 1;
        }
        rounds++;
    }
    return rounds != 4000 || memory.line(ROWS)[0] || memory.line(~0u)[3];
}
int main() { return differs(0) || differs(1); }
"""


@pytest.mark.cosim
def test_a_memory_is_every_track_s_own(tmp_path):
    """Written alike and not, row by row and element by element; nothing beyond its end."""
    (tmp_path / "main.cpp").write_text(MEMORY)
    subprocess.run(["g++", "-std=c++17", f"-I{Path(simd.__file__).parent}", "-o", "main",
                    "main.cpp"], cwd=tmp_path, check=True)
    assert subprocess.run(["./main"], cwd=tmp_path).returncode == 0


def campaign_of(art, lengths, folder, monkeypatch, **options):
    """A campaign in vectors of four tracks."""
    monkeypatch.setattr(campaign, "VECTOR_STEPS", 1)
    monkeypatch.setattr(campaign, "VECTORS", 4)
    values = np.random.default_rng(1).integers(0, 256, (len(lengths), 12))
    report = campaign.run(art, values, np.array(lengths), campaign.Options(
        HardwareConfig(lanes=2), 7, with_cocotb=False, folder=folder, **options),
        report=lambda text: None)
    assert report.equal and report.complete, report.first
    assert report.total("predicted") == report.total("simulated")
    return report


@pytest.mark.cosim
@pytest.mark.parametrize("lengths", [[9] * 16, [9, 3, 1, 12, 5, 9, 9, 2, 7, 7]])
def test_a_core_in_vectors(tmp_path, monkeypatch, lengths):
    """In step and not: equal to the reference, as often as needed for every track."""
    art = random_artifact(n_layers=1, H=6, n=2, length=12)
    report = campaign_of(art, lengths, tmp_path, monkeypatch)
    assert report.total("spikes") == 2 * 6 * sum(lengths)


@pytest.mark.cosim
@pytest.mark.parametrize("kind", ["glu", "gsu", "lif"])
def test_other_kinds_in_vectors(tmp_path, monkeypatch, kind):
    """They have numbers of other widths, and memories that tracks write at different moments."""
    art = random_artifact(2, 1, 6, 2, length=12, kind=kind)
    campaign_of(art, [9, 3, 1, 12, 5, 9, 9, 2], tmp_path, monkeypatch, optimise="-O0")
