// Drives a Verilated core with whole sequences and writes down everything that is compared.
//
//   sim INPUT FOLDER LIMIT STALL_IN STALL_OUT SEED [TRACE STEPS]
//
// INPUT: int64 words: configuration writes (count, then address and data of each), then sequences
// (count, then the length and values of each). FOLDER receives layer<j>.bin (one record per
// committed step) and results.bin (one per sequence); shapes and ports come from shape.h, which
// sim/native.py writes. STALL_* are probabilities in 1/65536 of holding a stream back for a cycle.
// A line "steps <n>" on stdout from time to time says how many steps the last layer has committed.
// Exit code 3: LIMIT cycles did not suffice; the last line on stderr says how far each layer got.

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "Vcore.h"
#include "shape.h"
#include "verilated.h"
#ifdef TRACE_HEADER
#include TRACE_HEADER
#endif

namespace {

// Bits low .. low + width - 1 (at most 64) of a port, whatever Verilator stores it in.
template <class T> uint64_t bits(const T& port, int low, int width) {
    uint64_t value = 0;
    if constexpr (std::is_integral_v<T>) {
        value = uint64_t(port) >> low;
    } else {
        for (int k = 0, at = 0; at < width + 32; k++, at += 32) {
            const int word = low / 32 + k, shift = at - low % 32;
            if (word * 32 >= low + width || shift >= 64) break;
            const uint64_t part = port[word];
            value |= shift < 0 ? part >> -shift : part << shift;
        }
    }
    return width >= 64 ? value : value & ((uint64_t(1) << width) - 1);
}

int64_t sign_extend(uint64_t value, int width) {
    return int64_t(value << (64 - width)) >> (64 - width);
}

struct Random {     // xorshift64*
    uint64_t state;
    bool chance(uint32_t per65536) {
        if (!per65536) return false;
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return uint32_t((state * 0x2545F4914F6CDD1DULL) >> 48) < per65536;
    }
};

[[noreturn]] void die(const std::string& text) {
    fprintf(stderr, "%s\n", text.c_str());
    exit(1);
}

FILE* open_for(const std::string& path, const char* mode) {
    FILE* file = fopen(path.c_str(), mode);
    if (!file) die("cannot open " + path + ": " + strerror(errno));
    return file;
}

// A committed step, as numpy reads it.
#pragma pack(push, 1)
struct Row {
    uint16_t words;
    uint8_t ended;
    uint32_t signature;
    uint8_t s_in[(H + 7) / 8];
    uint8_t s_out[(H + 7) / 8];
};

struct Answer {
    uint64_t first, last, done;     // cycles: first and last sample taken, result given
    uint32_t label;
    int64_t logits[CLASSES];
    uint32_t saturations[LAYERS + 1];
};
#pragma pack(pop)

struct Layer {
    FILE* file;
    Row row;
    uint64_t steps = 0;

    template <class S> void place(uint8_t* to, const S& spikes, int low) {
        for (int g = 0; g < G; g++) {
            const int at = row.words * G + g;
            to[at / 8] |= bits(spikes, low + g, 1) << (at % 8);
        }
    }
    template <class S, class T>
    void word(const S& s_in, int low_in, const T& s_out, int low_out, bool end,
              uint32_t signature) {
        place(row.s_in, s_in, low_in);
        place(row.s_out, s_out, low_out);
        row.words++;
        row.ended = end;
        row.signature = signature;
        if (end || row.words == WORDS) flush();
    }
    void flush() {
        if (fwrite(&row, sizeof row, 1, file) != 1) die("cannot write: disk full?");
        memset(&row, 0, sizeof row);
        steps++;
    }
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 7 && argc != 9)
        die("usage: sim INPUT FOLDER LIMIT STALL_IN STALL_OUT SEED [TRACE STEPS]");
    FILE* in = open_for(argv[1], "rb");
    const std::string folder = argv[2];
    const uint64_t limit = strtoull(argv[3], nullptr, 10);
    const uint32_t stall_in = atoi(argv[4]), stall_out = atoi(argv[5]);
    Random random{strtoull(argv[6], nullptr, 10) * 2 + 1};

    auto next = [&]() -> int64_t {
        int64_t value;
        if (fread(&value, sizeof value, 1, in) != 1) die("input file is too short");
        return value;
    };
    std::vector<std::pair<uint32_t, uint32_t>> writes(next());
    for (auto& [address, data] : writes) { address = next(); data = next(); }
    std::vector<std::vector<int64_t>> sequences(next());
    for (auto& values : sequences) {
        values.resize(next());
        if (fread(values.data(), 8, values.size(), in) != values.size())
            die("input file is too short");
    }
    fclose(in);

