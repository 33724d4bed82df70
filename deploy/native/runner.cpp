#include "runner.h"

#include <map>
#include <new>
#include <utility>

#include "arguments.h"
#include "backends.h"
#include "clocks.h"
#include "energy.h"
#include "machine.h"
#include "raw_arrays.h"
#include "readings.h"
#include "reference_work.h"
#include "telemetry.h"

namespace msnoah {

using Json = nlohmann::json;

static constexpr int MOST_THREADS = 1024, MOST_RUNS = 1000000;

static Json error_line(const std::string &words) {
    return {{"error", words.substr(0, words.find('\n'))}};
}

static Json to_record(const TensorSpec &spec) {
    return {{"name", spec.name}, {"shape", spec.shape}, {"dtype", spec.dtype}};
}

static void check_batch(const std::vector<TensorSpec> &inputs, int batch) {
    for (const TensorSpec &spec : inputs)
        if (!spec.shape.empty() && spec.shape[0] != batch)
            throw RunnerError("input '" + spec.name + "' is built for batch " + std::to_string(spec.shape[0]) +
                              ", asked for " + std::to_string(batch));
}

Json Runner::answer(const std::string &line) {
    try {
        const Json request = Json::parse(line);
        return (this->*find_method(text_argument(request, "do")))(request);
    } catch (const RunnerError &error) {
        return error_line(error.what());
    } catch (const Json::exception &error) {
        return error_line(std::string("not a request in JSON: ") + error.what());
    } catch (const std::bad_alloc &) {
        return error_line("no memory left for it");
    } catch (const std::exception &error) {
        return error_line(error.what());
    }
}

Runner::Method Runner::find_method(const std::string &name) {
    static const std::map<std::string, Method> METHODS = {
        {"load", &Runner::load},           {"feed", &Runner::feed},
        {"measure", &Runner::measure},     {"outputs", &Runner::outputs},
        {"operators", &Runner::operators}, {"peak_memory", &Runner::peak_memory},
        {"device", &Runner::device},       {"telemetry", &Runner::telemetry},
        {"energy", &Runner::energy},
    };
    const auto found = METHODS.find(name);
    if (found != METHODS.end())
        return found->second;
    std::string known;
    for (const auto &[key, method] : METHODS)
        known += (known.empty() ? "" : ", ") + key;
    throw RunnerError("unknown request '" + name + "'; the native runner answers " + known);
}

Json Runner::load(const Json &request) {
    const Backend &backend = find_backend(text_argument(request, "runtime"));
    const std::string path = text_argument(request.value("artifact", Json()), "path");
    const int threads = whole_argument(request, "threads", 1, MOST_THREADS);
    const int batch = whole_argument(request, "batch_size", 1, INT32_MAX);
    session.reset(); // before the next one, since both may not fit
    feeds.clear();
    const double start = wall_ms();
    std::unique_ptr<Session> opened = backend.open(path, threads);
    const double load_ms = wall_ms() - start;
    check_batch(opened->inputs(), batch);
    session = std::move(opened);
    Json inputs = Json::array();
    for (const TensorSpec &spec : session->inputs())
        inputs.push_back(to_record(spec));
    return {{"version", backend.version()}, {"inputs", inputs}, {"load_ms", load_ms}};
}

Json Runner::feed(const Json &request) {
    feeds = read_arrays(text_argument(request, "path"), loaded().inputs());
    const double start = wall_ms();
    run();
    return {{"first_run_ms", wall_ms() - start}};
}

Json Runner::measure(const Json &request) {
    const int repeats = whole_argument(request, "repeats", 0, MOST_RUNS);
    const double before = time_reference();
    run(); // unrecorded: whoever ran before has emptied the caches
    const Samples samples = time_runs([this] { run(); }, repeats);
    const Json reference = {before, time_reference()};
    return {{"wall_ms", samples.wall_ms}, {"cpu_ms", samples.cpu_ms}, {"reference_ms", reference}};
}

Json Runner::outputs(const Json &request) {
    const std::string path = text_argument(request, "path");
    const std::vector<Array> arrays = run();
    write_arrays(path, arrays);
    Json layouts = Json::array();
    for (const Array &array : arrays)
        layouts.push_back({{"dtype", array.dtype}, {"shape", array.shape}});
    return {{"outputs", layouts}};
}

Json Runner::operators(const Json &) { return {{"rows", Json::array()}}; } // no backend here has a profiler

Json Runner::peak_memory(const Json &) { return read_peak_memory(); }

Json Runner::device(const Json &) { return describe_machine(); }

Json Runner::telemetry(const Json &) { return read_telemetry(); }

Json Runner::energy(const Json &request) {
    const int runs = whole_argument(request, "runs", 0, MOST_RUNS);
    run(); // what is missing is told on a board without a sensor, too
    return {{"joules", or_null(measure_energy([this] { run(); }, runs))}};
}

std::vector<Array> Runner::run() {
    if (feeds.size() != loaded().inputs().size())
        throw RunnerError("there are no inputs yet; 'feed' comes first");
    return session->run(feeds);
}

Session &Runner::loaded() {
    if (!session)
        throw RunnerError("nothing is loaded; 'load' comes first");
    return *session;
}

} // namespace msnoah
