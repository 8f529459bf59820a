"""Verilator's code for many tracks: what becomes of a statement, and what is refused."""

import numpy as np
import pytest

from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from sim import campaign
from sim.native import edge, simd

HEADER = """
            VL_IN8(clk,0,0);
            VL_IN(data,16,0);
            VL_OUTW(wide_out,99,0,4);
            CData/*0:0*/ a;
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
    ("vlSelfRef.q = vlSelfRef.ram[(7U & vlSelfRef.data)];",
     "if(SAME((7U&vlSelfRef.data[t]))){constIDatarow0=FIRST((7U&vlSelfRef.data[t]));EACH{"
     "vlSelfRef.q[t]=vlSelfRef.ram[row0][t];}}elseONE_BY_ONE{"
     "vlSelfRef.q[t]=vlSelfRef.ram[(7U&vlSelfRef.data[t])][t];}"),
    ("vlSelfRef.q = vlSelfRef.ram[3U];", "vlSelfRef.q[t]=vlSelfRef.ram[3U][t];")])
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


def test_inputs_and_state(tmp_path):
    model(tmp_path, "    vlSelfRef.a = 0U;")
    text = (tmp_path / "simd.h").read_text()
    for line in ("alignas(64) CData a[TRACKS];", "alignas(64) IData w[3][TRACKS];",
                 "alignas(64) IData wide_out[4][TRACKS];", "alignas(64) QData ram[128][TRACKS];",
                 "s.data[to] = s.data[from];", "s.a[t] = r.a;", "constexpr int TRACKS = 4;"):
        assert line in text
    assert "s.a[to]" not in text and "s.wide_out[to]" not in text


@pytest.mark.parametrize("text", [
    "vlSelfRef.other = 1U;", "VL_SHIFTL_WWI(96,96,8, vlSelfRef.w, __Vtemp_1, 3U);",
    "vlSelfRef.w[0U = 1U;", "if (vlSelfRef.a) vlSelfRef.q = 1ULL;"])
def test_what_is_unknown_is_refused(tmp_path, text):
    with pytest.raises(simd.UnknownForm):
        model(tmp_path, f"    {text}")
    assert not (tmp_path / "simd.h").exists()


@pytest.mark.cosim
@pytest.mark.parametrize("lengths", [[9] * 16, [9, 3, 1, 12, 5, 9, 9, 2, 7, 7]])
def test_a_core_in_vectors(tmp_path, monkeypatch, lengths):
    """In step and not: equal to the reference, as often as needed for every track."""
    monkeypatch.setattr(campaign, "VECTOR_STEPS", 1)
    monkeypatch.setattr(campaign, "VECTORS", 4)
    art = random_artifact(n_layers=1, H=6, n=2, length=12)
    values = np.random.default_rng(1).integers(0, 256, (len(lengths), 12))
    options = campaign.Options(HardwareConfig(lanes=2), 7, with_cocotb=False, folder=tmp_path)
    report = campaign.run(art, values, np.array(lengths), options, report=lambda text: None)
    assert report.equal and report.complete, report.first
    assert report.total("spikes") == 2 * 6 * sum(lengths)
    assert report.total("predicted") == report.total("simulated")
