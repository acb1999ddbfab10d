/*
 * Max pooling against its definition, over windows, channels, kinds of values, ISAs and dtypes. Every buffer is
 * a heap block of exact size: a sanitizer sees one element too many. Also: the geometry of windows, and an
 * index that is not forward's.
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

typedef enum values { DISTINCT, TIES, WILD, ALL_LOWEST, VALUES } values;

static double value(values kind, int64_t i) {
    switch (kind) {
    case DISTINCT: return (double)(i * 7919 % 10007) - 5000;
    case TIES: return (double)draw(3) - 1;
    case WILD: {
        static const double wild[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 1.0};
        return wild[draw(6)];
    }
    default: return -INFINITY;
    }
}

static double get(const void *a, nn_dtype dtype, int64_t i) {
    return dtype == NN_FLOAT32 ? ((const float *)a)[i] : ((const double *)a)[i];
}

static void set(void *a, nn_dtype dtype, int64_t i, double to) {
    if (dtype == NN_FLOAT32) ((float *)a)[i] = (float)to;
    else ((double *)a)[i] = to;
}

static int64_t index_at(const void *index, int64_t bytes, int64_t i) {
    if (bytes == 1) return ((const uint8_t *)index)[i];
    if (bytes == 2) return ((const uint16_t *)index)[i];
    return ((const int32_t *)index)[i];
}

/* ---- the definition ---------------------------------------------------------------------------------- */

/* Element of x under a tap, or -1 in the padding. */
static int64_t element(const nn_op *op, int64_t n, int64_t c, const int64_t at[2], int64_t tap) {
    const nn_window whole = nn_pool_window(op), *w = &whole;
    const int64_t taps[2] = {tap / w->kernel[1], tap % w->kernel[1]};
    int64_t where[2];
    for (int axis = 0; axis < 2; axis++) {
        if (op->window.adaptive) { /* from floor(i in / out) to ceil((i + 1) in / out) */
            const int64_t size = op->x[2 + axis], count = op->y[2 + axis];
            where[axis] = at[axis] * size / count + taps[axis];
            if (where[axis] * count >= (at[axis] + 1) * size) return -1;
            continue;
        }
        where[axis] = at[axis] * w->stride[axis] - w->padding[axis] + taps[axis] * w->dilation[axis];
        if (where[axis] < 0 || where[axis] >= op->x[2 + axis]) return -1;
    }
    return ((n * op->x[2] + where[0]) * op->x[3] + where[1]) * op->x[1] + c;
}

static bool same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

/* Compares y and index with the definition, and leaves in dx (doubles) what backward must give. */
static void check_forward(const nn_op *op, const void *x, const void *y, const void *index, const void *dy,
                          double *dx) {
    const nn_window w = nn_pool_window(op);
    const int64_t area = w.kernel[0] * w.kernel[1];
    const int64_t bytes = index && op->y_count ? op->saved_bytes / op->y_count : 1;
    int64_t o = 0;
    for (int64_t n = 0; n < op->y[0]; n++)
        for (int64_t i = 0; i < op->y[2]; i++)
            for (int64_t j = 0; j < op->y[3]; j++)
                for (int64_t c = 0; c < op->y[1]; c++, o++) {
                    const int64_t at[2] = {i, j};
                    int64_t winner = -1, from = -1;
                    for (int64_t t = 0; t < area; t++) {
                        const int64_t e = element(op, n, c, at, t);
                        if (e < 0) continue;
                        const double v = get(x, op->dtype, e);
                        const double best = from < 0 ? 0 : get(x, op->dtype, from);
                        if (from < 0 || (!isnan(best) && (v > best || isnan(v)))) from = e, winner = t;
                    }
                    CHECK(from >= 0 && same(get(y, op->dtype, o), get(x, op->dtype, from)));
                    if (!index) continue;
                    CHECK_EQUAL(index_at(index, bytes, o), winner);
                    dx[from] += get(dy, op->dtype, o);
                }
}

static void describe(const nn_op *op, values kind) {
    const nn_window *w = &op->window;
    fprintf(stderr, "    %s, dtype %d, x (%d, %d, %d, %d), kernel %dx%d, stride %dx%d, padding %dx%d, dilation %dx%d, "
            "ceil %d, adaptive %d, values %d\n", nn_isa_name(nn_isa_active()), op->dtype, (int)op->x[0], (int)op->x[1],
            (int)op->x[2], (int)op->x[3], (int)w->kernel[0], (int)w->kernel[1], (int)w->stride[0], (int)w->stride[1],
            (int)w->padding[0], (int)w->padding[1], (int)w->dilation[0], (int)w->dilation[1], w->ceil_mode,
            w->adaptive, kind);
}

