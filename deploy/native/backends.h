// The runtimes that this program was built with, by the names that msnoah has for them.
#pragma once

#include <memory>
#include <string>

#include "session.h"

namespace msnoah {

struct Backend {
    std::string name;
    std::string (*version)();
    // Loads what the host converted for this runtime; RunnerError says what is wrong with it.
    std::unique_ptr<Session> (*open)(const std::string &path, int threads);
};

// The backend of a name; RunnerError lists those that are built in.
const Backend &find_backend(const std::string &name);

} // namespace msnoah
