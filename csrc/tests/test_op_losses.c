/*
 * The losses with their options against their formulas in double: reduced and not, with weights, over exact buffers;
 * labels ignored, smoothed, of images; both dtypes, every instruction set, one and two threads. Cross-entropy and
 * squared error in their plain form are test_op_loss's.
 */
#include "buffers.h"

/* ---- two arrays ---------------------------------------------------------------------------------------- */

static double softplus(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }

/* Loss and slope of x, t, and p, the weight of the positive answer. */
static void right_pair(nn_kind kind, double x, double t, double p, double constant, double right[2]) {
    const double z = fabs(x - t), sign = x > t ? 1 : x < t ? -1 : 0, s = 1 / (1 + exp(-x));
    switch (kind) {
    case NN_OP_L1: right[0] = z, right[1] = sign; break;
    case NN_OP_SMOOTH_L1:
        right[0] = z < constant ? z * z / 2 / constant : z - constant / 2;
        right[1] = z < constant ? (x - t) / constant : sign;
        break;
    case NN_OP_HUBER:
        right[0] = z < constant ? z * z / 2 : constant * (z - constant / 2);
        right[1] = z < constant ? x - t : constant * sign;
        break;
    case NN_OP_HINGE: right[0] = fmax(0, constant - t * x), right[1] = constant - t * x <= 0 ? 0 : -t; break;
    case NN_OP_BCE:
        right[0] = -(t * fmax(log(x), -100) + (1 - t) * fmax(log1p(-x), -100));
        right[1] = (x - t) / fmax(x * (1 - x), 1e-12);
        break;
    case NN_OP_BCE_WITH_LOGITS:
        right[0] = (1 - t) * softplus(x) + p * t * softplus(-x);
        right[1] = (1 - t) * s - p * t * (1 - s);
        break;
    case NN_OP_KL_DIV: right[0] = (t == 0 ? 0 : t * log(t)) - t * x, right[1] = -t; break;
    case NN_OP_KL_DIV_LOG: right[0] = exp(t) * (t - x), right[1] = -exp(t); break;
    default: right[0] = (x - t) * (x - t), right[1] = 2 * (x - t);
    }
}

static const struct {
    nn_kind kind;
    double constant;
    bool probabilities; /* x and t lie within 0 and 1 */
} pairs[] = {
    {NN_OP_MSE, 0, false},   {NN_OP_L1, 0, false},  {NN_OP_SMOOTH_L1, 0.5, false},     {NN_OP_SMOOTH_L1, 0, false},
    {NN_OP_HUBER, 1, false}, {NN_OP_BCE, 0, true},  {NN_OP_BCE_WITH_LOGITS, 0, false}, {NN_OP_KL_DIV, 0, true},
    {NN_OP_HINGE, 1, false}, {NN_OP_KL_DIV_LOG, 0, false},
};

/* One run of a planned loss, forward and backward, on `threads`. y and dx are the caller's. */
static void run(const nn_op *op, nn_io io, int threads) {
    use_threads(threads);
    void *work = block(op->forward_bytes);
    io.work = work;
    CHECK_EQUAL(nn_op_forward(op, &io, NULL), NN_OK);
    CHECK_EQUAL(nn_op_backward(op, &io, NULL), NN_OK);
    free(work);
}

