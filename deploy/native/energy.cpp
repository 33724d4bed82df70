#include "energy.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <thread>

#include "clocks.h"
#include "telemetry.h"

namespace msnoah {

static constexpr auto SAMPLING = std::chrono::milliseconds(50); // a sensor over I2C takes about a millisecond to read

static void repeat(const std::function<void()> &run, int runs) {
    for (int index = 0; index < runs; index++)
        run();
}

// Adds up trapezoids between readings: one at the beginning, one every SAMPLING, one at the end.
static double sum_power(const std::atomic<bool> &ended) {
    double joules = 0, earlier = wall_ms(), first = read_power_w().value_or(0);
    for (bool going = true; going;) {
        going = !ended;
        if (going)
            std::this_thread::sleep_for(SAMPLING);
        const double later = wall_ms(), second = read_power_w().value_or(first);
        joules += (later - earlier) / 1e3 * (first + second) / 2;
        earlier = later;
        first = second;
    }
    return joules;
}

static double integrate_power(const std::function<void()> &run, int runs) {
    std::atomic<bool> ended{false};
    double joules = 0;
    std::thread sampler([&] { joules = sum_power(ended); });
    std::exception_ptr failure;
    try {
        repeat(run, runs);
    } catch (...) { // told after the thread has ended, which would otherwise end the program
        failure = std::current_exception();
    }
    ended = true;
    sampler.join();
    if (failure)
        std::rethrow_exception(failure);
    return joules;
}

std::optional<double> measure_energy(const std::function<void()> &run, int runs) {
    const auto before = read_energy_j();
    if (!before && !read_power_w())
        return std::nullopt;
    if (!before)
        return integrate_power(run, runs);
    repeat(run, runs);
    const auto after = read_energy_j();
    return after && *after > *before ? std::optional<double>(*after - *before) : std::nullopt;
}

} // namespace msnoah
