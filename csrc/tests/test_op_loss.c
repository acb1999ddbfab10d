/*
 * Cross-entropy and squared error against their formulas in double: value, saved probabilities, gradient and its
 * factor; few classes (rows side by side) and many (a row along the vector); labels out of range in every place, and
 * that then nothing is written; both dtypes, every instruction set, one and two threads.
 */
#include <float.h>

#include "buffers.h"

/* Forward on one and on two threads, over exact workspaces; the bits of value and saved are the same. */
static double forward(const nn_op *op, const void *x, const void *target, void *saved) {
    double *value = block(sizeof *value), *again = block(sizeof *again);
    void *work = block(op->forward_bytes), *saved_again = block(op->saved_bytes);
    use_threads(1);
    CHECK_EQUAL(nn_op_forward(op, &(nn_io){.y = value, .x = x, .target = target, .saved = saved, .work = work}, NULL),
                NN_OK);
    free(work);
    work = block(op->forward_bytes);
    use_threads(2);
    CHECK_EQUAL(nn_op_forward(op, &(nn_io){.y = again, .x = x, .target = target, .saved = saved_again, .work = work},
                              NULL), NN_OK);
    CHECK(same_bytes(value, again, sizeof *value));
    CHECK(same_bytes(saved, saved_again, op->saved_bytes));
    *again = -1;
    CHECK_EQUAL(nn_op_forward(op, &(nn_io){.y = again, .x = x, .target = target, .work = work}, NULL), NN_OK);
    CHECK(same_bytes(value, again, sizeof *value)); /* evaluation: nothing saved */
    const double result = *value;
    free(value), free(again), free(work), free(saved_again);
    return result;
}

/* The gradient times *factor (NULL: 1), the same on one and on two threads. */
static void *backward(const nn_op *op, const void *x, const void *target, void *saved, const double *factor) {
    void *dx = array(op->dtype, op->x_count), *again = array(op->dtype, op->x_count), *work = block(op->backward_bytes);
    nn_io io = {.dx = dx, .x = op->needs & NN_NEEDS_X ? x : NULL, .target = target, .saved = saved, .dy = factor,
                .work = work};
    use_threads(1);
    CHECK_EQUAL(nn_op_backward(op, &io, NULL), NN_OK);
    use_threads(2);
    io.dx = again;
    CHECK_EQUAL(nn_op_backward(op, &io, NULL), NN_OK);
    CHECK(same_bytes(dx, again, op->x_count * nn_dtype_bytes(op->dtype)));
    io.dx = NULL;
    CHECK_EQUAL(nn_op_backward(op, &io, NULL), NN_OK);
    free(again), free(work);
    return dx;
}

/* ---- cross-entropy ------------------------------------------------------------------------------------- */

static nn_op cross_entropy(nn_dtype dtype, int64_t n, int64_t classes) {
    nn_op op = {.kind = NN_OP_CROSS_ENTROPY, .dtype = dtype, .x = {n, classes, 1, 1}, .groups = 1};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    CHECK(op.y_count == 1 && op.saved_bytes == n * classes * nn_dtype_bytes(dtype));
    CHECK_EQUAL(op.needs, NN_NEEDS_SAVED | NN_NEEDS_TARGET);
    return op;
}

/* Logits of size `scale`: at 1000 only one class of a row is left. */
static void check_cross_entropy(nn_dtype dtype, int64_t n, int64_t classes, double scale) {
    const nn_op op = cross_entropy(dtype, n, classes);
    const double factor = 0.75, eps = epsilon_of(dtype), tiny = dtype == NN_FLOAT32 ? FLT_MIN : DBL_MIN;
    double *logits = noises(n * classes);
    int64_t *labels = block(n * (int64_t)sizeof *labels);
    for (int64_t i = 0; i < n * classes; i++) logits[i] *= scale;
    for (int64_t i = 0; i < n; i++) labels[i] = (int64_t)noise_below((uint32_t)classes);
    void *x = array_of(dtype, n * classes, logits), *p = array(dtype, n * classes);
    const double value = forward(&op, x, labels, p);
    void *dx = backward(&op, x, labels, p, &factor), *plain = backward(&op, x, labels, p, NULL);

    double sum = 0, bound = 0;
    for (int64_t i = 0; i < n; i++) {
        const double *row = logits + i * classes;
        double top = row[0], total = 0;
        for (int64_t j = 1; j < classes; j++) top = fmax(top, row[j]);
        for (int64_t j = 0; j < classes; j++) total += exp(row[j] - top);
        sum += log(total) + top - row[labels[i]];
        bound += eps * ((double)classes + 8 + 4 * fabs(top - row[labels[i]]));
        for (int64_t j = 0; j < classes; j++) {
            const int64_t at = i * classes + j;
            const double right = exp(row[j] - top) / total, label = j == labels[i] ? 1 : 0;
            const double off = eps * ((double)classes + 8 + 2 * fabs(row[j] - top)) * right + tiny;
            CHECK(fabs(get(p, dtype, at) - right) <= off);
            CHECK(fabs(get(plain, dtype, at) * (double)n - (right - label)) <= off + 4 * eps * fabs(right - label));
            CHECK(fabs(get(dx, dtype, at) - factor * get(plain, dtype, at)) <=
                  4 * eps * fabs(get(plain, dtype, at)) + tiny);
        }
    }
    if (n > 0) CHECK(fabs(value - sum / (double)n) <= bound / (double)n);
    else CHECK(isnan(value));
    free(logits), free(labels), free(x), free(p), free(dx), free(plain);
}

