// What changes while a device works: temperature, clock, energy; nothing where it does not tell.
#pragma once

#include <optional>

#include <nlohmann/json.hpp>

namespace msnoah {

std::optional<double> read_temperature_c(); // of the hottest zone
std::optional<double> read_frequency_mhz(); // of the first core
std::optional<double> read_energy_j();      // a counter's reading since some moment in the past
std::optional<double> read_power_w();       // of the sensor that shows most: rails that feed others count them

// temperature_c, frequency_mhz, energy_j, power_w; null where there is nothing to read.
nlohmann::json read_telemetry();

} // namespace msnoah
