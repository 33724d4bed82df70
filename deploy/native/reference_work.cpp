#include "reference_work.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "clocks.h"

namespace msnoah {

static constexpr int SIZE = 128, PARTS = 5; // 64 KiB a matrix, which fits the second cache

static std::vector<float> make_matrix(unsigned seed) {
    std::vector<float> matrix(SIZE * SIZE);
    for (float &value : matrix) {
        seed = seed * 1664525u + 1013904223u; // Knuth's and Lewis's linear congruence
        value = float(seed >> 8) / float(1 << 24) - 0.5f;
    }
    return matrix;
}

// The largest number of the product; rows of `right` are added up, which compilers make vector instructions of.
static float multiply(const std::vector<float> &left, const std::vector<float> &right) {
    float largest = 0;
    for (int row = 0; row < SIZE; row++) {
        std::array<float, SIZE> sums{};
        for (int index = 0; index < SIZE; index++)
            for (int column = 0; column < SIZE; column++)
                sums[size_t(column)] += left[size_t(row * SIZE + index)] * right[size_t(index * SIZE + column)];
        largest = std::max(largest, *std::max_element(sums.begin(), sums.end()));
    }
    return largest;
}

double time_reference() {
    static const std::vector<float> left = make_matrix(1), right = make_matrix(2);
    std::array<double, PARTS> times;
    for (double &time : times) {
        const double start = thread_cpu_ms();
        volatile float used = multiply(left, right); // else the compiler would leave the work out
        (void)used;
        time = thread_cpu_ms() - start;
    }
    std::sort(times.begin(), times.end());
    return times[PARTS / 2] * PARTS;
}

} // namespace msnoah
