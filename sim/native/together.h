// What all tracks of simd.h have together: loops over them, and memories.

#pragma once

#include <memory>

#define ONE_BY_ONE for (int t = 0; t < TRACKS; t++)
#define EACH _Pragma("GCC ivdep") ONE_BY_ONE
#define COUNT(c) ({ IData n_ = 0; ONE_BY_ONE n_ += IData((c) != 0); n_; })
#define FIRST(row) ({ const int t = 0; static_cast<IData>(row); })
#define SAME(row) ({ const IData first_ = FIRST(row); IData other_ = 0; \
                     ONE_BY_ONE other_ |= IData(row) ^ first_; !other_; })

// A memory's row, of all tracks.
template <class T> struct alignas(64) Line {
    T values[TRACKS];
    T& operator[](int t) { return values[t]; }
};

// A memory of each track. As long as all of them have the same content, coefficients that are configured
// once, say, it is held once; the first row in which they differ makes copies.
template <class T, int ROWS> class Memory {
public:
    struct Cell {
        Memory& memory;
        uint32_t row;
        int t;
        operator T() const { return memory.own_ ? memory.own_[row][t] : memory.alike_[row]; }
        Cell& operator=(T value) {
            if (!memory.own_ && memory.alike_[row] != value) memory.part();
            if (memory.own_) memory.own_[row][t] = value;
            return *this;
        }
        Cell& operator=(const Cell& other) { return *this = T(other); }
    };
    Cell operator()(uint32_t row, int t) { return {*this, row, t}; }

    // A row beyond the last one is asked for where the statement does not use it.
    Line<T> line(uint32_t row) const {
        if (row >= ROWS) return {};
        if (own_) return own_[row];
        Line<T> found;
        ONE_BY_ONE found[t] = alike_[row];
        return found;
    }
    void put(uint32_t row, Line<T> line) {
        if (!own_) {
            T other = 0;
            ONE_BY_ONE other |= line[t] ^ line[0];
            if (!other) {
                alike_[row] = line[0];
                return;
            }
            part();
        }
        own_[row] = line;
    }
    // The same in all tracks.
    void fill(uint32_t row, T value) { alike_[row] = value; }

private:
    T alike_[ROWS] = {};
    std::unique_ptr<Line<T>[]> own_;

    void part() {
        own_.reset(new Line<T>[ROWS]);
        for (int row = 0; row < ROWS; row++) ONE_BY_ONE own_[row][t] = alike_[row];
    }
};
