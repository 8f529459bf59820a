"""The native runner on a core in miniature: what it drives, writes, times and refuses."""

import numpy as np
import pytest

from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from sim import tools
from sim.native import edge, native, program as programs
from sim.compare import Tally
from sim.tools import Different, SimError
from tests.sim.standin import StandIn

pytestmark = pytest.mark.cosim
LENGTHS = (3, 1, 4, 2)
KEY = 0x5A


@pytest.fixture(scope="module")
def core():
    return StandIn(random_artifact(n_layers=3, H=12, n=2, length=5000), HardwareConfig(lanes=8))


@pytest.fixture(scope="module", params=[0, 8], ids=["one by one", "vectors"])
def program(core, request):
    built = programs.build(core, optimise="-O0", tracks=request.param)
    assert built.tracks == request.param
    return built


def sequences(lengths=LENGTHS):
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, length) for length in lengths]


def compare(core, out, values) -> Tally:
    tally = Tally(core.geo.words)
    for number, sequence in enumerate(values):
        tally.add(number, core.trace(sequence, KEY), out.rows(number), out.result(number))
    tally.surplus(len(values) - 1, *out.surplus())
    return tally


def job(fault="none", limit=2000, **options):
    return native.Job(sequences(), limit, [(5, KEY), (6, StandIn.FAULTS.index(fault))], **options)


def run(program, folder, fault="none", progress=None, **options):
    (out,), _ = native.run(program, [job(fault, **options)], folder, progress=progress,
                           allow_stuck=True)
    return out


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_equal_and_timed(core, program, tmp_path, stall):
    steps = []
    out = run(program, tmp_path, stall=stall, seed=3, progress=steps.append)
    tally = compare(core, out, sequences())
    assert tally.equal, tally.first
    assert tally.steps == sum(LENGTHS) == steps[-1]
    words = core.geo.words      # a step takes as many cycles as words, a result one more
    free = (np.cumsum(np.array(LENGTHS) * words + 1) - words).tolist()
    done = (out.answers["done"] - out.answers["first"][0]).tolist()
    assert (done == free) == (stall == 0), (done, free)
    if not stall:
        assert (out.answers["last"] - out.answers["first"]).tolist() == \
            [(length - 1) * words for length in LENGTHS]


def test_busy_cycles_are_counted(core, program, tmp_path):
    """Layer j of the stand-in is busy in all words of a step but the first j."""
    words, out = core.geo.words, run(program, tmp_path)
    steps = np.cumsum(LENGTHS)
    assert (out.answers["busy"] == steps[:, None] * (words - np.arange(3))).all()


def test_stalls_depend_on_the_seed(program, tmp_path):
    stamps = [run(program, tmp_path, stall=0.5, seed=seed).answers["done"].tolist()
              for seed in (3, 3, 4)]
    assert stamps[0] == stamps[1] != stamps[2]


def test_tracks_are_independent(core, program, tmp_path):
    """A stuck track, a stalled one and a longer one, side by side."""
    jobs = [job("stuck after three steps", limit=500), job(stall=0.5, seed=2),
            native.Job(sequences((9, 8, 7)), 2000, [(5, KEY)])]
    outs, used = native.run(program, jobs, tmp_path, allow_stuck=True)
    tallies = [compare(core, out, one.sequences) for out, one in zip(outs, jobs)]
    assert [tally.equal for tally in tallies] == [False, True, True]
    assert str(tallies[0].first).startswith("sequence 2, layer 0, step 3, words: missing")
    assert 0 < used.seconds < 60 and 1 << 20 < used.memory < 1 << 26


@pytest.mark.parametrize("interrupt", [1, 2, 13, 40])
def test_a_reset_in_the_middle(core, program, tmp_path, interrupt):
    """What follows is complete, equal and as fast as without the first attempt."""
    out = run(program, tmp_path / "reset", interrupt=interrupt)
    tally = compare(core, out, sequences())
    assert tally.equal, tally.first
    assert (out.answers["done"] == run(program, tmp_path).answers["done"]).all()


def test_what_progress_raises_ends_the_run(program, tmp_path):
    def stop(steps):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        native.run(program, [job()], tmp_path, progress=stop)


