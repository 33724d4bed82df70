// What a backend gives: a loaded model that runs on arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace msnoah {

// What the host reads as {"error": ...}: one line that says what was found, where, and what would be right.
class RunnerError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// An input by its name, its shape with the batch filled in, and numpy's name of its element type.
struct TensorSpec {
    std::string name;
    std::vector<int64_t> shape;
    std::string dtype;
};

// Numbers in C order, little-endian as the machine is.
struct Array {
    std::string dtype;
    std::vector<int64_t> shape;
    std::vector<unsigned char> bytes;
};

// A model that is loaded and ready to run.
class Session {
  public:
    virtual ~Session() = default;

    virtual const std::vector<TensorSpec> &inputs() const = 0;

    // Runs once: arrays in the order of inputs() -> outputs in the artifact's order, computed when it returns.
    virtual std::vector<Array> run(const std::vector<Array> &feeds) = 0;
};

// Bytes of an element of numpy's type; RunnerError lists the known ones.
size_t element_size(const std::string &dtype);

// The product of all axes.
size_t count_elements(const std::vector<int64_t> &shape);

} // namespace msnoah
