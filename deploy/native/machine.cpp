#include "machine.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include <sched.h>
#include <sys/utsname.h>

#include "readings.h"

namespace msnoah {

using Json = nlohmann::json;

static const std::string CPU_INFO = "/proc/cpuinfo", CLOCK = "/sys/devices/system/cpu/cpu0/cpufreq/";

template <typename T> static Json or_null(const std::optional<T> &value) { return value ? Json(*value) : Json(); }

static std::optional<double> scaled(const std::optional<double> &value, double factor) {
    return value ? std::optional<double>(*value * factor) : std::nullopt;
}

static std::optional<std::string> read_chip() {
    for (const char *name : {"model name", "Hardware", "Model"}) // x86, then two spellings of Arm kernels
        if (const auto found = read_field(CPU_INFO, name))
            return found;
    return std::nullopt;
}

static std::optional<double> read_frequency_mhz() {
    const auto kilohertz = read_number(CLOCK + "scaling_cur_freq");
    return kilohertz ? scaled(kilohertz, 1e-3) : read_number_field(CPU_INFO, "cpu MHz");
}

// The hottest zone throttles first. The kernel gives millidegrees.
static std::optional<double> read_temperature_c() {
    std::optional<double> hottest;
    for (const std::string &zone : list_entries("/sys/class/thermal", "thermal_zone"))
        if (const auto reading = scaled(read_number(zone + "/temp"), 1e-3))
            hottest = std::max(hottest.value_or(*reading), *reading);
    return hottest;
}

static int available_cores() {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    return sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

// Packages of RAPL, else the energy counters of hwmon; both count microjoules.
static std::optional<double> read_energy_j() {
    std::optional<double> total;
    const auto add = [&total](const std::string &path) {
        if (const auto reading = scaled(read_number(path), 1e-6))
            total = total.value_or(0.0) + *reading;
    };
    for (const std::string &zone : list_entries("/sys/class/powercap", "intel-rapl:"))
        if (std::count(zone.begin(), zone.end(), ':') == 1) // intel-rapl:0:0 is a part of intel-rapl:0
            add(zone + "/energy_uj");
    if (!total)
        for (const std::string &chip : list_entries("/sys/class/hwmon", "hwmon"))
            add(chip + "/energy1_input");
    return total;
}

Json describe_machine() {
    utsname names{};
    uname(&names);
    const auto kilobytes = read_number_field("/proc/meminfo", "MemTotal");
    const auto memory_mb = scaled(kilobytes, 1.0 / 1024);
    return {
        {"chip", or_null(read_chip())},
        {"architecture", names.machine},
        {"system", std::string(names.sysname) + " " + names.release},
        {"cores", available_cores()},
        {"governor", or_null(read_text(CLOCK + "scaling_governor"))},
        {"frequency_mhz", or_null(read_frequency_mhz())},
        {"load_average", or_null(read_number("/proc/loadavg"))},
        {"memory_mb", memory_mb ? Json(std::round(*memory_mb * 10) / 10) : Json()},
        {"temperature_c", or_null(read_temperature_c())},
    };
}

Json read_telemetry() {
    return {
        {"temperature_c", or_null(read_temperature_c())},
        {"frequency_mhz", or_null(read_frequency_mhz())},
        {"energy_j", or_null(read_energy_j())},
    };
}

Json read_peak_memory() {
    const auto kilobytes = read_number_field("/proc/self/status", "VmHWM");
    return {{"mb", or_null(scaled(kilobytes, 1.0 / 1024))}};
}

} // namespace msnoah
