#include "readings.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>

#include <dirent.h>

namespace msnoah {

static const char *const WHITE = " \t\r\n";

static std::string strip(const std::string &text) {
    const size_t first = text.find_first_not_of(WHITE);
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(WHITE) - first + 1);
}

static std::optional<double> to_number(const std::optional<std::string> &text) {
    if (!text)
        return std::nullopt;
    char *end = nullptr;
    const double number = std::strtod(text->c_str(), &end);
    return end == text->c_str() ? std::nullopt : std::optional<double>(number);
}

std::optional<std::string> read_text(const std::string &path) {
    std::ifstream file(path);
    if (!file)
        return std::nullopt;
    return strip(std::string(std::istreambuf_iterator<char>(file), {}));
}

std::optional<double> read_number(const std::string &path) { return to_number(read_text(path)); }

std::optional<std::string> read_field(const std::string &path, const std::string &name) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const size_t colon = line.find(':');
        if (colon != std::string::npos && strip(line.substr(0, colon)) == name)
            return strip(line.substr(colon + 1));
    }
    return std::nullopt;
}

std::optional<double> read_number_field(const std::string &path, const std::string &name) {
    return to_number(read_field(path, name));
}

std::vector<std::string> list_entries(const std::string &folder, const std::string &beginning) {
    std::vector<std::string> paths;
    const std::unique_ptr<DIR, int (*)(DIR *)> entries(opendir(folder.c_str()), closedir);
    while (const dirent *entry = entries ? readdir(entries.get()) : nullptr)
        if (std::string(entry->d_name).rfind(beginning, 0) == 0)
            paths.push_back(folder + "/" + entry->d_name);
    std::sort(paths.begin(), paths.end());
    return paths;
}

} // namespace msnoah