static void check_pair(nn_dtype dtype, int which, int64_t count, nn_reduction reduction, bool weighted) {
    nn_op op = {.kind = pairs[which].kind, .dtype = dtype, .x = {count, 1, 1, 1}, .reduction = reduction,
                .parameter = {pairs[which].constant, 0}};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    const bool whole = reduction == NN_NONE;
    CHECK(op.loss && !op.reads_labels && op.target_count == count && op.y_count == (whole ? count : 1));
    double *a = noises(count), *b = noises(count), *c = noises(count), *d = noises(count), *factor = noises(count);
    for (int64_t i = 0; i < count; i++) {
        a[i] = pairs[which].probabilities ? fabs(a[i]) / 1.1 : 3 * a[i];
        if (pairs[which].probabilities) b[i] = fabs(b[i]);
        if (pairs[which].kind == NN_OP_HINGE) b[i] = b[i] < 0 ? -1 : 1;
    }
    void *x = array_of(dtype, count, a), *t = array_of(dtype, count, b), *w = array_of(dtype, count, c);
    void *p = array_of(dtype, count, d), *dy = array_of(dtype, count, factor);
    const double one = -1.5, eps = epsilon_of(dtype);
    const int64_t y_bytes = whole ? count * nn_dtype_bytes(dtype) : (int64_t)sizeof(double);
    void *y = block(y_bytes), *again = block(y_bytes), *dx = array(dtype, count), *dx_again = array(dtype, count);
    nn_io io = {.y = y, .x = x, .target = t, .weight = weighted ? w : NULL, .bias = weighted ? p : NULL, .dx = dx,
                .dy = whole ? dy : (const void *)&one};
    run(&op, io, 1);
    io.y = again, io.dx = dx_again;
    run(&op, io, 2);
    CHECK(same_bytes(y, again, y_bytes) && same_bytes(dx, dx_again, count * nn_dtype_bytes(dtype)));

    const double divisor = reduction == NN_MEAN || reduction == NN_BATCHMEAN ? (double)count : 1;
    double sum = 0, bound = 0;
    for (int64_t i = 0; i < count; i++) {
        double right[2];
        right_pair(op.kind, get(x, dtype, i), get(t, dtype, i), weighted ? get(p, dtype, i) : 1, op.parameter[0], right);
        const double weight = weighted ? get(w, dtype, i) : 1, scale = (whole ? factor[i] : one) / divisor;
        const double off = 32 * eps * (fabs(right[0]) + 4); /* sums of terms of this size */
        if (whole) CHECK(fabs(get(y, dtype, i) - weight * right[0]) <= off);
        CHECK(fabs(get(dx, dtype, i) - weight * right[1] * scale) <= 32 * eps * fabs(scale) * (fabs(right[1]) + 4));
        sum += weight * right[0];
        bound += off;
    }
    if (!whole && count > 0) CHECK(fabs(*(double *)y - sum / divisor) <= bound * 8 / divisor);
    if (!whole && count == 0) CHECK(reduction == NN_SUM ? *(double *)y == 0 : isnan(*(double *)y));
    free(a), free(b), free(c), free(d), free(factor), free(x), free(t), free(w), free(p), free(dy);
    free(y), free(again), free(dx), free(dx_again);
}

/* ---- labels -------------------------------------------------------------------------------------------- */

