// A core with its streams: whole sequences in, everything that is compared into files.
//
// A track reads FOLDER/input.bin, int64 words: the limit in cycles, the probabilities in 1/65536 of
// holding back the input and the output for a cycle, a seed for them, the cycles of a first attempt
// that a reset ends (0: none), configuration writes (count, then address, data and the cycles to
// the next one of each), sequences (count, then length and values of each). It writes layer<j>.bin (one record per
// committed step) and results.bin (one per sequence). Shapes and ports come from shape.h, which
// sim/native/program.py writes.

#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "shape.h"
#ifdef SIMD
#include "simd.h"
#else
#include "Vcore.h"
#endif

#ifdef SIMD     // the cores of all tracks are one; its variables have the track as last index
using Core = State;
struct Wide {
    const uint32_t (*words)[TRACKS];
    int track;
    uint32_t operator[](int word) const { return words[word][track]; }
};
template <class T>       // of one number: an array of TRACKS words is the other
std::enable_if_t<std::is_integral_v<T>, T&> port(T (&values)[TRACKS], int track) {
    return values[track];
}
template <size_t W> Wide port(uint32_t (&words)[W][TRACKS], int track) {
    return {words, track};
}
#define PORT(name) port(core.name, number)
#else
using Core = Vcore;
#define PORT(name) core.name
#endif

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

