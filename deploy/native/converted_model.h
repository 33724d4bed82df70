// The folder that msnoah converted an artifact into: its interface and other small files of JSON.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "session.h"

namespace msnoah {

// A file of JSON as a whole; RunnerError names the file that is missing or damaged.
nlohmann::json read_json(const std::string &path);

// The inputs of interface.json; RunnerError where it is damaged or a shape is not fixed.
std::vector<TensorSpec> read_inputs(const std::string &folder);

} // namespace msnoah
