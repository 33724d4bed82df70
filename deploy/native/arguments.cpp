#include "arguments.h"

#include "session.h"

namespace msnoah {

using Json = nlohmann::json;

static const Json &argument(const Json &request, const std::string &name) {
    if (!request.is_object() || !request.contains(name))
        throw RunnerError("the request lacks '" + name + "'");
    return request.at(name);
}

static RunnerError refusal(const std::string &name, const Json &found, const std::string &wanted) {
    std::string shown = found.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 40);
    return RunnerError("'" + name + "' is " + shown + "; " + wanted + " is needed");
}

std::string text_argument(const Json &request, const std::string &name) {
    const Json &found = argument(request, name);
    if (!found.is_string())
        throw refusal(name, found, "text");
    const std::string text = found.get<std::string>();
    if (text.empty() || text.find('\0') != std::string::npos)
        throw refusal(name, found, "text without zeros");
    return text;
}

int whole_argument(const Json &request, const std::string &name, int64_t low, int64_t high) {
    const Json &found = argument(request, name);
    const bool whole = found.is_number_integer() && !(found.is_number_unsigned() && found.get<uint64_t>() > INT64_MAX);
    if (!whole || found.get<int64_t>() < low || found.get<int64_t>() > high)
        throw refusal(name, found, "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    return int(found.get<int64_t>());
}

} // namespace msnoah