inline int64_t sign_extend(uint64_t value, int width) {
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

[[noreturn]] inline void die(const std::string& text) {
    fprintf(stderr, "%s\n", text.c_str());
    exit(1);
}

inline FILE* open_for(const std::string& path, const char* mode) {
    FILE* file = fopen(path.c_str(), mode);
    if (!file) die("cannot open " + path + ": " + strerror(errno));
    return file;
}

// A committed step, as numpy reads it; where words have two steps, a block of them with H and G
// twice as large.
#pragma pack(push, 1)
struct Row {
    uint16_t words;
    uint8_t ended;
    uint32_t signature;
    uint8_t spikes[(H * (IN_BITS + OUT_BITS) + 7) / 8];     // s_in of all words, then s_out
};

struct Answer {
    uint64_t first, last, done;     // cycles: first and last sample taken, result given
    uint32_t label;
    int64_t logits[CLASSES];
    uint32_t saturations[LAYERS + 1];
    uint64_t busy[LAYERS];          // cycles so far in which the layer's multipliers were in use
};
#pragma pack(pop)

struct Layer {
    FILE* file;
    Row row;
    uint64_t steps = 0;

    // G values of `width` bits, from bit `low` of a port, at a bit of the row.
    template <class S> void place(const S& port, int low, int width, int at) {
        for (int g = 0; g < G * width; g++, at++)
            row.spikes[at / 8] |= bits(port, low + g, 1) << (at % 8);
    }
    template <class S, class T>
    void word(const S& s_in, int low_in, const T& s_out, int low_out, bool end,
              uint32_t signature) {
        place(s_in, low_in, IN_BITS, row.words * G * IN_BITS);
        place(s_out, low_out, OUT_BITS, H * IN_BITS + row.words * G * OUT_BITS);
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

class Track {
public:
    Core& core;
    const int number;
    Layer layers[LAYERS];
    bool running = true;
    size_t given = 0;

    Track(Core& core, int number, const std::string& folder) : core{core}, number{number} {
        read(folder + "/input.bin");
        for (int j = 0; j < LAYERS; j++) {
            memset(&layers[j].row, 0, sizeof(Row));
            layers[j].file = open_for(folder + "/layer" + std::to_string(j) + ".bin", "wb");
            setvbuf(layers[j].file, nullptr, _IOFBF, 1 << 18);
        }
        answers_ = open_for(folder + "/results.bin", "wb");
        restart();
    }

    // The inputs of the next cycle.
    void before() {
        PORT(rst) = at_ < 2;
        CFG_EN = written_ < writes_.size() && at_ == writes_[written_].at;
        if (CFG_EN) {
            CFG_ADDR = writes_[written_].address;
            CFG_DATA = writes_[written_++].data;
        }
        offering_ |= at_ >= start_ && sequence_ < sequences_.size() && !random_.chance(stall_in_);
        if (offering_) {
            const auto& values = sequences_[sequence_];
            const uint64_t value = values[step_];
            IN_PAYLOAD = ((value & ((uint64_t(1) << VALUE_BITS) - 1)) << VALUE_LOW)
                         | (uint64_t(step_ + 1 == values.size()) << LAST_LOW);
        }
        IN_VALID = offering_;
        OUT_READY = ready_ = at_ >= start_ && !random_.chance(stall_out_);
    }

    // What the core shows in that cycle.
    void after() {
        if (at_++ < start_) return;
        if (offering_ && IN_READY) {
            if (step_ == 0) in_flight_.push_back({cycle_, cycle_});
            in_flight_.back().second = cycle_;
            taken_++;
            if (++step_ == sequences_[sequence_].size()) { sequence_++; step_ = 0; }
            offering_ = false;
        }
        if (interrupt_) {
            if (--interrupt_ == 0) restart();
            return;
        }
        TAPS(layers)
        if (OUT_VALID && ready_) result();
        for (int j = 0; j < LAYERS; j++) busy_[j] += BUSY >> j & 1;
        if (given >= sequences_.size() && drain_++ == DRAIN) running = false;
        if (++cycle_ >= limit_) running = false;
    }

    // Closes the files; a text where the limit did not suffice.
    std::string finish() {
        for (auto& layer : layers) {
            if (layer.row.words) layer.flush();
            if (fclose(layer.file)) die("cannot write: disk full?");
        }
        if (fclose(answers_)) die("cannot write: disk full?");
        if (given >= sequences_.size()) return "";
        std::string text = std::to_string(given) + " of " + std::to_string(sequences_.size()) +
            " results after " + std::to_string(cycle_) + " cycles; samples taken: " +
            std::to_string(taken_) + "; steps committed by layer:";
        for (auto& layer : layers) text += " " + std::to_string(layer.steps);
        return text;
    }

private:
    struct Write { uint32_t address, data; size_t at; };
    std::vector<Write> writes_;
    size_t written_, end_ = 2;  // writes so far; the cycle behind the last one
    std::vector<std::vector<int64_t>> sequences_;
    std::deque<std::pair<uint64_t, uint64_t>> in_flight_;     // cycles of first and last sample
    FILE* answers_;
    uint64_t limit_, interrupt_;
    uint32_t stall_in_, stall_out_;
    Random random_;
    size_t at_, start_;         // cycles since the reset; the first one for samples
    size_t sequence_, step_;
    uint64_t taken_, cycle_, drain_ = 0;
    uint64_t busy_[LAYERS] = {};
    bool offering_, ready_;

    void read(const std::string& path) {
        FILE* in = open_for(path, "rb");
        auto next = [&]() -> int64_t {
            int64_t value;
            if (fread(&value, sizeof value, 1, in) != 1) die(path + " is too short");
            return value;
        };
        limit_ = next();
        stall_in_ = next();
        stall_out_ = next();
        random_.state = uint64_t(next()) * 2 + 1;
        interrupt_ = next();
        writes_.resize(next());
        for (auto& write : writes_) {
            write.address = next();
            write.data = next();
            write.at = end_;
            end_ += next();
        }
        sequences_.resize(next());
        for (auto& values : sequences_) {
            values.resize(next());
            for (auto& value : values) value = next();
        }
        fclose(in);
    }

    void restart() {
        at_ = written_ = sequence_ = step_ = taken_ = cycle_ = 0;
        start_ = end_ + 1;
        offering_ = false;
        in_flight_.clear();
    }

    void result() {
        Answer answer{};
        if (!in_flight_.empty()) {
            answer.first = in_flight_.front().first;
            answer.last = in_flight_.front().second;
            in_flight_.pop_front();
        }
        answer.done = cycle_;
        answer.label = bits(OUT_PAYLOAD, LABEL_LOW, LABEL_BITS);
        for (int c = 0; c < CLASSES; c++)
            answer.logits[c] = sign_extend(
                bits(OUT_PAYLOAD, LOGITS_LOW + c * LOGIT_BITS, LOGIT_BITS), LOGIT_BITS);
        for (int j = 0; j <= LAYERS; j++)
            answer.saturations[j] = bits(OUT_PAYLOAD, SATURATIONS_LOW + 32 * j, 32);
        memcpy(answer.busy, busy_, sizeof busy_);
        if (fwrite(&answer, sizeof answer, 1, answers_) != 1) die("cannot write: disk full?");
        given++;
    }
};
