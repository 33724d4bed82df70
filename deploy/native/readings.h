// Small files of /proc and /sys: what they say, or nothing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace msnoah {

// null of nothing.
template <typename T> nlohmann::json or_null(const std::optional<T> &value) {
    return value ? nlohmann::json(*value) : nlohmann::json();
}

// A file's text without the white space around it.
std::optional<std::string> read_text(const std::string &path);

// The number that a file begins with.
std::optional<double> read_number(const std::string &path);

// The value of the first `name : value` line of a file.
std::optional<std::string> read_field(const std::string &path, const std::string &name);

// The number that a field begins with.
std::optional<double> read_number_field(const std::string &path, const std::string &name);

// Paths of the entries of a folder whose names begin so, sorted; none where there is no such folder.
std::vector<std::string> list_entries(const std::string &folder, const std::string &beginning);

} // namespace msnoah
