/*
 * ConvTranspose2d against plain sums of products: stride, padding, output_padding, dilation, groups, depthwise,
 * images that are not square; both dtypes, every instruction set, one and two threads.
 */
#include "products.h"

/* y (n, oh, ow, out) and x (n, h, w, in) channels-last, weight (in, out / groups, kh, kw) */
static void list_products(products *p) {
    const nn_op *op = &p->op;
    const nn_window *w = &op->window;
    const int64_t in = op->x[1] / op->groups, out = op->channels / op->groups, taps = w->kernel[0] * w->kernel[1];
    for (int64_t i = 0; i < op->x_count; i++) {
        const int64_t channel = i % op->x[1], pixel = i / op->x[1];
        const int64_t image = pixel / (op->x[2] * op->x[3]);
        const int64_t top = pixel / op->x[3] % op->x[2] * w->stride[0] - w->padding[0];
        const int64_t left = pixel % op->x[3] * w->stride[1] - w->padding[1];
        for (int64_t tap = 0; tap < taps; tap++) {
            const int64_t row = top + tap / w->kernel[1] * w->dilation[0];
            const int64_t column = left + tap % w->kernel[1] * w->dilation[1];
            if (row < 0 || row >= op->y[2] || column < 0 || column >= op->y[3]) continue;
            const int64_t y = ((image * op->y[2] + row) * op->y[3] + column) * op->channels + channel / in * out;
            for (int64_t o = 0; o < out; o++) product(p, y + o, i, (channel * out + o) * taps + tap);
        }
    }
}

static void check_dtype(nn_dtype dtype, void *context) {
    const products *p = context;
    if (products_check(p, dtype)) return;
    const nn_op *op = &p->op;
    const nn_window *w = &op->window;
    fprintf(stderr, "    %s, dtype %d, x (%d, %d, %d, %d), out %d, groups %d, kernel %dx%d, stride %dx%d, padding %dx%d, "
            "dilation %dx%d, output_padding %dx%d\n", nn_isa_name(nn_isa_active()), dtype, (int)op->x[0], (int)op->x[1],
            (int)op->x[2], (int)op->x[3], (int)op->channels, (int)op->groups, (int)w->kernel[0], (int)w->kernel[1],
            (int)w->stride[0], (int)w->stride[1], (int)w->padding[0], (int)w->padding[1], (int)w->dilation[0],
            (int)w->dilation[1], (int)w->extra[0], (int)w->extra[1]);
}

/* Sizes of x are n, in, h, w. */
static nn_op transposed(const int64_t x[4], int64_t out, int64_t groups, nn_window window, bool bias) {
    return (nn_op){.kind = NN_OP_CONV_TRANSPOSE2D, .dtype = NN_FLOAT32, .x = {x[0], x[1], x[2], x[3]}, .channels = out,
                   .groups = groups, .window = window, .bias = bias, .direct = true};
}

/* False where nothing would be left of y: not checked. */
static bool check_shape(const int64_t x[4], int64_t out, int64_t groups, nn_window window, bool bias) {
    nn_op op = transposed(x, out, groups, window, bias);
    if (nn_op_plan(&op, NULL) != NN_OK) return false;
    CHECK_EQUAL(op.weight_count, x[1] * (out / groups) * window.kernel[0] * window.kernel[1]);
    products p = products_make(op, op.weight_count, list_products);
    for_each_kernel_set(check_dtype, &p);
    products_free(&p);
    return true;
}

/* kernel, stride, padding, dilation, ceil_mode, output_padding; (height, width) each */
static const nn_window windows[] = {
    {{1, 1}, {1, 1}, {0, 0}, {1, 1}, .extra = {0, 0}}, {{3, 3}, {1, 1}, {1, 1}, {1, 1}, .extra = {0, 0}},
    {{2, 2}, {2, 2}, {0, 0}, {1, 1}, .extra = {0, 0}}, {{4, 4}, {2, 2}, {1, 1}, {1, 1}, .extra = {0, 0}},
    {{3, 3}, {2, 2}, {1, 1}, {1, 1}, .extra = {1, 1}}, {{1, 1}, {2, 3}, {0, 0}, {1, 1}, .extra = {1, 2}},
    {{2, 3}, {3, 2}, {1, 0}, {1, 1}, .extra = {2, 0}}, {{3, 2}, {1, 2}, {0, 1}, {2, 3}, .extra = {1, 2}},
    {{3, 3}, {2, 2}, {3, 4}, {2, 2}, .extra = {0, 1}}, {{2, 2}, {4, 3}, {1, 1}, {3, 2}, .extra = {3, 0}},
};
enum { WINDOWS = sizeof windows / sizeof windows[0] };

