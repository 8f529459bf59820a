// Drives Verilated cores with whole sequences.
//
//   sim [--trace FILE STEPS] FOLDER...
//
// Every folder is a track (track.h), a core of its own; all advance together, cycle by cycle.
//
// Lines on stdout: "steps N", from time to time, committed by the last layers of all tracks; "stuck
// TRACK TEXT", where the limit did not suffice; "used CPU_SECONDS PEAK_KILOBYTES" at the end.
//
// The core's inputs are registered in the Verilog around it (sim/native/wrapper.py), so nothing happens
// but at the rising clock edge. Where step.h names the functions that Verilator made for that edge,
// they are called one after the other, each for all tracks while it is in the instruction cache.
// With SIMD they are those of simd.h, each of which works on all tracks at once (sim/native/simd.py).

#include <algorithm>
#include <cinttypes>
#include <ctime>
#include <memory>

#include "Vcore.h"
#include "Vcore___024root.h"
#include "track.h"
#ifndef SIMD
#include "step.h"
#endif
#include "verilated.h"
#ifdef TRACE_HEADER
#include TRACE_HEADER
#endif

namespace {

using Tracks = std::vector<std::unique_ptr<Track>>;

// The cores of all tracks.
class Cores {
public:
#ifdef SIMD
    Cores(VerilatedContext* context, size_t count) : state_{new State} {
        if (count > TRACKS) die("more folders than tracks");
        Vcore start{context};
        start.clk = 0;
        start.eval();
        for (int track = 0; track < TRACKS; track++) load(*state_, *start.rootp, track);
    }
    Core& operator[](size_t) { return *state_; }

    // One clock cycle. Tracks without work do what another one does, to be in step with it.
    void cycle(const std::vector<Track*>& running) {
        static void (*const functions[])(State&) = {EDGE_FUNCTIONS};
        uint64_t working = 0;
        for (auto track : running) working |= uint64_t(1) << track->number;
        for (int track = 0; track < TRACKS; track++)
            if (!(working >> track & 1)) copy_inputs(*state_, running[0]->number, track);
        for (auto function : functions) function(*state_);
    }

private:
    std::unique_ptr<State> state_;
#else
    Cores(VerilatedContext* context, size_t count) {
        for (size_t k = 0; k < count; k++) {
            cores_.push_back(std::make_unique<Vcore>(context));
            cores_[k]->clk = 0;
            cores_[k]->eval();
        }
    }
    Core& operator[](size_t track) { return *cores_[track]; }

    void cycle(const std::vector<Track*>& running) {
#ifdef EDGE_FUNCTIONS
        static void (*const functions[])(Vcore___024root*) = {EDGE_FUNCTIONS};
        for (auto function : functions)
            for (auto track : running) function(track->core.rootp);
#else
        for (auto track : running)
            for (int clk : {1, 0}) {
                track->core.clk = clk;
                track->core.eval();
            }
#endif
    }

private:
    std::vector<std::unique_ptr<Vcore>> cores_;
#endif
};

// The first steps of a track, as a waveform.
class Trace {
public:
    Trace(Track& track, const char* path, uint64_t steps) : track_{track}, steps_{steps} {
#ifdef TRACE_HEADER
        track.core.trace(&file_, 99);
        file_.open(path);
#endif
    }
    void dump(uint64_t cycle) {
#ifdef TRACE_HEADER
        if (!file_.isOpen()) return;
        file_.dump(10 * cycle);
        if (track_.layers[0].steps >= steps_ || track_.given) file_.close();
#endif
    }

private:
    Track& track_;
    uint64_t steps_;
#ifdef TRACE_HEADER
    TRACE_CLASS file_;
#endif
};

// Of this program; getrusage would count the process that started it.
long peak_kilobytes() {
    long found = 0;
    char line[256];
    FILE* status = open_for("/proc/self/status", "r");
    while (fgets(line, sizeof line, status)) sscanf(line, "VmHWM: %ld", &found);
    fclose(status);
    return found;
}

}  // namespace

int main(int argc, char** argv) {
    const bool traced = argc > 3 && !strcmp(argv[1], "--trace");
    const int first = traced ? 4 : 1;
    if (argc <= first) die("usage: sim [--trace FILE STEPS] FOLDER...");
    VerilatedContext context;
    context.traceEverOn(traced);
    Cores cores{&context, size_t(argc - first)};
    Tracks tracks;
    for (int k = 0; k < argc - first; k++)
        tracks.push_back(std::make_unique<Track>(cores[k], k, argv[first + k]));
    std::unique_ptr<Trace> trace;
    if (traced)
        trace = std::make_unique<Trace>(*tracks[0], argv[2], strtoull(argv[3], nullptr, 10));

    std::vector<Track*> running;
    for (auto& track : tracks) running.push_back(track.get());
    for (uint64_t now = 0; !running.empty(); now++) {
        for (auto track : running) track->before();
        cores.cycle(running);
        if (trace) trace->dump(now);
        for (auto track : running) track->after();
        running.erase(std::remove_if(running.begin(), running.end(),
                                     [](Track* track) { return !track->running; }), running.end());
        if (now % 0x4000 == 0 || running.empty()) {
            uint64_t steps = 0;
            for (auto& track : tracks) steps += track->layers[LAYERS - 1].steps;
            printf("steps %" PRIu64 "\n", steps);
            fflush(stdout);
        }
    }
    for (size_t k = 0; k < tracks.size(); k++) {
        const std::string text = tracks[k]->finish();
        if (!text.empty()) printf("stuck %zu %s\n", k, text.c_str());
    }
    printf("used %.3f %ld\n", double(std::clock()) / CLOCKS_PER_SEC, peak_kilobytes());
    return 0;
}
