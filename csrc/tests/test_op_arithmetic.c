/*
 * Sums and products of two arrays, broadcast ones among them, Scale, Concatenate and Reshape, against plain loops in
 * double: both dtypes, every instruction set, one and two threads, buffers of exact size.
 */
#include "buffers.h"

typedef struct images {
    int64_t n, c, h, w;
} images;

/* Where element (n, c, h, w) of an array of this shape lies, 0 along axes of size 1; channels-last, or C order. */
static int64_t at(images s, bool weight, int64_t n, int64_t c, int64_t h, int64_t w) {
    n = s.n == 1 ? 0 : n, c = s.c == 1 ? 0 : c, h = s.h == 1 ? 0 : h, w = s.w == 1 ? 0 : w;
    return weight ? ((n * s.c + c) * s.h + h) * s.w + w : ((n * s.h + h) * s.w + w) * s.c + c;
}

static int64_t count_of(images s) { return s.n * s.c * s.h * s.w; }

static const nn_kind binaries[] = {NN_OP_ADD, NN_OP_SUBTRACT, NN_OP_MULTIPLY};

static nn_op binary(nn_kind kind, nn_dtype dtype, images x, images y, bool weight) {
    return (nn_op){.kind = kind, .dtype = dtype, .x = {x.n, x.c, x.h, x.w}, .groups = 1, .more_count = !weight,
                   .more = {{y.n, y.c, y.h, y.w}}};
}

static void check_binary(nn_kind kind, nn_dtype dtype, images s, images t, bool weight, int threads) {
    const int64_t count = count_of(s), other = count_of(t);
    nn_op op = binary(kind, dtype, s, t, weight);
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    CHECK(op.y_count == count && op.weight_count == (weight ? other : 0));
    double *xs = noises(count), *ys = noises(other), *dys = noises(count), *sums = calloc((size_t)other + 1, sizeof *sums);
    double *before = noises(other);
    void *x = array_of(dtype, count, xs), *y = array_of(dtype, other, ys), *dy = array_of(dtype, count, dys);
    void *z = array(dtype, count), *dx = array(dtype, count), *dother = array_of(dtype, other, before);
    void *work = block(op.forward_bytes), *back = block(op.backward_bytes);
    const double eps = epsilon_of(dtype);
    use_threads(threads);
    nn_io io = {.y = z, .x = x, .work = work, .dy = dy, .dx = dx};
    if (weight) io.weight = y, io.dweight = dother;
    else io.more[0] = y, io.dmore[0] = dother;
    CHECK_EQUAL(nn_op_forward(&op, &io, NULL), NN_OK);
    io.y = NULL, io.work = back;
    CHECK_EQUAL(nn_op_backward(&op, &io, NULL), NN_OK);
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t c = 0; c < s.c; c++)
            for (int64_t h = 0; h < s.h; h++)
                for (int64_t w = 0; w < s.w; w++) {
                    const int64_t i = at(s, false, n, c, h, w), j = at(t, weight, n, c, h, w);
                    const double a = xs[i], b = ys[j], d = dys[i];
                    const double right = kind == NN_OP_ADD ? a + b : kind == NN_OP_SUBTRACT ? a - b : a * b;
                    CHECK(fabs(get(z, dtype, i) - right) <= 2 * eps);
                    CHECK(fabs(get(dx, dtype, i) - (kind == NN_OP_MULTIPLY ? d * b : d)) <= 2 * eps);
                    sums[j] += kind == NN_OP_ADD ? d : kind == NN_OP_SUBTRACT ? -d : d * a;
                }
    const double many = other ? (double)count / (double)other : 0;
    for (int64_t j = 0; j < other; j++) /* added for a weight, written for an array */
        CHECK(fabs(get(dother, dtype, j) - sums[j] - (weight ? before[j] : 0)) <= (2 + many) * eps * 2);
    if (weight) {
        void *again = array(dtype, other);
        io.dweight = again, io.overwrite = true, io.dx = NULL;
        CHECK(op.overwrites);
        CHECK_EQUAL(nn_op_backward(&op, &io, NULL), NN_OK);
        for (int64_t j = 0; j < other; j++) CHECK(fabs(get(again, dtype, j) - sums[j]) <= (2 + many) * eps * 2);
        io.dweight = NULL, io.dx = dx;
        CHECK_EQUAL(nn_op_backward(&op, &io, NULL), NN_OK);
        free(again);
    }
    free(xs), free(ys), free(dys), free(sums), free(before), free(x), free(y), free(dy), free(z), free(dx), free(dother);
    free(work), free(back);
}

