/*
 * Average pooling against its definition, over windows, channels, kinds of values, ISAs and dtypes. Every buffer is
 * a heap block of exact size: a sanitizer sees one element too many. Also: arguments that no geometry has.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "nncore.h"
#include "ops/op.h"

/* ---- values ------------------------------------------------------------------------------------------ */

static uint32_t state = 12345;
static uint32_t draw(uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

/* Whole numbers, whose sums are exact in any order; and some that are no numbers. */
static double value(bool wild) {
    static const double strange[] = {NAN, INFINITY, -INFINITY, 0.0, 1.0};
    return wild && draw(8) == 0 ? strange[draw(5)] : (double)draw(2001) - 1000;
}

static double get(const void *a, nn_dtype dtype, int64_t i) {
    return dtype == NN_FLOAT32 ? ((const float *)a)[i] : ((const double *)a)[i];
}

static void set(void *a, nn_dtype dtype, int64_t i, double to) {
    if (dtype == NN_FLOAT32) ((float *)a)[i] = (float)to;
    else ((double *)a)[i] = to;
}

static double rounded(nn_dtype dtype, double x) { return dtype == NN_FLOAT32 ? (double)(float)x : x; }

/* ---- the definition ---------------------------------------------------------------------------------- */

/* Element of x under a tap of the window at (i, j), or -1 in the padding; *counts: it counts in the divisor. */
static int64_t element(const nn_op *op, int64_t n, int64_t c, const int64_t at[2], const int64_t tap[2], bool *counts) {
    int64_t where[2];
    bool inside = true;
    *counts = true;
    for (int axis = 0; axis < 2; axis++) {
        const int64_t size = op->x[2 + axis], padding = op->window.padding[axis];
        if (op->window.adaptive) { /* from floor(i in / out) to ceil((i + 1) in / out) */
            const int64_t count = op->y[2 + axis];
            where[axis] = at[axis] * size / count + tap[axis];
            if (where[axis] * count >= (at[axis] + 1) * size) inside = false;
            continue;
        }
        where[axis] = at[axis] * op->window.stride[axis] - padding + tap[axis];
        if (where[axis] < 0 || where[axis] >= size) inside = false;
        if (where[axis] < -padding || where[axis] >= size + padding) *counts = false;
    }
    if (!op->count_include_pad || op->window.adaptive) *counts = inside;
    return inside ? ((n * op->x[2] + where[0]) * op->x[3] + where[1]) * op->x[1] + c : -1;
}

static bool near(double a, double b, double scale, nn_dtype dtype) {
    if (isnan(b)) return isnan(a);
    if (isinf(b)) return a == b;
    return fabs(a - b) <= scale * (dtype == NN_FLOAT32 ? 0x1p-23 : 0x1p-52);
}

/* Compares y with the definition, and leaves in dx (doubles) what backward must give. */
static bool forward_agrees(const nn_op *op, const void *x, const void *y, const void *dy, double *dx) {
    bool agrees = true;
    int64_t o = 0, tap[2];
    const nn_window w = nn_pool_window(op);
    for (int64_t n = 0; n < op->y[0]; n++)
        for (int64_t i = 0; i < op->y[2]; i++)
            for (int64_t j = 0; j < op->y[3]; j++)
                for (int64_t c = 0; c < op->y[1]; c++, o++) {
                    const int64_t at[2] = {i, j};
                    double sum = 0;
                    int64_t count = 0;
                    bool counts;
                    for (int pass = 0; pass < 2; pass++) /* the sum and its divisor, then the gradient */
                        for (tap[0] = 0; tap[0] < w.kernel[0]; tap[0]++)
                            for (tap[1] = 0; tap[1] < w.kernel[1]; tap[1]++) {
                                const int64_t e = element(op, n, c, at, tap, &counts);
                                if (pass == 0) {
                                    count += counts;
                                    if (e >= 0) sum += get(x, op->dtype, e);
                                } else if (e >= 0) {
                                    dx[e] += get(dy, op->dtype, o) / (double)(op->divisor ? op->divisor : count);
                                }
                            }
                    const double mean = sum / (double)(op->divisor ? op->divisor : count);
                    agrees = agrees && near(get(y, op->dtype, o), rounded(op->dtype, mean), fabs(mean), op->dtype);
                }
    return agrees;
}

static void describe(const nn_op *op, bool wild) {
    const nn_window *w = &op->window;
    fprintf(stderr, "    %s, dtype %d, x (%d, %d, %d, %d), kernel %dx%d, stride %dx%d, padding %dx%d, ceil %d, "
            "include_pad %d, divisor %d, adaptive %d, wild %d\n", nn_isa_name(nn_isa_active()), op->dtype, (int)op->x[0],
            (int)op->x[1], (int)op->x[2], (int)op->x[3], (int)w->kernel[0], (int)w->kernel[1], (int)w->stride[0],
            (int)w->stride[1], (int)w->padding[0], (int)w->padding[1], w->ceil_mode, op->count_include_pad,
            (int)op->divisor, w->adaptive, wild);
}

static void check_pool(nn_op op, bool wild) {
    if (nn_op_plan(&op, NULL) != NN_OK) return; /* the geometry is max pooling's, and has its test there */
    const int64_t bytes = nn_dtype_bytes(op.dtype);
    void *x = malloc((size_t)(op.x_count * bytes)), *dx = malloc((size_t)(op.x_count * bytes));
    void *y = malloc((size_t)(op.y_count * bytes)), *dy = malloc((size_t)(op.y_count * bytes));
    double *expected = calloc((size_t)op.x_count + 1, sizeof *expected);
    for (int64_t i = 0; i < op.x_count; i++) set(x, op.dtype, i, value(wild));
    for (int64_t i = 0; i < op.y_count; i++) set(dy, op.dtype, i, (double)draw(1000) + 1);
    memset(y, 0xEE, (size_t)(op.y_count * bytes));
    memset(dx, 0xFF, (size_t)(op.x_count * bytes)); /* NaN: all of it is written */

    CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = y, .x = x}, NULL), NN_OK);
    bool good = CHECK(forward_agrees(&op, x, y, dy, expected));
    void *work = malloc((size_t)op.backward_bytes);
    CHECK_EQUAL(nn_op_backward(&op, &(nn_io){.dx = dx, .dy = dy, .work = work}, NULL), NN_OK);
    free(work);
    bool shared = true;
    /* All terms are positive: rounding adds up to one unit for each window and one for each division. */
    const nn_window w = nn_pool_window(&op);
    const double terms = 2 + (double)(w.kernel[0] + op.y[2] / op.x[2]) * (double)(w.kernel[1] + op.y[3] / op.x[3]);
    for (int64_t i = 0; i < op.x_count; i++)
        shared = shared && near(get(dx, op.dtype, i), expected[i], terms * expected[i], op.dtype);
    good = CHECK(shared) && good;
    if (!good) describe(&op, wild);
    free(x), free(dx), free(y), free(dy), free(expected);
}