/* Forward without and with an index, then backward; every byte that they should write is there. */
static void run_pool(const nn_op *op, const void *x, void *y, void *index, void *dx, const void *dy) {
    const size_t y_bytes = (size_t)(op->y_count * nn_dtype_bytes(op->dtype));
    void *plain = malloc(y_bytes + 1);
    CHECK_EQUAL(nn_op_forward(op, &(nn_io){.y = plain, .x = x}, NULL), NN_OK);
    CHECK_EQUAL(nn_op_forward(op, &(nn_io){.y = y, .x = x, .saved = index}, NULL), NN_OK);
    CHECK(memcmp(y, plain, y_bytes) == 0);
    CHECK_EQUAL(nn_op_backward(op, &(nn_io){.dx = dx, .dy = dy, .saved = index}, NULL), NN_OK);
    free(plain);
}

/* With ReLU in it, pooling gives the bits of ReLU and then pooling, and of pooling and then ReLU. */
static void check_relu(nn_op op, values kind, const void *x) {
    const size_t each = (size_t)nn_dtype_bytes(op.dtype), x_bytes = (size_t)op.x_count * each;
    const size_t y_bytes = (size_t)op.y_count * each;
    void *y = malloc(y_bytes), *dy = malloc(y_bytes), *index = malloc((size_t)op.saved_bytes), *dx = malloc(x_bytes);
    void *y_apart = malloc(y_bytes), *dy_apart = malloc(y_bytes), *x_apart = malloc(x_bytes), *dx_apart = malloc(x_bytes);
    for (int64_t i = 0; i < op.y_count; i++) set(dy, op.dtype, i, value(WILD, i));

    nn_op fused = op, relu = {.kind = NN_OP_RELU, .dtype = op.dtype};
    fused.relu = true;
    CHECK_EQUAL(nn_op_plan(&fused, NULL), NN_OK);
    run_pool(&fused, x, y, index, dx, dy);

    memcpy(relu.x, op.x, sizeof relu.x);
    CHECK_EQUAL(nn_op_plan(&relu, NULL), NN_OK);
    CHECK_EQUAL(nn_op_forward(&relu, &(nn_io){.y = x_apart, .x = x}, NULL), NN_OK);
    run_pool(&op, x_apart, y_apart, index, dx_apart, dy);
    CHECK_EQUAL(nn_op_backward(&relu, &(nn_io){.dx = dx_apart, .dy = dx_apart, .y = x_apart}, NULL), NN_OK);
    if (!CHECK(memcmp(y, y_apart, y_bytes) == 0 && memcmp(dx, dx_apart, x_bytes) == 0)) describe(&op, kind);

    memcpy(relu.x, op.y, sizeof relu.x);
    CHECK_EQUAL(nn_op_plan(&relu, NULL), NN_OK);
    CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = y_apart, .x = x, .saved = index}, NULL), NN_OK);
    CHECK_EQUAL(nn_op_forward(&relu, &(nn_io){.y = y_apart, .x = y_apart}, NULL), NN_OK);
    CHECK_EQUAL(nn_op_backward(&relu, &(nn_io){.dx = dy_apart, .dy = dy, .y = y_apart}, NULL), NN_OK);
    CHECK_EQUAL(nn_op_backward(&op, &(nn_io){.dx = dx_apart, .dy = dy_apart, .saved = index}, NULL), NN_OK);
    if (!CHECK(memcmp(y, y_apart, y_bytes) == 0 && memcmp(dx, dx_apart, x_bytes) == 0)) describe(&op, kind);
    free(y), free(dy), free(index), free(dx), free(y_apart), free(dy_apart), free(x_apart), free(dx_apart);
}