static void check_concatenate(nn_dtype dtype, images s, int64_t c1, int64_t c2, int threads) {
    nn_op op = {.kind = NN_OP_CONCATENATE, .dtype = dtype, .x = {s.n, s.c, s.h, s.w}, .groups = 1, .more_count = 2,
                .more = {{s.n, c1, s.h, s.w}, {s.n, c2, s.h, s.w}}};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    const int64_t widths[3] = {s.c, c1, c2}, rows = s.n * s.h * s.w, whole = s.c + c1 + c2;
    double *values[3];
    void *parts[3], *back[3], *y = array(dtype, rows * whole);
    for (int k = 0; k < 3; k++) {
        values[k] = noises(rows * widths[k]);
        parts[k] = array_of(dtype, rows * widths[k], values[k]), back[k] = array(dtype, rows * widths[k]);
    }
    use_threads(threads);
    CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = y, .x = parts[0], .more = {parts[1], parts[2]}}, NULL), NN_OK);
    for (int64_t row = 0, i = 0; row < rows; row++)
        for (int k = 0; k < 3; k++)
            for (int64_t c = 0; c < widths[k]; c++, i++) CHECK(get(y, dtype, i) == get(parts[k], dtype, row * widths[k] + c));
    CHECK_EQUAL(nn_op_backward(&op, &(nn_io){.dy = y, .dx = back[0], .dmore = {NULL, back[2]}}, NULL), NN_OK);
    for (int k = 0; k < 3; k += 2) CHECK(same_bytes(back[k], parts[k], rows * widths[k] * nn_dtype_bytes(dtype)));
    for (int k = 0; k < 3; k++) free(values[k]), free(parts[k]), free(back[k]);
    free(y);
}

static void check_reshape(nn_dtype dtype, images s, images t, int threads) {
    const int64_t count = count_of(s);
    nn_op op = {.kind = NN_OP_RESHAPE, .dtype = dtype, .x = {s.n, s.c, s.h, s.w}, .shape = {0, t.c, t.h, t.w}, .groups = 1};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    double *values = noises(count);
    void *x = array_of(dtype, count, values), *y = array(dtype, count), *dx = array(dtype, count);
    void *work = block(op.forward_bytes), *back = block(op.backward_bytes);
    use_threads(threads);
    CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = y, .x = x, .work = work}, NULL), NN_OK);
    for (int64_t i = 0; i < count; i++) { /* in logical order */
        const int64_t image = s.c * s.h * s.w, n = i / image, k = i % image;
        CHECK(get(y, dtype, at(t, false, n, k / (t.h * t.w), k / t.w % t.h, k % t.w)) ==
              get(x, dtype, at(s, false, n, k / (s.h * s.w), k / s.w % s.h, k % s.w)));
    }
    CHECK_EQUAL(nn_op_backward(&op, &(nn_io){.dy = y, .dx = dx, .work = back}, NULL), NN_OK);
    CHECK(same_bytes(dx, x, count * nn_dtype_bytes(dtype)));
    free(values), free(x), free(y), free(dx), free(work), free(back);
}

static void check_scale(nn_dtype dtype, int64_t count, int threads) {
    nn_op op = {.kind = NN_OP_SCALE, .dtype = dtype, .x = {count, 1, 1, 1}, .groups = 1, .parameter = {1.5, -0.25}};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    double *values = noises(count);
    void *x = array_of(dtype, count, values), *y = array(dtype, count);
    use_threads(threads);
    CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = y, .x = x}, NULL), NN_OK);
    for (int64_t i = 0; i < count; i++) CHECK(fabs(get(y, dtype, i) - (1.5 * values[i] - 0.25)) <= 2 * epsilon_of(dtype));
    CHECK_EQUAL(nn_op_backward(&op, &(nn_io){.dy = x, .dx = y}, NULL), NN_OK);
    for (int64_t i = 0; i < count; i++) CHECK(fabs(get(y, dtype, i) - 1.5 * values[i]) <= 2 * epsilon_of(dtype));
    free(values), free(x), free(y);
}

