// Counts how busy each layer's multipliers are while sequences follow each other without a gap.
// Arguments: sequences, steps of each. Per result one line: its cycle, then per layer the cycles
// so far in which the multipliers took operands. Cycle 0 is the first sample's transfer.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include "Vcore.h"
#include "verilated.h"
#include "shape.h"

int main(int argc, char** argv) {
    const uint64_t sequences = strtoull(argv[1], nullptr, 10), steps = strtoull(argv[2], nullptr, 10);
    const uint64_t limit = strtoull(argv[3], nullptr, 10);
    VerilatedContext context;
    Vcore top{&context};
    uint64_t busy[LAYERS] = {}, sent = 0, results = 0, cycle = 0, random = 88172645463325252ull;
    top.cfg___05Fen = 0;
    top.o___05Fready = 1;
    for (int edge = 0; edge < 4; edge++) {
        top.rst = edge < 2;
        top.i___05Fvalid = 0;
        top.clk = edge & 1;
        top.eval();
    }
    bool started = false;
    for (uint64_t spent = 0; results < sequences; spent++) {
        if (spent == limit) { fprintf(stderr, "stuck after %llu cycles\n", (unsigned long long)spent); return 3; }
        const bool offered = sent < sequences * steps;
        top.i___05Fvalid = offered;
        top.i___05Fpayload = (random >> 20 & VALUE_MASK) | uint64_t((sent + 1) % steps == 0) << VALUE_BITS;
        top.clk = 0;
        top.eval();
        if (offered && top.i___05Fready) {
            if (!started) { started = true; cycle = 0; }
            sent++;
            random ^= random << 13; random ^= random >> 7; random ^= random << 17;
        }
        if (top.o___05Fvalid) {
            results++;
            printf("%llu", (unsigned long long)cycle);
            for (auto count : busy) printf(" %llu", (unsigned long long)count);
            printf("\n");
        }
        for (int layer = 0; layer < LAYERS; layer++) busy[layer] += top.busy >> layer & 1;
        top.clk = 1;
        top.eval();
        cycle++;
    }
}