static void check_pool(nn_op op, values kind) {
    const nn_status status = nn_op_plan(&op, NULL);
    if (status != NN_OK) return; /* the geometry has its own test */
    const int64_t bytes = nn_dtype_bytes(op.dtype);
    void *x = malloc((size_t)(op.x_count * bytes)), *dx = malloc((size_t)(op.x_count * bytes));
    void *y = malloc((size_t)(op.y_count * bytes)), *plain = malloc((size_t)(op.y_count * bytes));
    void *dy = malloc((size_t)(op.y_count * bytes)), *index = malloc((size_t)op.saved_bytes);
    double *expected = calloc((size_t)op.x_count + 1, sizeof *expected);
    for (int64_t i = 0; i < op.x_count; i++) set(x, op.dtype, i, value(kind, i));
    for (int64_t i = 0; i < op.y_count; i++) set(dy, op.dtype, i, (double)draw(1000) + 1);
    memset(index, 0xEE, (size_t)op.saved_bytes);
    memset(dx, 0xEE, (size_t)(op.x_count * bytes));

    CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = plain, .x = x}, NULL), NN_OK);
    check_forward(&op, x, plain, NULL, NULL, NULL);
    CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = y, .x = x, .saved = index}, NULL), NN_OK);
    check_forward(&op, x, y, index, dy, expected);
    CHECK(op.y_count == 0 || memcmp(y, plain, (size_t)(op.y_count * bytes)) == 0);

    CHECK_EQUAL(nn_op_backward(&op, &(nn_io){.dx = dx, .dy = dy, .saved = index}, NULL), NN_OK);
    check_relu(op, kind, x);
    bool routed = true;
    for (int64_t i = 0; i < op.x_count; i++) routed = routed && get(dx, op.dtype, i) == expected[i]; /* integers: exact */
    if (!CHECK(routed)) describe(&op, kind);

    /* Any bytes for an index: nothing outside of dx is written (a sanitizer looks on), all of dx is. */
    for (int64_t i = 0; i < op.saved_bytes; i++) ((uint8_t *)index)[i] = (uint8_t)draw(256);
    memset(dx, 0xFF, (size_t)(op.x_count * bytes));
    CHECK_EQUAL(nn_op_backward(&op, &(nn_io){.dx = dx, .dy = dy, .saved = index}, NULL), NN_OK);
    for (int64_t i = 0; i < op.x_count; i++) CHECK(!isnan(get(dx, op.dtype, i)));

    free(x), free(dx), free(y), free(plain), free(dy), free(index), free(expected);
}

/* ---- which windows, which sizes ---------------------------------------------------------------------- */

static nn_op pool(nn_dtype dtype, int64_t n, int64_t c, int64_t h, int64_t w, nn_window window) {
    return (nn_op){.kind = NN_OP_MAXPOOL2D, .dtype = dtype, .x = {n, c, h, w}, .groups = 1, .window = window};
}

static nn_window adaptive(int64_t h, int64_t w) { return (nn_window){.kernel = {h, w}, .adaptive = true}; }

static void check_windows(nn_dtype dtype) {
    static const nn_window windows[] = {
        {{2, 2}, {2, 2}, {0, 0}, {1, 1}, false}, {{2, 2}, {2, 2}, {1, 1}, {1, 1}, true},
        {{3, 3}, {2, 2}, {1, 1}, {1, 1}, false}, {{3, 3}, {2, 2}, {0, 0}, {1, 1}, true},
        {{3, 3}, {2, 2}, {1, 0}, {1, 1}, true},  {{3, 3}, {1, 1}, {1, 1}, {1, 1}, false},
        {{2, 2}, {1, 1}, {0, 0}, {1, 1}, false}, {{1, 1}, {1, 1}, {0, 0}, {1, 1}, false},
        {{2, 3}, {3, 4}, {1, 1}, {1, 1}, true},  {{3, 2}, {1, 3}, {1, 0}, {1, 1}, false},
        {{3, 2}, {2, 1}, {1, 1}, {2, 3}, true},  {{5, 5}, {1, 1}, {2, 2}, {1, 1}, false},
        {{5, 4}, {2, 3}, {2, 1}, {1, 1}, false}, {{1, 3}, {2, 1}, {0, 1}, {5, 2}, false},
        {{2, 2}, {2, 1}, {1, 1}, {3, 1}, false},
    };
    static const int64_t channels[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 64, 67};
    static const int64_t sizes[][2] = {{1, 1}, {2, 2}, {3, 5}, {5, 3}, {6, 6}, {7, 8}};
    for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++)
        for (size_t c = 0; c < sizeof channels / sizeof channels[0]; c++)
            for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
                check_pool(pool(dtype, 2, channels[c], sizes[s][0], sizes[s][1], windows[w]),
                           (values)((w + c + s) % VALUES));
    for (int kind = 0; kind < VALUES; kind++) {
        /* Rows enough for several pieces, of which some hold NaN. */
        check_pool(pool(dtype, 3, 33, 21, 40, windows[0]), (values)kind);
        check_pool(pool(dtype, 3, 33, 21, 40, windows[2]), (values)kind);
        check_pool(pool(dtype, 2, 9, 31, 50, windows[11]), (values)kind);
        /* Windows of more than 255, and of more than 65535 elements. */
        check_pool(pool(dtype, 2, 5, 20, 20, (nn_window){{16, 16}, {3, 2}, {2, 1}, {1, 1}, false}), (values)kind);
        check_pool(pool(dtype, 2, 9, 32, 16, (nn_window){{16, 16}, {16, 16}, {0, 0}, {1, 1}, false}), (values)kind);
        check_pool(pool(dtype, 1, 3, 258, 257, (nn_window){{257, 257}, {1, 1}, {0, 0}, {1, 1}, false}), (values)kind);
    }
    check_pool(pool(dtype, 0, 3, 4, 4, windows[0]), DISTINCT);
    static const int64_t shared[][2] = {{1, 1}, {2, 2}, {3, 5}, {4, 3}, {7, 7}, {9, 2}};
    for (size_t o = 0; o < sizeof shared / sizeof shared[0]; o++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
            for (size_t c = 0; c < sizeof channels / sizeof channels[0]; c += 2)
                check_pool(pool(dtype, 2, channels[c], sizes[s][0], sizes[s][1], adaptive(shared[o][0], shared[o][1])),
                           (values)((o + s + c / 2) % VALUES));
    check_pool(pool(dtype, 2, 33, 40, 31, adaptive(2, 2)), WILD); /* more than a byte counts */
    check_pool(pool(dtype, 3, 17, 40, 31, adaptive(7, 9)), TIES);
}