/* ---- which windows, which sizes ---------------------------------------------------------------------- */

static nn_op pool(nn_dtype dtype, int64_t n, int64_t c, int64_t h, int64_t w, nn_window window, int form) {
    return (nn_op){.kind = NN_OP_AVGPOOL2D, .dtype = dtype, .x = {n, c, h, w}, .groups = 1, .window = window,
                   .count_include_pad = form == 0, .divisor = form == 2 ? 7 : 0};
}

static void check_windows(nn_dtype dtype) {
    static const nn_window windows[] = {
        {{2, 2}, {2, 2}, {0, 0}, {1, 1}, false}, {{2, 2}, {2, 2}, {1, 1}, {1, 1}, true},
        {{3, 3}, {2, 2}, {1, 1}, {1, 1}, false}, {{3, 3}, {2, 2}, {0, 0}, {1, 1}, true},
        {{3, 3}, {2, 2}, {1, 0}, {1, 1}, true},  {{3, 3}, {1, 1}, {1, 1}, {1, 1}, false},
        {{2, 2}, {1, 1}, {0, 0}, {1, 1}, false}, {{1, 1}, {1, 1}, {0, 0}, {1, 1}, false},
        {{2, 3}, {3, 4}, {1, 1}, {1, 1}, true},  {{3, 2}, {1, 3}, {1, 0}, {1, 1}, false},
        {{5, 5}, {1, 1}, {2, 2}, {1, 1}, false}, {{5, 4}, {2, 3}, {2, 1}, {1, 1}, false},
        {{1, 3}, {2, 1}, {0, 1}, {1, 1}, false}, {{1, 1}, {3, 2}, {0, 0}, {1, 1}, true},
    };
    static const int64_t channels[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 64, 67};
    static const int64_t sizes[][2] = {{1, 1}, {2, 2}, {3, 5}, {5, 3}, {6, 6}, {7, 8}};
    for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++)
        for (size_t c = 0; c < sizeof channels / sizeof channels[0]; c++)
            for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
                check_pool(pool(dtype, 2, channels[c], sizes[s][0], sizes[s][1], windows[w], (int)(w + c + s) % 3),
                           (w + c + s) % 4 == 0);
    for (int form = 0; form < 3; form++) {
        /* Rows enough for several pieces. */
        check_pool(pool(dtype, 3, 33, 21, 40, windows[0], form), form == 1);
        check_pool(pool(dtype, 3, 33, 21, 40, windows[2], form), form == 1);
        check_pool(pool(dtype, 2, 9, 31, 50, windows[10], form), form == 1);
        /* The window is the whole image. */
        for (int64_t c = 1; c < 70; c += 4)
            check_pool(pool(dtype, 2, c, 7, 5, (nn_window){{7, 5}, {7, 5}, {0, 0}, {1, 1}, false}, form), form == 1);
    }
    check_pool(pool(dtype, 0, 3, 4, 4, windows[0], 0), false);
    static const int64_t shared[][2] = {{1, 1}, {2, 2}, {3, 5}, {4, 3}, {7, 7}, {9, 2}};
    for (size_t o = 0; o < sizeof shared / sizeof shared[0]; o++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
            for (size_t c = 0; c < sizeof channels / sizeof channels[0]; c += 2) {
                const nn_window window = {.kernel = {shared[o][0], shared[o][1]}, .adaptive = true};
                check_pool(pool(dtype, 2, channels[c], sizes[s][0], sizes[s][1], window, (int)(o + s) % 2),
                           (o + s + c) % 4 == 0);
            }
    check_pool(pool(dtype, 3, 33, 40, 31, (nn_window){.kernel = {7, 9}, .adaptive = true}, 0), true);
}

