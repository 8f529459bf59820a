// Drives Verilated cores with whole sequences.
//
//   sim [--trace FILE STEPS] FOLDER...
//
// Every folder is a track (track.h), a core of its own; all advance together, cycle by cycle.
//
// Lines on stdout: "steps N", from time to time, committed by the last layers of all tracks; "stuck
// TRACK TEXT", where the limit did not suffice; "used CPU_SECONDS PEAK_KILOBYTES" at the end.
//
// The core's inputs are registered in the Verilog around it (sim/wrapper.py), so nothing happens
// but at the rising clock edge. Where step.h names the functions that Verilator made for that edge,
// they are called one after the other, each for all tracks while it is in the instruction cache.

#include <algorithm>
#include <cinttypes>
#include <ctime>
#include <memory>

#include "Vcore___024root.h"
#include "step.h"
#include "track.h"
#include "verilated.h"
#ifdef TRACE_HEADER
#include TRACE_HEADER
#endif

namespace {

using Tracks = std::vector<std::unique_ptr<Track>>;

// One clock cycle of some tracks.
void cycle(const std::vector<Track*>& tracks) {
#ifdef EDGE_FUNCTIONS
    static void (*const functions[])(Vcore___024root*) = {EDGE_FUNCTIONS};
    for (auto function : functions)
        for (auto track : tracks) function(track->top.rootp);
#else
    for (auto track : tracks)
        for (int clk : {1, 0}) {
            track->top.clk = clk;
            track->top.eval();
        }
#endif
}

// The first steps of a track, as a waveform.
class Trace {
public:
    Trace(Track& track, const char* path, uint64_t steps) : track_{track}, steps_{steps} {
#ifdef TRACE_HEADER
        track.top.trace(&file_, 99);
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
    Tracks tracks;
    for (int k = first; k < argc; k++) tracks.push_back(std::make_unique<Track>(&context, argv[k]));
    std::unique_ptr<Trace> trace;
    if (traced)
        trace = std::make_unique<Trace>(*tracks[0], argv[2], strtoull(argv[3], nullptr, 10));

    std::vector<Track*> running;
    for (auto& track : tracks) running.push_back(track.get());
    for (uint64_t now = 0; !running.empty(); now++) {
        for (auto track : running) track->before();
        cycle(running);
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
