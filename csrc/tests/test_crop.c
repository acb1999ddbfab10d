/*
 * Windows of images against their definition: within the image, over its edges, beside it; every instruction set, one
 * and two threads, over buffers of exact size.
 */
#include "buffers.h"
#include "nncore_step.h"

enum { N = 23, H = 5, W = 4, ROWS = 6, COLUMNS = 3 };

static void check_dtype(nn_dtype dtype, void *context) {
    const int64_t channels = *(const int64_t *)context, count = N * H * W * channels;
    double *values = noises(count);
    void *x = array_of(dtype, count, values);
    int64_t *places = block(N * 2 * (int64_t)sizeof *places);
    for (int i = 0; i < N * 2; i++) places[i] = (int64_t)noise_below(17) - 8;
    for (int threads = 1; threads <= 2; threads++) {
        use_threads(threads);
        void *y = array(dtype, N * ROWS * COLUMNS * channels);
        nn_crop(y, x, places, dtype, N, H, W, channels, ROWS, COLUMNS);
        bool right = true;
        for (int64_t at = 0; at < N * ROWS * COLUMNS * channels; at++) {
            const int64_t c = at % channels, pixel = at / channels, i = pixel / (ROWS * COLUMNS);
            const int64_t h = places[2 * i] + pixel / COLUMNS % ROWS, w = places[2 * i + 1] + pixel % COLUMNS;
            const bool inside = h >= 0 && h < H && w >= 0 && w < W;
            right &= get(y, dtype, at) == (inside ? values[((i * H + h) * W + w) * channels + c] : 0);
        }
        CHECK(right);
        free(y);
    }
    use_threads(1);
    free(values);
    free(x);
    free(places);
}

int main(void) {
    for (int64_t channels = 1; channels <= 3; channels++) for_each_kernel_set(check_dtype, &channels);
    return check_report();
}
