#include "machine.h"

#include <cmath>
#include <optional>
#include <string>

#include <sched.h>
#include <sys/utsname.h>

#include "readings.h"
#include "telemetry.h"

namespace msnoah {

using Json = nlohmann::json;

static std::optional<std::string> read_chip() {
    for (const char *name : {"model name", "Hardware", "Model"}) // x86, then two spellings of Arm kernels
        if (const auto found = read_field("/proc/cpuinfo", name))
            return found;
    return std::nullopt;
}

static int available_cores() {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    return sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

Json describe_machine() {
    utsname names{};
    uname(&names);
    const auto kilobytes = read_number_field("/proc/meminfo", "MemTotal");
    return {
        {"chip", or_null(read_chip())},
        {"architecture", names.machine},
        {"system", std::string(names.sysname) + " " + names.release},
        {"cores", available_cores()},
        {"governor", or_null(read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))},
        {"frequency_mhz", or_null(read_frequency_mhz())},
        {"load_average", or_null(read_number("/proc/loadavg"))},
        {"memory_mb", kilobytes ? Json(std::round(*kilobytes / 102.4) / 10) : Json()},
        {"temperature_c", or_null(read_temperature_c())},
    };
}

Json read_peak_memory() {
    const auto kilobytes = read_number_field("/proc/self/status", "VmHWM");
    return {{"mb", kilobytes ? Json(*kilobytes / 1024) : Json()}};
}

} // namespace msnoah
