// One loaded session and the requests that it answers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "session.h"

namespace msnoah {

class Runner {
  public:
    // Carries out one line of JSON; whatever goes wrong is {"error": one line}.
    nlohmann::json answer(const std::string &line);

  private:
    using Json = nlohmann::json;
    using Method = Json (Runner::*)(const Json &);

    static Method find_method(const std::string &name);
    Json load(const Json &request);
    Json feed(const Json &request);
    Json measure(const Json &request);
    Json outputs(const Json &request);
    Json operators(const Json &request);
    Json peak_memory(const Json &request);
    Json device(const Json &request);
    Json telemetry(const Json &request);
    Json energy(const Json &request);

    std::vector<Array> run();
    Session &loaded();

    std::unique_ptr<Session> session;
    std::vector<Array> feeds;
};

} // namespace msnoah