/* Cross-entropy by labels or by probabilities, or likelihood: x (n, classes, h, 2). */
static void check_labels(nn_dtype dtype, nn_kind kind, int64_t n, int64_t classes, int64_t h, nn_reduction reduction,
                         bool weighted, double smoothing, int64_t ignored) {
    nn_op op = {.kind = kind, .dtype = dtype, .x = {n, classes, h, 2}, .reduction = reduction, .ignores = true,
                .ignore_index = ignored, .parameter = {smoothing, 0}};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    const bool whole = reduction == NN_NONE, soft = kind == NN_OP_SOFT_CROSS_ENTROPY;
    const int64_t rows = n * h * 2, count = rows * classes, bytes = count * nn_dtype_bytes(dtype);
    CHECK(op.loss && op.reads_labels == !soft && op.target_count == (soft ? count : rows));
    double *logits = noises(count), *truth = noises(count), *c = noises(classes), *factor = noises(rows);
    int64_t *labels = block(rows * (int64_t)sizeof *labels);
    for (int64_t i = 0; i < rows; i++) labels[i] = i % 3 == 1 ? ignored : (int64_t)noise_below((uint32_t)classes);
    for (int64_t j = 0; j < classes; j++) c[j] = fabs(c[j]) + 0.5;
    for (int64_t i = 0; i < count; i++) logits[i] *= 5, truth[i] = fabs(truth[i]);
    void *x = array_of(dtype, count, logits), *t = array_of(dtype, count, truth), *w = array_of(dtype, classes, c);
    void *dy = array_of(dtype, rows, factor), *dx = array(dtype, count), *dx_again = array(dtype, count);
    const double one = 0.75, eps = epsilon_of(dtype);
    const int64_t y_bytes = whole ? rows * nn_dtype_bytes(dtype) : (int64_t)sizeof(double);
    void *y = block(y_bytes), *again = block(y_bytes), *saved = block(op.saved_bytes);
    nn_io io = {.y = y, .x = x, .target = soft ? t : (const void *)labels, .weight = weighted ? w : NULL, .dx = dx,
                .dy = whole ? dy : (const void *)&one, .saved = saved};
    run(&op, io, 1);
    io.y = again, io.dx = dx_again;
    run(&op, io, 2);
    CHECK(same_bytes(y, again, y_bytes) && same_bytes(dx, dx_again, bytes));

    double divisor = 0, sum = 0, bound = 0;
    for (int64_t i = 0; i < rows; i++) divisor += soft ? 1 : labels[i] == ignored ? 0 : weighted ? get(w, dtype, labels[i]) : 1;
    if (reduction != NN_MEAN) divisor = 1;
    for (int64_t i = 0; i < rows; i++) {
        const double *row = logits + i * classes;
        double top = row[0], total = 0, loss = 0, all = 0;
        for (int64_t j = 1; j < classes; j++) top = fmax(top, row[j]);
        for (int64_t j = 0; j < classes; j++) total += exp(row[j] - top);
        const double log_sum = kind == NN_OP_NLL ? 0 : log(total) + top;
        const bool counts = soft || labels[i] != ignored;
        double *q = block(classes * (int64_t)sizeof *q);
        for (int64_t j = 0; j < classes; j++) {
            q[j] = (1 - smoothing) * (soft ? get(t, dtype, i * classes + j) : labels[i] == j) + smoothing / (double)classes;
            q[j] *= !counts ? 0 : weighted ? get(w, dtype, j) : 1;
            loss += q[j] * (log_sum - row[j]);
            all += q[j];
        }
        const double off = 8 * eps * ((double)classes + 8) * (fabs(loss) + 12 * (all + 1));
        if (whole) CHECK(fabs(get(y, dtype, i) - loss) <= off);
        for (int64_t j = 0; j < classes; j++) {
            const double p = kind == NN_OP_NLL ? 0 : exp(row[j] - top) / total;
            const double scale = (whole ? factor[i] : one) / divisor, right = counts ? (all * p - q[j]) * scale : 0;
            CHECK(fabs(get(dx, dtype, i * classes + j) - right) <=
                  (counts ? 8 * eps * ((double)classes + 24) * (all + 1) * fabs(scale) : 0));
        }
        sum += loss, bound += off;
        free(q);
    }
    if (!whole && divisor > 0) CHECK(fabs(*(double *)y - sum / divisor) <= bound / divisor);
    free(logits), free(truth), free(c), free(factor), free(labels), free(x), free(t), free(w), free(dy), free(dx);
    free(dx_again), free(y), free(again), free(saved);
}

/* A label that is ignored elsewhere: refused, by both directions, before anything is written. */
static void check_refused(nn_dtype dtype, nn_kind kind) {
    nn_op op = {.kind = kind, .dtype = dtype, .x = {3, 4, 1, 1}, .ignores = true, .ignore_index = -100};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    void *x = array(dtype, 12), *dx = array(dtype, 12), *untouched = array(dtype, 12), *work = block(op.forward_bytes);
    const int64_t labels[] = {-100, 4, 1};
    double y = 5;
    const nn_io io = {.y = &y, .x = x, .target = labels, .saved = x, .work = work, .dx = dx};
    nn_error error = {0};
    CHECK_EQUAL(nn_op_forward(&op, &io, &error), NN_INDEX_ERROR);
    CHECK_EQUAL(error.index, 1);
    CHECK_EQUAL(nn_op_backward(&op, &io, &error), NN_INDEX_ERROR);
    CHECK(error.got == 4 && y == 5 && same_bytes(dx, untouched, 12 * nn_dtype_bytes(dtype)));
    free(x), free(dx), free(untouched), free(work);
}

/* ---- softmax as a layer --------------------------------------------------------------------------------- */

