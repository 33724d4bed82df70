#include "converted_model.h"

#include <cstring>
#include <fstream>

namespace msnoah {

using Json = nlohmann::json;

static constexpr size_t LARGEST_INPUT = size_t(1) << 33; // elements; more is a damaged file, not a model for a device

Json read_json(const std::string &path) {
    std::ifstream file(path);
    if (!file)
        throw RunnerError(path + ": cannot be read: " + std::strerror(errno));
    try {
        return Json::parse(file);
    } catch (const Json::exception &error) {
        throw RunnerError(path + ": damaged: " + error.what());
    }
}

static TensorSpec read_spec(const Json &record) {
    TensorSpec spec{record.at("name").get<std::string>(), {}, record.at("dtype").get<std::string>()};
    size_t elements = element_size(spec.dtype);
    for (const Json &axis : record.at("shape")) {
        if (!axis.is_number_integer() || axis.get<int64_t>() < 1)
            throw RunnerError("input '" + spec.name + "' has the axis " + axis.dump() +
                              "; a positive number is needed");
        spec.shape.push_back(axis.get<int64_t>());
        if (size_t(spec.shape.back()) > LARGEST_INPUT / elements)
            throw RunnerError("input '" + spec.name + "' is larger than any device's memory");
        elements *= size_t(spec.shape.back());
    }
    return spec;
}

std::vector<TensorSpec> read_inputs(const std::string &folder) {
    const std::string path = folder + "/interface.json";
    const Json record = read_json(path);
    std::vector<TensorSpec> inputs;
    try {
        for (const Json &input : record.at("inputs"))
            inputs.push_back(read_spec(input));
    } catch (const Json::exception &error) {
        throw RunnerError(path + ": damaged: " + error.what());
    } catch (const RunnerError &error) {
        throw RunnerError(path + ": " + error.what());
    }
    return inputs;
}

} // namespace msnoah
