/*
 * Conv2d against plain sums of products: stride, padding, dilation, groups, depthwise, one and three input channels,
 * 1x1, images that are not square; both dtypes, every instruction set, one and two threads.
 */
#include "products.h"

/* y (n, oh, ow, out) and x (n, h, w, in) channels-last, weight (out, in / groups, kh, kw) */
static void list_products(products *p) {
    const nn_op *op = &p->op;
    const nn_window *w = &op->window;
    const int64_t in = op->x[1] / op->groups, out = op->channels / op->groups, taps = w->kernel[0] * w->kernel[1];
    for (int64_t o = 0; o < op->y_count; o++) {
        const int64_t channel = o % op->channels, pixel = o / op->channels;
        const int64_t image = pixel / (op->y[2] * op->y[3]);
        const int64_t top = pixel / op->y[3] % op->y[2] * w->stride[0] - w->padding[0];
        const int64_t left = pixel % op->y[3] * w->stride[1] - w->padding[1];
        for (int64_t tap = 0; tap < taps; tap++) {
            const int64_t row = top + tap / w->kernel[1] * w->dilation[0];
            const int64_t column = left + tap % w->kernel[1] * w->dilation[1];
            if (row < 0 || row >= op->x[2] || column < 0 || column >= op->x[3]) continue;
            const int64_t x = ((image * op->x[2] + row) * op->x[3] + column) * op->x[1] + channel / out * in;
            for (int64_t c = 0; c < in; c++) product(p, o, x + c, (channel * in + c) * taps + tap);
        }
    }
}

static void check_dtype(nn_dtype dtype, void *context) {
    const products *p = context;
    if (products_check(p, dtype)) return;
    const nn_op *op = &p->op;
    const nn_window *w = &op->window;
    fprintf(stderr, "    %s, dtype %d, x (%d, %d, %d, %d), out %d, groups %d, kernel %dx%d, stride %dx%d, "
            "padding %dx%d, dilation %dx%d\n", nn_isa_name(nn_isa_active()), dtype, (int)op->x[0], (int)op->x[1],
            (int)op->x[2], (int)op->x[3], (int)op->channels, (int)op->groups, (int)w->kernel[0], (int)w->kernel[1],
            (int)w->stride[0], (int)w->stride[1], (int)w->padding[0], (int)w->padding[1], (int)w->dilation[0],
            (int)w->dilation[1]);
}

/* Sizes of x are n, in, h, w. */
static nn_op convolution(const int64_t x[4], int64_t out, int64_t groups, nn_window window, bool bias) {
    return (nn_op){.kind = NN_OP_CONV2D, .dtype = NN_FLOAT32, .x = {x[0], x[1], x[2], x[3]}, .channels = out,
                   .groups = groups, .window = window, .bias = bias};
}

/* False where the window does not fit the image: not checked. */
static bool check_shape(const int64_t x[4], int64_t out, int64_t groups, nn_window window, bool bias) {
    nn_op op = convolution(x, out, groups, window, bias);
    if (nn_op_plan(&op, NULL) != NN_OK) return false;
    products p = products_make(op, out * (x[1] / groups) * window.kernel[0] * window.kernel[1], list_products);
    for_each_kernel_set(check_dtype, &p);
    products_free(&p);
    return true;
}