static void check_windows(void) {
    /* in, out, groups: few channels, whole vectors and not, last layers, groups, depthwise. */
    static const int64_t channels[][3] = {{1, 1, 1}, {6, 1, 1}, {8, 3, 1}, {3, 13, 1}, {17, 33, 1},
                                          {4, 6, 2}, {9, 6, 3}, {7, 7, 7}, {4, 8, 4}, {16, 8, 8}};
    static const int64_t sizes[][2] = {{1, 1}, {4, 7}, {8, 3}, {6, 5}};
    enum { CHANNELS = sizeof channels / sizeof channels[0], SIZES = sizeof sizes / sizeof sizes[0] };
    int checked = 0;
    for (int w = 0; w < WINDOWS; w++)
        for (int c = 0; c < CHANNELS; c++) {
            const int64_t *size = sizes[(w + 2 * c) % SIZES];
            const int64_t x[4] = {1 + (w + c) % 3, channels[c][0], size[0], size[1]};
            checked += check_shape(x, channels[c][1], channels[c][2], windows[w], (w + c) % 4 != 0);
        }
    CHECK(checked > WINDOWS * CHANNELS * 2 / 3);
    CHECK(check_shape((const int64_t[]){0, 3, 5, 6}, 4, 1, windows[3], true));
    CHECK(check_shape((const int64_t[]){11, 2, 9, 21}, 3, 1, windows[3], true)); /* more images than a piece takes */
}

static void check_refused(const int64_t x[4], int64_t out, int64_t groups, nn_window window, nn_status expected,
                          const char *arg, int64_t got) {
    nn_op op = transposed(x, out, groups, window, true);
    nn_error error = {0};
    CHECK_EQUAL(nn_op_plan(&op, &error), expected);
    CHECK(error.arg && strcmp(error.arg, arg) == 0);
    CHECK_EQUAL(error.got, got);
}

static void check_plans(void) {
    const int64_t x[4] = {2, 6, 5, 7}, none[4] = {2, 0, 5, 7}, flat[4] = {2, 6, 0, 7};
    const int64_t much[4] = {INT64_C(1) << 40, 1 << 10, 1 << 10, 1 << 10};
    const nn_window one = windows[0];
    check_refused(none, 4, 1, one, NN_VALUE_ERROR, "in_channels", 0);
    check_refused(x, 0, 1, one, NN_VALUE_ERROR, "out_channels", 0);
    check_refused(x, 4, 4, one, NN_VALUE_ERROR, "in_channels", 6);
    check_refused(x, 4, 3, one, NN_VALUE_ERROR, "out_channels", 4);
    check_refused(flat, 4, 1, one, NN_VALUE_ERROR, "height", 0);
    check_refused(x, 4, 1, (nn_window){{1, 1}, {0, 1}, {0, 0}, {1, 1}}, NN_VALUE_ERROR, "stride", 0);
    check_refused(x, 4, 1, (nn_window){{1, 1}, {1, 1}, {0, 4}, {1, 1}}, NN_VALUE_ERROR, "padding", 4);
    check_refused(x, 4, 1, (nn_window){{1, 1}, {1, 2}, {0, 0}, {1, 1}, .extra = {0, 2}}, NN_VALUE_ERROR,
                  "output_padding", 2);
    check_refused(x, 4, 1, (nn_window){{1, 1}, {1, 2}, {0, 0}, {1, 1}, .extra = {-1, 0}}, NN_VALUE_ERROR,
                  "output_padding", -1);
    check_refused(x, 4, 1, (nn_window){{1, INT64_C(1) << 62}, {1, 2}, {0, 0}, {1, 1}}, NN_VALUE_ERROR, "kernel_size",
                  INT64_C(1) << 62);
    nn_op op = transposed(much, 4, 1, one, true);
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_MEMORY_ERROR);
    for (int w = 0; w < WINDOWS; w++)
        products_check_smaller_batches(transposed((const int64_t[]){40, 6, 12, 13}, 8, 2, windows[w], true));
}

int main(void) {
    check_start();
    check_plans();
    check_windows();
    CHECK(nn_threads_pieces_by_workers() > 0);
    return check_report();
}