static void check_all(nn_dtype dtype, void *unused) {
    (void)unused;
    const images shapes[] = {{3, 5, 4, 2}, {2, 19, 3, 3}, {5, 67, 1, 1}, {300, 3, 1, 1}, {1, 1, 1, 1}, {0, 4, 2, 2}, {4, 0, 1, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int k = 0; k < 3; k++) {
            const images s = shapes[i];
            const images seconds[] = {s, {s.n, s.c, 1, 1}, {s.n, 1, s.h, s.w}, {s.n, 1, 1, 1}, {1, s.c, s.h, s.w},
                                      {1, s.c, 1, 1}, {1, 1, 1, 1}};
            for (int j = 0; j < 7; j++) check_binary(binaries[k], dtype, s, seconds[j], j >= 4, 1 + (j + k) % 2);
        }
    check_binary(NN_OP_ADD, dtype, (images){9, 1000, 1, 1}, (images){9, 1000, 1, 1}, false, 2);
    for (int threads = 1; threads <= 2; threads++) {
        check_concatenate(dtype, (images){3, 5, 4, 2}, 1, 9, threads);
        check_concatenate(dtype, (images){700, 8, 1, 1}, 0, 3, threads);
        check_concatenate(dtype, (images){0, 2, 1, 1}, 3, 4, threads);
        check_reshape(dtype, (images){3, 24, 1, 1}, (images){3, 4, 3, 2}, threads);
        check_reshape(dtype, (images){3, 4, 3, 2}, (images){3, 24, 1, 1}, threads);
        check_reshape(dtype, (images){2, 6, 2, 5}, (images){2, 3, 4, 5}, threads);
        check_reshape(dtype, (images){0, 6, 2, 5}, (images){0, 3, 4, 5}, threads);
        check_scale(dtype, 67, threads), check_scale(dtype, 9000, threads), check_scale(dtype, 0, threads);
    }
}

static void refused(nn_op op, nn_status status) { CHECK_EQUAL(nn_op_plan(&op, NULL), status); }

static void wrong_shapes_are_refused(void) {
    const images s = {3, 5, 4, 2};
    const int64_t huge = INT64_C(1) << 31;
    const images wrong[] = {{1, 5, 4, 2}, {3, 4, 4, 2}, {3, 5, 2, 4}, {3, 5, 4, 1}, {3, 5, 1, 2}, {2, 5, 1, 1}};
    for (int i = 0; i < 6; i++) refused(binary(NN_OP_ADD, NN_FLOAT32, s, wrong[i], false), NN_VALUE_ERROR);
    refused(binary(NN_OP_MULTIPLY, NN_FLOAT32, s, s, true), NN_VALUE_ERROR);                       /* a weight has no batch */
    refused(binary(NN_OP_MULTIPLY, NN_FLOAT32, s, (images){1, 1, 4, 2}, true), NN_VALUE_ERROR); /* kept between repeated */
    refused(binary(NN_OP_ADD, NN_FLOAT32, (images){huge, huge, huge, 1}, (images){1, 1, 1, 1}, true), NN_MEMORY_ERROR);
    refused((nn_op){.kind = NN_OP_CONCATENATE, .x = {3, 5, 1, 1}}, NN_VALUE_ERROR);
    refused((nn_op){.kind = NN_OP_CONCATENATE, .x = {3, 5, 1, 1}, .more_count = 1, .more = {{4, 5, 1, 1}}}, NN_VALUE_ERROR);
    refused((nn_op){.kind = NN_OP_CONCATENATE, .x = {3, INT64_MAX, 1, 1}, .more_count = 1, .more = {{3, 1, 1, 1}}},
            NN_MEMORY_ERROR);
    refused((nn_op){.kind = NN_OP_CONCATENATE, .x = {3, 5, 1, 1}, .more_count = 1, .more = {{3, -1, 1, 1}}}, NN_VALUE_ERROR);
    refused((nn_op){.kind = NN_OP_RESHAPE, .x = {3, 6, 1, 1}, .shape = {3, 5, 1, 1}}, NN_VALUE_ERROR);
    refused((nn_op){.kind = NN_OP_RESHAPE, .x = {3, 6, 1, 1}, .shape = {3, -6, -1, 1}}, NN_VALUE_ERROR);
    refused((nn_op){.kind = NN_OP_RESHAPE, .x = {huge, huge, huge, 1}, .shape = {3, 6, 1, 1}}, NN_MEMORY_ERROR);
    refused((nn_op){.kind = NN_OP_SCALE, .x = {huge, huge, huge, 1}}, NN_MEMORY_ERROR);
    refused((nn_op){.kind = NN_OP_RELU, .x = {3, 6, 1, 1}, .more_count = 1, .more = {{3, 6, 1, 1}}}, NN_VALUE_ERROR);
    refused((nn_op){.kind = NN_OP_RELU, .x = {3, 6, 1, 1}, .more_count = -1}, NN_VALUE_ERROR);
}

int main(void) {
    check_start();
    for_each_kernel_set(check_all, NULL);
    CHECK(nn_threads_pieces_by_workers() > 0);
    wrong_shapes_are_refused();
    return check_report();
}
