// Energy of runs on boards that measure it.
#pragma once

#include <functional>
#include <optional>

namespace msnoah {

// Joules that the whole board takes for `runs` runs, what it takes at rest included: by its counter, else by its power
// sensor, read again and again meanwhile. Nothing where it has neither, or a counter that wrapped or stood still.
std::optional<double> measure_energy(const std::function<void()> &run, int runs);

} // namespace msnoah
