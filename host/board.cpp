// Runs a Verilated board whose serial pins are behind a pseudo-terminal.
//
//   board TERMINAL CLOCKS SPEED CORRUPT DROP SEED
//
// TERMINAL: file descriptor of the terminal's master side. CLOCKS: cycles per bit. SPEED: the
// termios constant of the line's rate; a host that has set another one reads and writes noise, as
// on a real line. CORRUPT, DROP: of 65536 bytes in either direction, so many are changed or lost.
//
// The board stands still while nothing happens on the line and in the core. When stdin ends, a line
// "noise CORRUPTED DROPPED CYCLES" goes to stdout and the program ends.

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <random>
#include <string>

#include "Vboard.h"
#include "verilated.h"

namespace {

constexpr int LOOK = 512;       // cycles between two looks at the terminal while the board works
constexpr int SETTLE = 64;      // idle cycles, and some bits' time, after which the board stands

class Noise {
public:
    Noise(unsigned corrupt, unsigned drop, unsigned seed)
        : corrupt_{corrupt}, drop_{drop}, random_{seed} {}
    // Bytes that arrive for one that was sent.
    std::string through(unsigned char byte, bool right_speed) {
        if (!right_speed) return random_() & 1 ? std::string(1, static_cast<char>(random_())) : "";
        if (random_() % 65536 < drop_) {
            ++dropped;
            return "";
        }
        if (random_() % 65536 < corrupt_) {
            ++corrupted;
            byte ^= 1 + random_() % 255;
        }
        return std::string(1, static_cast<char>(byte));
    }
    uint64_t corrupted = 0, dropped = 0;

private:
    unsigned corrupt_, drop_;
    std::mt19937 random_;
};

// The host's side of the terminal, as bytes.
class Terminal {
public:
    Terminal(int fd, speed_t speed, Noise& noise) : fd_{fd}, speed_{speed}, noise_{noise} {
        fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
    }
    void look() {
        unsigned char raw[256];
        ssize_t count = read(fd_, raw, sizeof raw);
        bool right = right_speed();
        for (ssize_t j = 0; j < count; ++j)
            for (char byte : noise_.through(raw[j], right)) waiting.push_back(byte);
    }
    void put(unsigned char byte) {
        out_ += noise_.through(byte, right_speed());
        if (!byte) flush();
    }
    void flush() {      // a host that does not read loses bytes, as with any UART
        if (!out_.empty() && write(fd_, out_.data(), out_.size()) < 0) {}
        out_.clear();
    }
    std::deque<unsigned char> waiting;

private:
    bool right_speed() const {
        termios settings;
        return tcgetattr(fd_, &settings) || cfgetospeed(&settings) == speed_;
    }
    int fd_;
    speed_t speed_;
    Noise& noise_;
    std::string out_;
};

// Both directions of the line, bit by bit.
class Line {
public:
    Line(Terminal& terminal, int clocks) : terminal_{terminal}, clocks_{clocks} {}
    bool to_board() {
        if (!send_bits_ && !terminal_.waiting.empty()) {
            shift_ = terminal_.waiting.front() << 1 | 0x200;
            terminal_.waiting.pop_front();
            send_bits_ = 10;
            send_wait_ = clocks_;
        }
        if (!send_bits_) return true;
        bool level = shift_ & 1;
        if (!--send_wait_) {
            shift_ >>= 1;
            send_wait_ = clocks_;
            --send_bits_;
        }
        return level;
    }
    void from_board(bool level) {
        if (!take_bits_) {
            if (level) return;
            take_bits_ = 9;
            take_wait_ = clocks_ + clocks_ / 2;
        } else if (!--take_wait_) {
            take_wait_ = clocks_;
            if (--take_bits_) byte_ = byte_ >> 1 | level << 7;
            else if (level) terminal_.put(byte_);
        }
    }
    bool idle() const { return !send_bits_ && !take_bits_ && terminal_.waiting.empty(); }

private:
    Terminal& terminal_;
    int clocks_, send_bits_ = 0, send_wait_ = 0, take_bits_ = 0, take_wait_ = 0;
    unsigned shift_ = 0;
    unsigned char byte_ = 0;
};

bool host_gone(int fd, int timeout) {
    pollfd watched[] = {{0, POLLIN, 0}, {fd, POLLIN, 0}};
    poll(watched, 2, timeout);
    return watched[0].revents != 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 7) return 2;
    int fd = atoi(argv[1]), clocks = atoi(argv[2]);
    Noise noise(atoi(argv[4]), atoi(argv[5]), atoi(argv[6]));
    Terminal terminal(fd, static_cast<speed_t>(strtoul(argv[3], nullptr, 10)), noise);
    Line line(terminal, clocks);
    VerilatedContext context;
    Vboard top{&context};
    uint64_t cycle = 0;
    int still = 0;
    for (bool gone = false; !gone; ++cycle) {
        top.rst = cycle < 4;
        top.rx = line.to_board();
        for (int clk : {1, 0}) {
            top.clk = clk;
            top.eval();
        }
        line.from_board(top.tx);
        bool idle = line.idle() && !top.busy && cycle > 8;
        still = idle ? still + 1 : 0;
        if (still > SETTLE + 4 * clocks) {
            still = 0;
            terminal.flush();
            gone = host_gone(fd, 1000);
            terminal.look();
        } else if (terminal.waiting.empty() && cycle % LOOK == 0) {
            terminal.look();
            gone = cycle % (LOOK * 64) == 0 && host_gone(fd, 0);
        }
    }
    printf("noise %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", noise.corrupted, noise.dropped, cycle);
    return 0;
}