/* kernel, stride, padding, dilation; (height, width) each */
static const nn_window windows[] = {
    {{1, 1}, {1, 1}, {0, 0}, {1, 1}, false}, {{3, 3}, {1, 1}, {1, 1}, {1, 1}, false},
    {{5, 5}, {1, 1}, {0, 0}, {1, 1}, false}, {{5, 5}, {1, 1}, {2, 2}, {1, 1}, false},
    {{3, 3}, {2, 2}, {1, 1}, {1, 1}, false}, {{1, 1}, {2, 3}, {0, 0}, {1, 1}, false},
    {{2, 3}, {3, 2}, {1, 0}, {1, 1}, false}, {{3, 2}, {1, 2}, {0, 2}, {2, 3}, false},
    {{2, 2}, {4, 3}, {1, 1}, {3, 2}, false}, {{3, 3}, {2, 2}, {4, 5}, {2, 2}, false},
    {{1, 7}, {1, 1}, {0, 3}, {1, 1}, false}, {{4, 1}, {1, 1}, {3, 0}, {1, 2}, false},
    {{2, 4}, {1, 1}, {0, 1}, {1, 1}, false, {1, 1}}, {{4, 2}, {1, 1}, {4, 1}, {3, 3}, false, {1, 1}},
};
enum { WINDOWS = sizeof windows / sizeof windows[0] };

static void check_windows(void) {
    /* in, out, groups: few channels, whole vectors and not, first layers, groups, depthwise. */
    static const int64_t channels[][3] = {{1, 1, 1},  {1, 6, 1},   {1, 13, 1},  {3, 8, 1},    {2, 3, 1},   {6, 16, 1},
                                          {9, 5, 1},  {17, 33, 1}, {4, 6, 2},   {6, 9, 3},    {4, 4, 4},   {7, 7, 7},
                                          {9, 9, 9},  {35, 35, 35}, {4, 8, 4},  {16, 8, 8}};
    static const int64_t sizes[][2] = {{1, 1}, {4, 7}, {8, 3}, {6, 11}, {9, 9}};
    enum { CHANNELS = sizeof channels / sizeof channels[0], SIZES = sizeof sizes / sizeof sizes[0] };
    int checked = 0;
    for (int w = 0; w < WINDOWS; w++)
        for (int c = 0; c < CHANNELS; c++) {
            const int64_t *size = sizes[(w + 2 * c) % SIZES];
            const int64_t x[4] = {1 + (w + c) % 3, channels[c][0], size[0], size[1]};
            checked += check_shape(x, channels[c][1], channels[c][2], windows[w], (w + c) % 4 != 0);
        }
    CHECK(checked > WINDOWS * CHANNELS * 2 / 3);
}

static void check_sizes(void) {
    const nn_window three = windows[1], five = windows[2], stride = windows[4];
    CHECK(check_shape((const int64_t[]){0, 3, 5, 6}, 4, 1, three, true));
    CHECK(check_shape((const int64_t[]){1, 33, 6, 9}, 35, 1, three, true));
    CHECK(check_shape((const int64_t[]){1, 3, 1, 70}, 5, 1, windows[10], true));
    CHECK(check_shape((const int64_t[]){11, 1, 9, 21}, 6, 1, five, true));   /* more images than a piece takes */
    CHECK(check_shape((const int64_t[]){19, 2, 5, 7}, 3, 1, stride, false)); /* more than keep sums of their own */
    CHECK(check_shape((const int64_t[]){2, 5, 120, 131}, 2, 1, windows[0], true)); /* an image in bands */
    CHECK(check_shape((const int64_t[]){2, 33, 50, 61}, 33, 33, windows[8], true));
    CHECK(check_shape((const int64_t[]){1, 1, 130, 101}, 3, 1, three, true));
    CHECK(check_shape((const int64_t[]){1, 2, 3, 430}, 2, 1, three, true)); /* rows longer than a chunk of dy */
    CHECK(check_shape((const int64_t[]){1, 3, 3, 430}, 3, 3, three, true));
    CHECK(check_shape((const int64_t[]){2, 2, 3, 530}, 1, 1, three, true)); /* rows longer than a chunk of pairs */
    CHECK(check_shape((const int64_t[]){9, 3, 8, 10}, 1, 1, three, true));
    CHECK(check_shape((const int64_t[]){9, 2, 7, 6}, 17, 1, five, true));
    CHECK(check_shape((const int64_t[]){9, 1, 12, 15}, 3, 1, windows[11], true));
    CHECK(check_shape((const int64_t[]){9, 2, 12, 15}, 3, 1, windows[12], true)); /* an even number of taps */
    /* Pairs of elements, for y and dx: images beyond a vector's, columns beyond a panel's, a row longer than a chunk. */
    CHECK(check_shape((const int64_t[]){16, 5, 7, 10}, 11, 1, five, true));
    CHECK(check_shape((const int64_t[]){29, 4, 6, 9}, 16, 1, three, true));
    CHECK(check_shape((const int64_t[]){15, 14, 6, 8}, 9, 1, five, false));
    CHECK(check_shape((const int64_t[]){3, 4, 5, 150}, 16, 1, five, true));
    CHECK(check_shape((const int64_t[]){16, 2, 6, 12}, 5, 1, windows[12], true));
}