/* ---- geometry ---------------------------------------------------------------------------------------- */

/* PyTorch's documented formula, and every tap of every window looked at; -1: not allowed. */
static int64_t windows_by_hand(const nn_window *w, int64_t size) {
    const int64_t k = w->kernel[0], s = w->stride[0], p = w->padding[0], d = w->dilation[0];
    const int64_t reach = d * (k - 1) + 1;
    const int64_t span = size + 2 * p - reach + (w->ceil_mode ? s - 1 : 0);
    if (2 * p > reach || span < 0) return -1; /* ceil_mode takes a window larger than the padded input */
    int64_t count = span / s + 1;
    if (w->ceil_mode && (count - 1) * s >= size + p) count--;
    for (int64_t i = 0; i < count; i++) {
        bool any = false;
        for (int64_t t = 0; t < k; t++) any = any || (i * s - p + t * d >= 0 && i * s - p + t * d < size);
        if (!any) return -1;
    }
    return count;
}

static void check_geometry(void) {
    for (int64_t size = 1; size <= 9; size++)
        for (int64_t k = 1; k <= 5; k++)
            for (int64_t s = 1; s <= 5; s++)
                for (int64_t p = 0; p <= 6; p++)
                    for (int64_t d = 1; d <= 6; d++)
                        for (int up = 0; up < 2; up++) {
                            const nn_window w = {{k, 1}, {s, 1}, {p, 0}, {d, 1}, up};
                            const int64_t expected = windows_by_hand(&w, size);
                            int64_t count = -7;
                            const nn_status status = nn_window_output(&w, 0, size, true, &count, NULL);
                            CHECK_EQUAL(status, expected < 0 ? NN_VALUE_ERROR : NN_OK);
                            if (status == NN_OK) CHECK_EQUAL(count, expected);
                        }
    static const int64_t huge[] = {INT64_C(1) << 31, INT64_C(1) << 40, INT64_C(1) << 62, INT64_MAX, INT64_MIN, -1};
    for (int which = 0; which < 6; which++)
        for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
            nn_window w = {{3, 3}, {2, 2}, {1, 1}, {1, 1}, true};
            int64_t shape[4] = {1, 1, 9, 9};
            int64_t *const changed[] = {w.kernel, w.stride, w.padding, w.dilation, &shape[2], &shape[3]};
            changed[which][0] = huge[i];
            nn_op op = pool(NN_FLOAT32, 1, 1, shape[2], shape[3], w);
            nn_error error = {0};
            CHECK_EQUAL(nn_op_plan(&op, &error), NN_VALUE_ERROR);
            CHECK(error.arg && error.got == huge[i]);
        }
    /* Long before this many windows are counted one by one, the test's alarm rings. */
    nn_window w = {{1 << 30, 1 << 30}, {1, 1}, {1 << 29, 1 << 29}, {1, 1}, false};
    nn_op op = pool(NN_FLOAT32, 1, 1, 1 << 30, 1 << 30, w);
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_VALUE_ERROR); /* more elements in the window than an index counts */
    for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
        op = pool(NN_FLOAT32, 1, 1, 9, 9, adaptive(3, huge[i]));
        nn_error error = {0};
        CHECK_EQUAL(nn_op_plan(&op, &error), NN_VALUE_ERROR);
        CHECK(error.arg && strcmp(error.arg, "output_size") == 0 && error.index == 1 && error.got == huge[i]);
    }
    op = pool(NN_FLOAT32, 1, 0, 4, 4, (nn_window){{2, 2}, {2, 2}, {0, 0}, {1, 1}, false});
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_VALUE_ERROR);
    op = pool(NN_FLOAT32, INT64_C(1) << 40, 1 << 20, 1 << 20, 1 << 20, op.window);
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_MEMORY_ERROR);
}

int main(void) {
    check_start();
    check_geometry();
    for (int isa = 0; isa < NN_ISAS; isa++) {
        if (!nn_isa_available((nn_isa)isa)) continue;
        nn_isa_select(nn_isa_name((nn_isa)isa), NULL);
        for (int dtype = 0; dtype < NN_DTYPES; dtype++) check_windows((nn_dtype)dtype);
    }
    return check_report();
}
