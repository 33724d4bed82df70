#include "ncnn_session.h"

#include <fstream>
#include <map>
#include <sstream>

#include <layer.h>
#include <net.h>
#include <platform.h>

#include "converted_model.h"
#include "ncnn_arrays.h"

namespace msnoah {

using Json = nlohmann::json;

static const std::string PARAM_FILE = "/model.ncnn.param", WEIGHTS_FILE = "/model.ncnn.bin";
static const std::string AXES_FILE = "/batch_axes.json";

// pnnx writes what it could not translate under names that ncnn does not know.
static void check_layers(const std::string &path) {
    std::ifstream file(path);
    if (!file)
        throw RunnerError(path + ": cannot be read");
    std::string line, missing;
    std::map<std::string, int> counts;
    for (int number = 0; std::getline(file, line); number++) {
        std::string kind;
        std::istringstream(line) >> kind;
        if (number >= 2 && !kind.empty() && ncnn::layer_to_index(kind.c_str()) < 0)
            counts[kind]++;
    }
    for (const auto &[kind, count] : counts)
        missing += (missing.empty() ? "" : ", ") + kind + " (" + std::to_string(count) + ")";
    if (!missing.empty())
        throw RunnerError("ncnn has no layers " + missing);
}

// Where the batch lies in each array; NO_BATCH for null.
static std::vector<int> read_axes(const std::string &path, const char *side) {
    const Json record = read_json(path);
    std::vector<int> axes;
    try {
        for (const Json &axis : record.at(side))
            axes.push_back(axis.is_null() ? NO_BATCH : axis.get<int>());
    } catch (const Json::exception &error) {
        throw RunnerError(path + ": damaged: " + error.what());
    }
    return axes;
}

class NcnnSession : public Session {
  public:
    NcnnSession(const std::string &folder, int threads)
        : specs(read_inputs(folder)), input_axes(read_axes(folder + AXES_FILE, "inputs")),
          output_axes(read_axes(folder + AXES_FILE, "outputs")) {
        if (input_axes.size() != specs.size())
            throw RunnerError(folder + AXES_FILE + ": speaks of " + std::to_string(input_axes.size()) +
                              " inputs, interface.json of " + std::to_string(specs.size()));
        for (size_t index = 0; index < specs.size(); index++)
            check_axes(specs[index], input_axes[index]);
        check_layers(folder + PARAM_FILE);
        set_options(threads);
        if (net.load_param((folder + PARAM_FILE).c_str()) != 0)
            throw RunnerError("ncnn cannot load " + folder + PARAM_FILE);
        if (net.load_model((folder + WEIGHTS_FILE).c_str()) != 0)
            throw RunnerError("ncnn cannot load " + folder + WEIGHTS_FILE);
    }

    const std::vector<TensorSpec> &inputs() const override { return specs; }

    // Each output is computed when it is extracted.
    std::vector<Array> run(const std::vector<Array> &feeds) override {
        ncnn::Extractor extractor = net.create_extractor();
        for (size_t index = 0; index < feeds.size(); index++) {
            const std::string name = "in" + std::to_string(index);
            if (extractor.input(name.c_str(), to_mat(feeds[index], input_axes[index])) != 0)
                throw RunnerError("ncnn takes no input '" + name + "'");
        }
        std::vector<Array> outputs;
        for (size_t index = 0; index < output_axes.size(); index++)
            outputs.push_back(extract(extractor, "out" + std::to_string(index), output_axes[index]));
        return outputs;
    }

  private:
    void set_options(int threads) {
        net.opt.num_threads = threads;
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = false;
        net.opt.use_bf16_packed = net.opt.use_bf16_storage = false;
    }

    static Array extract(ncnn::Extractor &extractor, const std::string &name, int axis) {
        ncnn::Mat output;
        const int code = extractor.extract(name.c_str(), output);
        if (code != 0)
            throw RunnerError("ncnn cannot compute '" + name + "': it gives code " + std::to_string(code));
        return to_array(output, axis);
    }

    std::vector<TensorSpec> specs;
    std::vector<int> input_axes, output_axes;
    ncnn::Net net;
};

std::string ncnn_version() { return NCNN_VERSION_STRING; }

std::unique_ptr<Session> open_ncnn(const std::string &folder, int threads) {
    return std::make_unique<NcnnSession>(folder, threads);
}

} // namespace msnoah
