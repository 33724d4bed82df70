#include "ncnn_arrays.h"

#include <cstring>
#include <map>

namespace msnoah {

// An array as (outer, batch, inner): where a sample's numbers lie.
struct BatchLayout {
    size_t outer, batch, inner_bytes;
};

static BatchLayout find_batch(const std::vector<int64_t> &shape, int axis, size_t element_bytes) {
    if (axis == NO_BATCH)
        return {1, 1, count_elements(shape) * element_bytes};
    const auto at = shape.begin() + axis;
    return {count_elements({shape.begin(), at}), size_t(*at), count_elements({at + 1, shape.end()}) * element_bytes};
}

// Bytes of a sample that lie in one piece: ncnn starts each channel at an aligned address.
static size_t channel_bytes(const ncnn::Mat &sample) {
    const size_t plane = size_t(sample.w) * size_t(sample.h) * size_t(sample.d) * sample.elemsize;
    return sample.dims <= 2 ? size_t(sample.w) * size_t(sample.h) * sample.elemsize : plane;
}

static unsigned char *channel_start(ncnn::Mat &sample, int channel) {
    return static_cast<unsigned char *>(sample.data) + sample.cstep * size_t(channel) * sample.elemsize;
}

static int channel_count(const ncnn::Mat &sample) { return sample.dims <= 2 ? 1 : sample.c; }

static ncnn::Mat create_mat(const std::vector<int> &axes, size_t element_bytes, int batch) {
    ncnn::Mat mat;
    switch (axes.size()) {
    case 1: mat.create(axes[0], element_bytes, 1, batch); break;
    case 2: mat.create(axes[1], axes[0], element_bytes, 1, batch); break;
    case 3: mat.create(axes[2], axes[1], axes[0], element_bytes, 1, batch); break;
    case 4: mat.create(axes[3], axes[2], axes[1], axes[0], element_bytes, 1, batch); break;
    }
    if (mat.empty())
        throw RunnerError("ncnn has no memory for an array of " + std::to_string(element_bytes) + "-byte elements");
    return mat;
}

void check_axes(const TensorSpec &spec, int batch_axis) {
    const int axes = int(spec.shape.size());
    const int others = batch_axis == NO_BATCH ? axes : axes - 1;
    if (batch_axis != NO_BATCH && (batch_axis < 0 || batch_axis >= axes))
        throw RunnerError("input '" + spec.name + "' has " + std::to_string(axes) +
                          " axes, but its batch is said to be at axis " + std::to_string(batch_axis));
    if (others < 1 || others > 4)
        throw RunnerError("input '" + spec.name + "' has " + std::to_string(others) +
                          " axes beside the batch; ncnn takes one to four");
    for (int64_t axis : spec.shape)
        if (axis > INT32_MAX)
            throw RunnerError("input '" + spec.name + "' has an axis of " + std::to_string(axis) +
                              ", too long for ncnn");
}

ncnn::Mat to_mat(const Array &array, int batch_axis) {
    const size_t element_bytes = element_size(array.dtype);
    const BatchLayout layout = find_batch(array.shape, batch_axis, element_bytes);
    std::vector<int> axes;
    for (int axis = 0; axis < int(array.shape.size()); axis++)
        if (axis != batch_axis)
            axes.push_back(int(array.shape[size_t(axis)]));
    ncnn::Mat mat = create_mat(axes, element_bytes, int(layout.batch));
    std::vector<unsigned char> packed(layout.outer * layout.inner_bytes);
    for (size_t number = 0; number < layout.batch; number++) {
        for (size_t row = 0; row < layout.outer; row++)
            std::memcpy(&packed[row * layout.inner_bytes],
                        &array.bytes[(row * layout.batch + number) * layout.inner_bytes], layout.inner_bytes);
        ncnn::Mat sample = mat.batch(int(number));
        const size_t piece = channel_bytes(sample);
        for (int channel = 0; channel < channel_count(sample); channel++)
            std::memcpy(channel_start(sample, channel), &packed[size_t(channel) * piece], piece);
    }
    return mat;
}

static const std::map<size_t, const char *> DTYPES = {{4, "float32"}, {2, "float16"}, {1, "int8"}};

static std::vector<int64_t> axes_of(const ncnn::Mat &mat) {
    switch (mat.dims) {
    case 1: return {mat.w};
    case 2: return {mat.h, mat.w};
    case 3: return {mat.c, mat.h, mat.w};
    case 4: return {mat.c, mat.d, mat.h, mat.w};
    }
    throw RunnerError("ncnn gave an output of " + std::to_string(mat.dims) + " axes");
}

Array to_array(const ncnn::Mat &mat, int batch_axis) {
    const auto dtype = DTYPES.find(mat.elemsize);
    if (mat.elempack != 1 || dtype == DTYPES.end())
        throw RunnerError("ncnn gave an output of " + std::to_string(mat.elemsize) + " bytes an element");
    Array array{dtype->second, axes_of(mat), {}};
    if (batch_axis != NO_BATCH) {
        if (batch_axis < 0 || batch_axis > int(array.shape.size()))
            throw RunnerError("an output has no axis " + std::to_string(batch_axis) + " to stack the batch at");
        array.shape.insert(array.shape.begin() + batch_axis, mat.n);
    }
    const BatchLayout layout = find_batch(array.shape, batch_axis, mat.elemsize);
    array.bytes.resize(count_elements(array.shape) * mat.elemsize);
    std::vector<unsigned char> packed(layout.outer * layout.inner_bytes);
    for (size_t number = 0; number < layout.batch; number++) {
        ncnn::Mat sample = const_cast<ncnn::Mat &>(mat).batch(int(number));
        const size_t piece = channel_bytes(sample);
        for (int channel = 0; channel < channel_count(sample); channel++)
            std::memcpy(&packed[size_t(channel) * piece], channel_start(sample, channel), piece);
        for (size_t row = 0; row < layout.outer; row++)
            std::memcpy(&array.bytes[(row * layout.batch + number) * layout.inner_bytes],
                        &packed[row * layout.inner_bytes], layout.inner_bytes);
    }
    return array;
}

} // namespace msnoah
