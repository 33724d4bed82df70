// Files of raw numbers: arrays one after another, without any heading, in C order.
#pragma once

#include <string>
#include <vector>

#include "session.h"

namespace msnoah {

// One array an input; RunnerError where the file is not exactly as long as the inputs are together.
std::vector<Array> read_arrays(const std::string &path, const std::vector<TensorSpec> &specs);

// RunnerError where the file cannot be written to its end, as on a full disk.
void write_arrays(const std::string &path, const std::vector<Array> &arrays);

} // namespace msnoah