    VerilatedContext context;
    Vcore top{&context};
    Layer layers[LAYERS];
    for (int j = 0; j < LAYERS; j++) {
        memset(&layers[j].row, 0, sizeof(Row));
        layers[j].file = open_for(folder + "/layer" + std::to_string(j) + ".bin", "wb");
        setvbuf(layers[j].file, nullptr, _IOFBF, 1 << 18);
    }
    FILE* answers = open_for(folder + "/results.bin", "wb");
#ifdef TRACE_HEADER
    context.traceEverOn(true);
    TRACE_CLASS trace;
    const uint64_t trace_steps = argc == 9 ? strtoull(argv[8], nullptr, 10) : 0;
    bool tracing = argc == 9;
    if (tracing) {
        top.trace(&trace, 99);
        trace.open(argv[7]);
    }
#endif

    uint64_t time = 0;
    auto half = [&](bool clk) {
        top.clk = clk;
        top.eval();
#ifdef TRACE_HEADER
        if (tracing) trace.dump(time);
#endif
        time += 5;
    };
    auto idle = [&]() { half(0); half(1); };

    top.rst = 1;
    IN_VALID = 0;
    OUT_READY = 0;
    CFG_EN = 0;
    idle();
    idle();
    top.rst = 0;
    for (const auto& [address, data] : writes) {
        CFG_EN = 1;
        CFG_ADDR = address;
        CFG_DATA = data;
        idle();
    }
    CFG_EN = 0;

    size_t sequence = 0, step = 0, given = 0;
    uint64_t taken = 0;
    std::deque<std::pair<uint64_t, uint64_t>> in_flight;     // cycles of first and last sample
    uint64_t cycle = 0, drain = 0;
    bool offering = false;
    for (; given < sequences.size() || drain < DRAIN; cycle++) {
        if (cycle >= limit) break;
        if (given >= sequences.size()) drain++;
        if (!offering && sequence < sequences.size() && !random.chance(stall_in)) {
            const bool last = step + 1 == sequences[sequence].size();
            const uint64_t value = sequences[sequence][step];
            IN_PAYLOAD = ((value & ((uint64_t(1) << VALUE_BITS) - 1)) << VALUE_LOW)
                         | (uint64_t(last) << LAST_LOW);
            offering = true;
        }
        IN_VALID = offering;
        OUT_READY = !random.chance(stall_out);
        half(0);

        if (offering && IN_READY) {
            if (step == 0) in_flight.push_back({cycle, cycle});
            in_flight.back().second = cycle;
            taken++;
            if (++step == sequences[sequence].size()) { sequence++; step = 0; }
            offering = false;
        }
        TAPS(layers)
        if (OUT_VALID && OUT_READY) {
            Answer answer{};
            if (!in_flight.empty()) {
                answer.first = in_flight.front().first;
                answer.last = in_flight.front().second;
                in_flight.pop_front();
            }
            answer.done = cycle;
            answer.label = bits(OUT_PAYLOAD, LABEL_LOW, LABEL_BITS);
            for (int c = 0; c < CLASSES; c++)
                answer.logits[c] = sign_extend(
                    bits(OUT_PAYLOAD, LOGITS_LOW + c * LOGIT_BITS, LOGIT_BITS), LOGIT_BITS);
            for (int j = 0; j <= LAYERS; j++)
                answer.saturations[j] = bits(OUT_PAYLOAD, SATURATIONS_LOW + 32 * j, 32);
            if (fwrite(&answer, sizeof answer, 1, answers) != 1) die("cannot write: disk full?");
            given++;
        }
        half(1);
        if ((cycle & 0xFFFF) == 0) {
            printf("steps %" PRIu64 "\n", layers[LAYERS - 1].steps);
            fflush(stdout);
        }
#ifdef TRACE_HEADER
        if (tracing && (layers[0].steps >= trace_steps || given)) {
            trace.close();
            tracing = false;
        }
#endif
    }
    for (auto& layer : layers) {
        if (layer.row.words) layer.flush();
        if (fclose(layer.file)) die("cannot write: disk full?");
    }
    if (fclose(answers)) die("cannot write: disk full?");
#ifdef TRACE_HEADER
    if (tracing) trace.close();
#endif
    top.final();
    if (given < sequences.size()) {
        fprintf(stderr, "%zu of %zu results after %" PRIu64 " cycles; samples taken: %" PRIu64
                "; steps committed by layer:", given, sequences.size(), cycle, taken);
        for (auto& layer : layers) fprintf(stderr, " %" PRIu64, layer.steps);
        fprintf(stderr, "\n");
        return 3;
    }
    printf("steps %" PRIu64 "\n", layers[LAYERS - 1].steps);
    return 0;
}
