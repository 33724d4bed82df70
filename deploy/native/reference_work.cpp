#include "reference_work.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "clocks.h"

namespace msnoah {

static constexpr int COUNT = 64, ROWS = 16, SIZE = 64; // products, and the sizes of each: (ROWS, SIZE) x (SIZE, SIZE)
static constexpr int PARTS = 5;

static std::vector<float> make_numbers(size_t count, unsigned seed) {
    std::vector<float> numbers(count);
    for (float &value : numbers) {
        seed = seed * 1664525u + 1013904223u; // Knuth's and Lewis's linear congruence
        value = float(seed >> 8) / float(1 << 24) - 0.5f;
    }
    return numbers;
}

// Adds up the product of two matrices; rows of `right` are added, which compilers make vector instructions of.
static float multiply(const float *left, const float *right) {
    std::array<float, SIZE> sums{};
    for (int row = 0; row < ROWS; row++)
        for (int index = 0; index < SIZE; index++)
            for (int column = 0; column < SIZE; column++)
                sums[size_t(column)] += left[row * SIZE + index] * right[index * SIZE + column];
    return *std::max_element(sums.begin(), sums.end());
}

double time_reference() {
    static const std::vector<float> left = make_numbers(COUNT * ROWS * SIZE, 1);
    static const std::vector<float> right = make_numbers(COUNT * SIZE * SIZE, 2);
    std::array<double, PARTS> times;
    for (double &time : times) {
        const double start = thread_cpu_ms();
        float largest = 0;
        for (size_t number = 0; number < COUNT; number++)
            largest = std::max(largest, multiply(&left[number * ROWS * SIZE], &right[number * SIZE * SIZE]));
        volatile float used = largest; // else the compiler would leave the work out
        (void)used;
        time = thread_cpu_ms() - start;
    }
    std::sort(times.begin(), times.end());
    return times[PARTS / 2] * PARTS;
}

} // namespace msnoah
