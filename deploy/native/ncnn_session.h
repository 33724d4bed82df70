// ncnn on the CPU, as msnoah's Python session runs it: float32 in memory and in arithmetic, at a fixed batch.
#pragma once

#include <memory>
#include <string>

#include "session.h"

namespace msnoah {

std::string ncnn_version();

// Opens a folder that msnoah converted for ncnn; RunnerError lists layers that ncnn does not have.
std::unique_ptr<Session> open_ncnn(const std::string &folder, int threads);

} // namespace msnoah
