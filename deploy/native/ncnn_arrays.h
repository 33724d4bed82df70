// Between arrays in C order and ncnn's Mat, whose batch is apart from its axes and whose channels are padded.
#pragma once

#include <mat.h>

#include "session.h"

namespace msnoah {

constexpr int NO_BATCH = -1;

// RunnerError where an input cannot be a Mat: more than four axes beside the batch, or no such batch axis.
void check_axes(const TensorSpec &spec, int batch_axis);

// A copy of an array whose axes `check_axes` has passed.
ncnn::Mat to_mat(const Array &array, int batch_axis);

// A copy of a Mat with the batch stacked at an axis.
Array to_array(const ncnn::Mat &mat, int batch_axis);

} // namespace msnoah