/* One bad label, at `row` of n: refused by both directions with a record, before anything is written. */
static void check_label(nn_dtype dtype, int64_t n, int64_t classes, int64_t row, int64_t bad) {
    const nn_op op = cross_entropy(dtype, n, classes);
    const int64_t bytes = op.saved_bytes;
    double *logits = noises(n * classes), value = 5;
    int64_t *labels = block(n * (int64_t)sizeof *labels);
    for (int64_t i = 0; i < n; i++) labels[i] = i < row ? i % classes : bad; /* the first one is told */
    void *x = array_of(dtype, n * classes, logits), *saved = array(dtype, n * classes), *dx = array(dtype, n * classes);
    void *untouched = array(dtype, n * classes), *work = block(op.forward_bytes);
    for (int direction = 0; direction < 2; direction++) {
        nn_error error = {0};
        const nn_io io = {.y = &value, .x = x, .target = labels, .saved = saved, .work = work, .dx = dx};
        CHECK_EQUAL(direction ? nn_op_backward(&op, &io, &error) : nn_op_forward(&op, &io, &error), NN_INDEX_ERROR);
        CHECK(error.arg && strcmp(error.arg, "target") == 0);
        CHECK_EQUAL(error.index, row);
        CHECK_EQUAL(error.got, bad);
        CHECK(error.relation && strcmp(error.relation, bad < 0 ? "at least" : "below") == 0);
        CHECK_EQUAL(error.expected, bad < 0 ? 0 : classes);
        CHECK(value == 5 && same_bytes(saved, untouched, bytes) && same_bytes(dx, untouched, bytes));
    }
    free(logits), free(labels), free(x), free(saved), free(dx), free(untouched), free(work);
}

static void check_cross_entropies(nn_dtype dtype) {
    static const int64_t rows[] = {0, 1, 2, 3, 5, 8, 9, 17, 63, 64, 65, 130};
    static const int64_t classes[] = {1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 34, 47, 64, 100};
    static const double scales[] = {4, 1000, 0};
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
        for (size_t c = 0; c < sizeof classes / sizeof classes[0]; c++)
            check_cross_entropy(dtype, rows[r], classes[c], scales[(r + c) % 3]);
    check_cross_entropy(dtype, 3, 9001, 4); /* a row longer than a piece */
    check_cross_entropy(dtype, 1000, 10, 4); /* two pieces */
    check_cross_entropy(dtype, 2051, 33, 4);

    static const int64_t bad[] = {-1, -100, INT64_MIN, INT64_MAX};
    for (int64_t row = 0; row < 9; row++) {
        for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) check_label(dtype, 9, 5, row, bad[b]);
        check_label(dtype, 9, 5, row, 5);
        check_label(dtype, 9, 1, row, 1);
    }

    /* Nothing overflows: far behind by 1000 costs 1000. */
    void *x = array_of(dtype, 2, (const double[]){0, 1000}), *p = array(dtype, 2);
    const nn_op op = cross_entropy(dtype, 1, 2);
    CHECK(forward(&op, x, (const int64_t[]){0}, p) == 1000);
    CHECK(get(p, dtype, 0) == 0 && get(p, dtype, 1) == 1);
    free(x), free(p);
}

/* ---- squared error ------------------------------------------------------------------------------------- */

static void check_mse(nn_dtype dtype, int64_t n, int64_t features) {
    nn_op op = {.kind = NN_OP_MSE, .dtype = dtype, .x = {n, features, 1, 1}, .groups = 1};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    CHECK(op.y_count == 1 && op.saved_bytes == 0 && op.needs == (NN_NEEDS_X | NN_NEEDS_TARGET));
    const int64_t count = n * features;
    const double factor = -1.5, eps = epsilon_of(dtype);
    double *a = noises(count), *b = noises(count), sum = 0;
    void *x = array_of(dtype, count, a), *target = array_of(dtype, count, b);
    const double value = forward(&op, x, target, NULL);
    void *dx = backward(&op, x, target, NULL, &factor), *plain = backward(&op, x, target, NULL, NULL);
    for (int64_t i = 0; i < count; i++) {
        const double difference = a[i] - b[i], right = 2 * difference / (double)count;
        sum += difference * difference;
        CHECK(fabs(get(plain, dtype, i) - right) <= 4 * eps * fabs(right));
        CHECK(fabs(get(dx, dtype, i) - factor * right) <= 4 * eps * fabs(factor * right));
    }
    if (count > 0) CHECK(fabs(value - sum / (double)count) <= 4 * eps * sum);
    else CHECK(isnan(value));
    free(a), free(b), free(x), free(target), free(dx), free(plain);
}

static void check_all(nn_dtype dtype, void *unused) {
    (void)unused;
    check_cross_entropies(dtype);
    for (int64_t count = 0; count <= 67; count++) check_mse(dtype, count, 1);
    check_mse(dtype, 13, 7);
    check_mse(dtype, 4096, 1);
    check_mse(dtype, 4099, 3);
}

int main(void) {
    check_start();
    for_each_kernel_set(check_all, NULL);
    CHECK(nn_threads_pieces_by_workers() > 0);
    nn_error error = {0};
    nn_op op = {.kind = NN_OP_CROSS_ENTROPY, .dtype = NN_FLOAT32, .x = {3, 0, 1, 1}, .groups = 1};
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_VALUE_ERROR);
    CHECK(error.arg && strcmp(error.arg, "classes") == 0 && error.expected == 1);
    op.x[0] = op.x[1] = INT64_C(1) << 40;
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_MEMORY_ERROR);
    op.kind = NN_OP_MSE;
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_MEMORY_ERROR);
    return check_report();
}