/* ---- arguments --------------------------------------------------------------------------------------- */

static void check_arguments(void) {
    const nn_window two = {{2, 2}, {2, 2}, {0, 0}, {0, -3}, false}; /* dilation is not looked at */
    nn_op op = pool(NN_FLOAT32, 1, 1, 4, 4, two, 0);
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    CHECK_EQUAL(op.y[2], 2);
    op.divisor = -1;
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_VALUE_ERROR);
    op = pool(NN_FLOAT32, 1, 0, 4, 4, two, 0);
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_VALUE_ERROR);
    op = pool(NN_FLOAT32, INT64_C(1) << 40, 1 << 20, 1 << 20, 1 << 20, two, 0);
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_MEMORY_ERROR);
    static const int64_t huge[] = {INT64_C(1) << 31, INT64_C(1) << 62, INT64_MAX, INT64_MIN, -1};
    for (int which = 0; which < 5; which++)
        for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
            nn_window w = {{3, 3}, {2, 2}, {1, 1}, {1, 1}, true};
            int64_t shape[4] = {1, 1, 9, 9};
            int64_t *const changed[] = {w.kernel, w.stride, w.padding, &shape[2], &shape[3]};
            changed[which][0] = huge[i];
            op = pool(NN_FLOAT32, 1, 1, shape[2], shape[3], w, 0);
            nn_error error = {0};
            CHECK_EQUAL(nn_op_plan(&op, &error), NN_VALUE_ERROR);
            CHECK(error.arg && error.got == huge[i]);
        }
}

int main(void) {
    check_start();
    check_arguments();
    for (int isa = 0; isa < NN_ISAS; isa++) {
        if (!nn_isa_available((nn_isa)isa)) continue;
        nn_isa_select(nn_isa_name((nn_isa)isa), NULL);
        for (int dtype = 0; dtype < NN_DTYPES; dtype++) check_windows((nn_dtype)dtype);
    }
    return check_report();
}