def test_only_the_clock_edge_is_simulated(core, tmp_path, monkeypatch):
    """Verilator's functions of the edge are found; without them, eval gives the same."""
    assert "#define EDGE_FUNCTIONS" in step_file(core)
    monkeypatch.setattr(edge, "find", lambda folder: None)
    monkeypatch.setattr(programs.made, "by", lambda kind: "without")     # another cache entry
    assert "#define EDGE_FUNCTIONS" not in step_file(core)
    tally = compare(core, run(programs.build(core, optimise="-O0"), tmp_path), sequences())
    assert tally.equal, tally.first


MODEL = """
void Vcore___024root___eval_nba(Vcore___024root* vlSelf) {
    auto& vlSelfRef = std::ref(*vlSelf).get();
    // Body
    if ((1ULL & vlSelfRef.__VnbaTriggered[0U])) {
        Vcore___024root___nba_sequent__TOP__1(vlSelf);
        vlSelfRef.a = 1U;
        if (vlSelfRef.b) {
            vlSelfRef.c = vlSelfRef.a;
        }
        Vcore___024root___nba_sequent__TOP__0(vlSelf);
        vlSelfRef.d
            = 2U;
    }
}
"""


def test_pieces_between_calls_are_functions(tmp_path):
    (tmp_path / "Vcore___024root__0.cpp").write_text(MODEL)
    text = edge.header(edge.find(tmp_path))
    assert text.splitlines()[-1] == (
        "#define EDGE_FUNCTIONS Vcore___024root___nba_sequent__TOP__1, edge_1, "
        "Vcore___024root___nba_sequent__TOP__0, edge_3")
    assert text.count("{") == text.count("}") == 3 and "= 2U;" in text


@pytest.mark.parametrize("old, new", [
    ("// Body", "// Locals\n    int x;\n    // Body"), ("1ULL &", "3ULL &"), ("b)", "vlSymsp->b)"),
    ("    }\n}", "    }\n    if ((2ULL & vlSelfRef.__VnbaTriggered[0U])) {\n    }\n}"),
    ("\nvoid", "\nVcore___024root___eval_phase__ico(vlSelf);\nvoid"), ("eval_nba", "eval_other")])
def test_a_model_of_another_form_is_evaluated(old, new, tmp_path):
    assert MODEL.count(old) >= 1
    (tmp_path / "Vcore___024root__0.cpp").write_text(MODEL.replace(old, new, 1))
    assert edge.header(edge.find(tmp_path)) == ""


def step_file(core) -> str:
    return (programs.build(core, optimise="-O0").binary.parent / "step.h").read_text()


@pytest.mark.parametrize("fault, text", [
    ("stuck after three steps", "sequence 2, layer 0, step 3, words: missing: 3 of 4 steps seen"),
    ("no end", "sequence 0, layer 0, step 0, words: expected 3, got 3 and no end mark"),
    ("early end", "sequence 0, layer 0, step 0, words: expected 3, got 2"),
    ("extra result", "sequence 1, logits[0]")])
def test_faults_are_named(core, program, tmp_path, fault, text):
    tally = compare(core, run(program, tmp_path, fault), sequences())
    assert str(tally.first).startswith(text)


def test_extra_last_result_is_surplus(core, program, tmp_path):
    short = native.Job(sequences()[:1], 2000, [(5, KEY), (6, 4)])
    (out,), _ = native.run(program, [short], tmp_path)
    assert out.surplus() == ([0, 0, 0], 1)
    assert str(compare(core, out, sequences()[:1]).first) == \
        "sequence 0, result: 1 more than expected"


def test_stuck_says_how_far(program, tmp_path):
    with pytest.raises(Different, match=r"stuck: 2 of 4 results after 500 cycles; samples taken: "
                                        r"7; steps committed by layer: 7 7 7"):
        native.run(program, [native.Job(sequences(), 500, [(6, 1)])], tmp_path)


def test_a_full_disk_is_reported(program, tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "layer0.bin").symlink_to("/dev/full")
    with pytest.raises(SimError, match="cannot write: disk full"):
        native.run(program, [native.Job(sequences((5000,) * 6), 200_000)], tmp_path)


def test_trace_is_short(core, tmp_path):
    program = programs.build(core, tools.trace_kind(), optimise="-O0")
    path = tmp_path / f"trace.{program.trace}"
    native.run(program, [native.Job(sequences((1000,)), 10_000)], tmp_path, waves=path)
    assert 1000 < path.stat().st_size < 1 << 20
    if program.trace == "vcd":
        stamps = [int(line[1:]) for line in path.read_text().splitlines() if line[:1] == "#"]
        cycles = max(stamps) // 10
        assert native.TRACE_STEPS * core.geo.words <= cycles < 220 * core.geo.words
