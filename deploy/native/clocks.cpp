#include "clocks.h"

#include <ctime>

namespace msnoah {

static double read_ms(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return double(now.tv_sec) * 1e3 + double(now.tv_nsec) / 1e6;
}

double wall_ms() { return read_ms(CLOCK_MONOTONIC); }

double thread_cpu_ms() { return read_ms(CLOCK_THREAD_CPUTIME_ID); }

double cpu_ms() { return read_ms(CLOCK_PROCESS_CPUTIME_ID); }

Samples time_runs(const std::function<void()> &run, int repeats) {
    Samples samples;
    samples.wall_ms.reserve(size_t(repeats));
    samples.cpu_ms.reserve(size_t(repeats));
    for (int index = 0; index < repeats; index++) {
        const double wall = wall_ms(), cpu = cpu_ms();
        run();
        samples.cpu_ms.push_back(cpu_ms() - cpu);
        samples.wall_ms.push_back(wall_ms() - wall);
    }
    return samples;
}

} // namespace msnoah
