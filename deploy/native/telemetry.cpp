#include "telemetry.h"

#include <algorithm>
#include <string>
#include <vector>

#include "readings.h"

namespace msnoah {

// Numbers of the files in a folder whose names begin and end so.
static std::vector<double> read_numbers(const std::string &folder, const std::string &beginning,
                                        const std::string &ending) {
    std::vector<double> numbers;
    for (const std::string &path : list_entries(folder, beginning)) {
        const size_t rest = path.size() - std::min(path.size(), ending.size());
        const bool fits = path.compare(rest, std::string::npos, ending) == 0;
        const auto number = fits ? read_number(path) : std::nullopt;
        if (number)
            numbers.push_back(*number);
    }
    return numbers;
}

std::optional<double> read_temperature_c() {
    std::optional<double> hottest;
    for (const std::string &zone : list_entries("/sys/class/thermal", "thermal_zone"))
        if (const auto millidegrees = read_number(zone + "/temp"))
            hottest = std::max(hottest.value_or(*millidegrees / 1e3), *millidegrees / 1e3);
    return hottest;
}

std::optional<double> read_frequency_mhz() {
    if (const auto kilohertz = read_number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"))
        return *kilohertz / 1e3;
    return read_number_field("/proc/cpuinfo", "cpu MHz");
}

// The sum of all packages' RAPL counters, else of hwmon's. Zones inside a package (intel-rapl:0:0) and the platform's,
// which counts the packages once more, are left out.
std::optional<double> read_energy_j() {
    std::vector<double> counters;
    for (const std::string &zone : list_entries("/sys/class/powercap", ""))
        if (std::count(zone.begin(), zone.end(), ':') == 1 && read_text(zone + "/name") != "psys")
            if (const auto microjoules = read_number(zone + "/energy_uj"))
                counters.push_back(*microjoules);
    if (counters.empty())
        for (const std::string &chip : list_entries("/sys/class/hwmon", "hwmon"))
            for (double microjoules : read_numbers(chip, "energy", "_input"))
                counters.push_back(microjoules);
    if (counters.empty())
        return std::nullopt;
    double total = 0;
    for (double microjoules : counters)
        total += microjoules / 1e6;
    return total;
}

std::optional<double> read_power_w() {
    std::optional<double> largest;
    const auto take = [&largest](const std::vector<double> &readings, double unit) {
        for (double reading : readings)
            largest = std::max(largest.value_or(reading / unit), reading / unit);
    };
    for (const std::string &chip : list_entries("/sys/class/hwmon", "hwmon"))
        take(read_numbers(chip, "power", "_input"), 1e6); // microwatts
    for (const std::string &device : list_entries("/sys/bus/iio/devices", "iio:device"))
        take(read_numbers(device, "in_power", "_input"), 1e3); // milliwatts
    return largest;
}

nlohmann::json read_telemetry() {
    return {
        {"temperature_c", or_null(read_temperature_c())},
        {"frequency_mhz", or_null(read_frequency_mhz())},
        {"energy_j", or_null(read_energy_j())},
        {"power_w", or_null(read_power_w())},
    };
}

} // namespace msnoah
