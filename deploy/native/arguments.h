// The arguments of a request, checked: what is missing or of another kind is a RunnerError.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

namespace msnoah {

std::string text_argument(const nlohmann::json &request, const std::string &name);

// A whole number from `low` to `high`.
int whole_argument(const nlohmann::json &request, const std::string &name, int64_t low, int64_t high);

} // namespace msnoah
