// What the machine says of itself; null where it does not say.
#pragma once

#include <nlohmann/json.hpp>

namespace msnoah {

// The fields of msnoah's Device: chip, architecture, system, cores, governor, clock, load, memory, temperature.
nlohmann::json describe_machine();

// {"mb": peak resident set of this process so far, in MiB}
nlohmann::json read_peak_memory();

} // namespace msnoah