static void check_refused(const int64_t x[4], int64_t out, int64_t groups, nn_window window, nn_status expected,
                          const char *arg, int64_t got) {
    nn_op op = convolution(x, out, groups, window, true);
    nn_error error = {0};
    CHECK_EQUAL(nn_op_plan(&op, &error), expected);
    CHECK(error.arg && strcmp(error.arg, arg) == 0);
    CHECK_EQUAL(error.got, got);
}

static void check_plans(void) {
    const int64_t x[4] = {2, 6, 5, 7}, none[4] = {2, 0, 5, 7}, flat[4] = {2, 6, 0, 7}, thin[4] = {2, 6, 5, 0};
    const int64_t much[4] = {INT64_C(1) << 40, 1 << 10, 1 << 10, 1 << 10};
    const nn_window one = windows[0];
    check_refused(none, 4, 1, one, NN_VALUE_ERROR, "in_channels", 0);
    check_refused(x, 0, 1, one, NN_VALUE_ERROR, "out_channels", 0);
    check_refused(x, 4, 0, one, NN_VALUE_ERROR, "groups", 0);
    check_refused(x, 4, 4, one, NN_VALUE_ERROR, "in_channels", 6);
    check_refused(x, 4, 3, one, NN_VALUE_ERROR, "out_channels", 4);
    check_refused(flat, 4, 1, one, NN_VALUE_ERROR, "height", 0);
    check_refused(thin, 4, 1, one, NN_VALUE_ERROR, "width", 0);
    check_refused(x, 4, 1, (nn_window){{6, 1}, {1, 1}, {0, 0}, {1, 1}, false}, NN_VALUE_ERROR, "kernel_size", 6);
    check_refused(x, 4, 1, (nn_window){{1, 3}, {1, 1}, {0, 1}, {1, 5}, false}, NN_VALUE_ERROR, "kernel_size", 11);
    check_refused(x, 4, 1, (nn_window){{1, 1}, {0, 1}, {0, 0}, {1, 1}, false}, NN_VALUE_ERROR, "stride", 0);
    check_refused(much, 4, 1, one, NN_MEMORY_ERROR, "x", much[0]);
    for (int w = 0; w < WINDOWS; w++) {
        products_check_smaller_batches(convolution((const int64_t[]){40, 6, 12, 13}, 8, 2, windows[w], true));
        products_check_smaller_batches(convolution((const int64_t[]){40, 6, 12, 13}, 6, 6, windows[w], true));
        products_check_smaller_batches(convolution((const int64_t[]){40, 2, 12, 13}, 6, 1, windows[w], true));
        products_check_smaller_batches(convolution((const int64_t[]){40, 6, 12, 13}, 16, 1, windows[w], true));
    }
    /* In pairs a smaller batch may be cut into more pieces: y, then dx. */
    products_check_smaller_batches(convolution((const int64_t[]){28, 16, 9, 33}, 32, 1, windows[2], true));
    products_check_smaller_batches(convolution((const int64_t[]){163, 6, 34, 7}, 32, 1, windows[2], true));
}

int main(void) {
    check_start();
    check_plans();
    check_windows();
    check_sizes();
    CHECK(nn_threads_pieces_by_workers() > 0);
    return check_report();
}
