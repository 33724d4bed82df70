// The clocks of a measurement, as Python's worker reads them.
#pragma once

#include <functional>
#include <vector>

namespace msnoah {

// Milliseconds, one entry a run; CPU time is that of all threads of the process.
struct Samples {
    std::vector<double> wall_ms;
    std::vector<double> cpu_ms;
};

double wall_ms(); // since some fixed moment, without leaps
double cpu_ms();  // of this process, all threads
double thread_cpu_ms();

// Wall and CPU time of each of `repeats` runs.
Samples time_runs(const std::function<void()> &run, int repeats);

} // namespace msnoah
