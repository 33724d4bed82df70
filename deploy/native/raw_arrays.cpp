#include "raw_arrays.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>

#include <sys/stat.h>

namespace msnoah {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE *)>;

static const std::map<std::string, size_t> ELEMENT_SIZES = {
    {"float64", 8}, {"float32", 4}, {"float16", 2}, {"int64", 8}, {"int32", 4}, {"int8", 1}, {"uint8", 1}, {"bool", 1},
};

size_t element_size(const std::string &dtype) {
    const auto found = ELEMENT_SIZES.find(dtype);
    if (found != ELEMENT_SIZES.end())
        return found->second;
    std::string known;
    for (const auto &[name, size] : ELEMENT_SIZES)
        known += (known.empty() ? "" : ", ") + name;
    throw RunnerError("unknown element type '" + dtype + "'; known: " + known);
}

size_t count_elements(const std::vector<int64_t> &shape) {
    size_t count = 1;
    for (int64_t axis : shape)
        count *= size_t(axis);
    return count;
}

static size_t byte_count(const TensorSpec &spec) { return count_elements(spec.shape) * element_size(spec.dtype); }

static RunnerError failure(const std::string &path, const std::string &what) {
    return RunnerError(path + ": cannot be " + what + ": " + std::strerror(errno));
}

std::vector<Array> read_arrays(const std::string &path, const std::vector<TensorSpec> &specs) {
    struct stat facts;
    if (stat(path.c_str(), &facts) != 0)
        throw failure(path, "read");
    size_t needed = 0;
    for (const TensorSpec &spec : specs)
        needed += byte_count(spec);
    if (!S_ISREG(facts.st_mode) || size_t(facts.st_size) != needed)
        throw RunnerError(path + ": has " + std::to_string(facts.st_size) + " bytes; a file of the inputs has " +
                          std::to_string(needed));
    const File file(std::fopen(path.c_str(), "rb"), std::fclose);
    if (!file)
        throw failure(path, "read");
    std::vector<Array> arrays;
    for (const TensorSpec &spec : specs) {
        arrays.push_back({spec.dtype, spec.shape, std::vector<unsigned char>(byte_count(spec))});
        std::vector<unsigned char> &bytes = arrays.back().bytes;
        if (std::fread(bytes.data(), 1, bytes.size(), file.get()) != bytes.size())
            throw failure(path, "read");
    }
    return arrays;
}

void write_arrays(const std::string &path, const std::vector<Array> &arrays) {
    File file(std::fopen(path.c_str(), "wb"), std::fclose);
    if (!file)
        throw failure(path, "written");
    for (const Array &array : arrays)
        if (std::fwrite(array.bytes.data(), 1, array.bytes.size(), file.get()) != array.bytes.size())
            throw failure(path, "written");
    if (std::fclose(file.release()) != 0) // what is still in the buffer can fail, too
        throw failure(path, "written");
}

} // namespace msnoah