static void check_softmax(nn_dtype dtype, bool logarithms, int64_t rows, int64_t classes) {
    nn_op op = {.kind = logarithms ? NN_OP_LOG_SOFTMAX : NN_OP_SOFTMAX, .dtype = dtype, .x = {rows, classes, 1, 1},
                .channels = classes};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    const int64_t count = rows * classes, bytes = count * nn_dtype_bytes(dtype);
    double *a = noises(count), *b = noises(count);
    void *x = array_of(dtype, count, a), *dy = array_of(dtype, count, b);
    void *y = array(dtype, count), *dx = array(dtype, count), *y_again = array(dtype, count), *dx_again = array(dtype, count);
    run(&op, (nn_io){.y = y, .x = x, .dy = dy, .dx = dx}, 1);
    run(&op, (nn_io){.y = y_again, .x = x, .dy = dy, .dx = dx_again}, 2);
    CHECK(same_bytes(y, y_again, bytes) && same_bytes(dx, dx_again, bytes));
    const double off = 8 * epsilon_of(dtype) * ((double)classes + 8);
    for (int64_t i = 0; i < rows; i++) {
        double total = 0, dot = 0;
        for (int64_t j = 0; j < classes; j++) total += exp(a[i * classes + j]);
        for (int64_t j = 0; j < classes; j++)
            dot += b[i * classes + j] * (logarithms ? 1 : exp(a[i * classes + j]) / total);
        for (int64_t j = 0; j < classes; j++) {
            const int64_t at = i * classes + j;
            const double p = exp(a[at]) / total;
            CHECK(fabs(get(y, dtype, at) - (logarithms ? a[at] - log(total) : p)) <= off);
            CHECK(fabs(get(dx, dtype, at) - (logarithms ? b[at] - p * dot : p * (b[at] - dot))) <= off);
        }
    }
    free(a), free(b), free(x), free(dy), free(y), free(dx), free(y_again), free(dx_again);
}

static void check_all(nn_dtype dtype, void *unused) {
    (void)unused;
    static const int64_t counts[] = {0, 1, 3, 8, 17, 33, 67, 4096, 4101};
    for (int which = 0; which < (int)(sizeof pairs / sizeof pairs[0]); which++)
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
            for (int reduction = NN_MEAN; reduction <= NN_NONE; reduction++)
                check_pair(dtype, which, counts[i], (nn_reduction)reduction, (reduction + i) % 2);
    static const nn_kind kinds[] = {NN_OP_CROSS_ENTROPY, NN_OP_SOFT_CROSS_ENTROPY, NN_OP_NLL};
    static const int64_t classes[] = {1, 2, 3, 7, 10, 17, 33, 70};
    for (int kind = 0; kind < 3; kind++)
        for (int c = 0; c < 8; c++)
            for (int option = 0; option < 8; option++)
                check_labels(dtype, kinds[kind], c == 4 ? 300 : 5, classes[c], 1 + option % 2,
                             option % 3 == 2 ? NN_NONE : option % 3 == 1 ? NN_SUM : NN_MEAN, option & 4,
                             kinds[kind] != NN_OP_NLL && option & 1 ? 0.25 : 0, option & 2 ? -100 : 0);
    check_refused(dtype, NN_OP_CROSS_ENTROPY);
    check_refused(dtype, NN_OP_NLL);
    for (int c = 0; c < 8; c++) {
        check_softmax(dtype, false, 9, classes[c]);
        check_softmax(dtype, true, 9, classes[c]);
    }
    check_softmax(dtype, true, 1000, 10);
    check_softmax(dtype, false, 0, 10);
}

int main(void) {
    check_start();
    for_each_kernel_set(check_all, NULL);
    CHECK(nn_threads_pieces_by_workers() > 0);
    nn_error error = {0};
    nn_op op = {.kind = NN_OP_SOFTMAX, .dtype = NN_FLOAT32, .x = {3, 4, 1, 1}, .channels = 5};
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_VALUE_ERROR);
    op = (nn_op){.kind = NN_OP_L1, .dtype = NN_FLOAT32, .x = {3, 4, 1, 1}, .reduction = (nn_reduction)7};
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_VALUE_ERROR);
    return check_report();
}
