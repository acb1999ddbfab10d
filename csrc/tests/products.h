/*
 * products.h: the check of an operation that sums products, y[o] = bias + sum of x[i] weight[w], against that sum in
 * double. A test gives the list of its products, which defines forward and all of backward:
 *
 *     dx[i] = sum of dy[o] weight[w];  dweight[w] += sum of dy[o] x[i];  dbias += sums of dy
 *
 * Bound for a sum of n products: 4 n eps times the sum of their magnitudes.
 */
#ifndef NN_TESTS_PRODUCTS_H
#define NN_TESTS_PRODUCTS_H

#include "buffers.h"

/* A sum as it should be, of so many products. */
typedef struct products_sum {
    double value, magnitude;
    int64_t terms;
} products_sum;

typedef struct products {
    nn_op op; /* planned in float32; sizes are those of float64, too */
    int64_t weight_count;
    double *x, *weight, *bias, *dy, *dweight_before, *dbias_before;
    products_sum *y, *dx, *dweight, *dbias;
} products;

static inline void products_add(products_sum *sum, double a, double b) {
    sum->value += a * b;
    sum->magnitude += fabs(a * b);
    sum->terms++;
}

/* Called by a test for each product of its operation: y[o] has x[i] weight[w]. */
static inline void product(products *p, int64_t o, int64_t i, int64_t w) {
    products_add(&p->y[o], p->x[i], p->weight[w]);
    products_add(&p->dx[i], p->dy[o], p->weight[w]);
    products_add(&p->dweight[w], p->dy[o], p->x[i]);
}

static inline products_sum *products_sums(int64_t count) { return calloc((size_t)count + 1, sizeof(products_sum)); }

/* Channels are last in y: its element o has bias[o % channels]. */
static inline products products_make(nn_op op, int64_t weight_count, void (*list)(products *)) {
    const int64_t channels = op.channels;
    products p = {.op = op, .weight_count = weight_count, .x = noises(op.x_count), .weight = noises(weight_count),
                  .bias = noises(channels), .dy = noises(op.y_count), .dweight_before = noises(weight_count),
                  .dbias_before = noises(channels), .y = products_sums(op.y_count), .dx = products_sums(op.x_count),
                  .dweight = products_sums(weight_count), .dbias = products_sums(channels)};
    list(&p);
    for (int64_t o = 0; o < op.y_count; o++) products_add(&p.dbias[o % channels], p.dy[o], 1);
    return p;
}

static inline void products_free(products *p) {
    free(p->x), free(p->weight), free(p->bias), free(p->dy), free(p->dweight_before), free(p->dbias_before);
    free(p->y), free(p->dx), free(p->dweight), free(p->dbias);
}

/* Is each element its sum, `before` (or nothing) included? At 0 products exactly. */
static inline bool products_agree(const void *got, nn_dtype dtype, int64_t count, const products_sum *sums,
                                  const double *before, int64_t before_period) {
    for (int64_t i = 0; i < count; i++) {
        products_sum sum = sums[i];
        if (before) products_add(&sum, before[i % before_period], 1);
        const double bound = 4 * (double)sum.terms * epsilon_of(dtype) * sum.magnitude;
        if (!(fabs(get(got, dtype, i) - sum.value) <= bound)) {
            fprintf(stderr, "    element %d is %.9g, expected %.9g within %.3g\n", (int)i, get(got, dtype, i),
                    sum.value, bound);
            return false;
        }
    }
    return true;
}

/* The arrays of one run. */
typedef struct products_run {
    void *y, *dx, *dweight, *dbias;
} products_run;

static inline void products_run_free(products_run *r) { free(r->y), free(r->dx), free(r->dweight), free(r->dbias); }

/* Which of backward's results are asked for, and from what. */
enum { PRODUCTS_DX = 1, PRODUCTS_DWEIGHT = 2, PRODUCTS_DBIAS = 4, PRODUCTS_ALL = 7, PRODUCTS_OVERWRITE = 8 };

/* Forward and backward of a planned op over buffers of exact size; what is added to starts as `before`. */
static inline products_run products_compute(const products *p, const nn_op *op, int what) {
    const nn_dtype dtype = op->dtype;
    const bool from_nan = what & PRODUCTS_OVERWRITE; /* what is overwritten may be anything */
    void *x = array_of(dtype, op->x_count, p->x), *weight = array_of(dtype, p->weight_count, p->weight);
    void *bias = array_of(dtype, op->channels, p->bias), *dy = array_of(dtype, op->y_count, p->dy);
    products_run run = {
        .y = array(dtype, op->y_count),
        .dx = array(dtype, op->x_count),
        .dweight = from_nan ? array(dtype, p->weight_count) : array_of(dtype, p->weight_count, p->dweight_before),
        .dbias = from_nan ? array(dtype, op->channels) : array_of(dtype, op->channels, p->dbias_before),
    };
    void *work = block(op->forward_bytes), *saved = block(op->saved_bytes);
    nn_io io = {.y = run.y, .x = x, .weight = weight, .bias = op->bias ? bias : NULL, .saved = saved, .work = work};
    CHECK_EQUAL(nn_op_forward(op, &io, NULL), NN_OK);
    free(work);
    work = block(op->backward_bytes);
    io = (nn_io){.x = op->needs & NN_NEEDS_X ? x : NULL, .y = op->needs & NN_NEEDS_Y ? run.y : NULL,
                 .weight = weight, .saved = saved, .work = work, .dy = dy, .overwrite = from_nan,
                 .dx = what & PRODUCTS_DX ? run.dx : NULL, .dweight = what & PRODUCTS_DWEIGHT ? run.dweight : NULL,
                 .dbias = what & PRODUCTS_DBIAS ? run.dbias : NULL};
    CHECK_EQUAL(nn_op_backward(op, &io, NULL), NN_OK);
    free(x), free(weight), free(bias), free(dy), free(work), free(saved);
    return run;
}

/* One run against the sums; what was not asked for is untouched. */
static inline bool products_right(const products *p, const nn_op *op, const products_run *r, int what) {
    const nn_dtype dtype = op->dtype;
    const bool from_nan = what & PRODUCTS_OVERWRITE;
    bool right = CHECK(products_agree(r->y, dtype, op->y_count, p->y, op->bias ? p->bias : NULL, op->channels));
    if (what & PRODUCTS_DX) right &= CHECK(products_agree(r->dx, dtype, op->x_count, p->dx, NULL, 1));
    else for (int64_t i = 0; i < op->x_count; i++) right &= CHECK(isnan(get(r->dx, dtype, i)));
    if (what & PRODUCTS_DWEIGHT)
        right &= CHECK(products_agree(r->dweight, dtype, p->weight_count, p->dweight,
                                      from_nan ? NULL : p->dweight_before, p->weight_count));
    else
        for (int64_t i = 0; i < p->weight_count; i++)
            right &= CHECK(get(r->dweight, dtype, i) == p->dweight_before[i]);
    if (what & PRODUCTS_DBIAS)
        right &= CHECK(products_agree(r->dbias, dtype, op->channels, p->dbias, from_nan ? NULL : p->dbias_before,
                                      op->channels));
    else
        for (int64_t i = 0; i < op->channels; i++) right &= CHECK(get(r->dbias, dtype, i) == p->dbias_before[i]);
    return right;
}

/* Everything about one operation in one dtype on the chosen kernels; false where something was wrong. */
static inline bool products_check(const products *p, nn_dtype dtype) {
    nn_op op = p->op;
    op.dtype = dtype;
    if (!CHECK(nn_op_plan(&op, NULL) == NN_OK)) return false;
    const int64_t bytes = nn_dtype_bytes(dtype);
    use_threads(1);
    products_run one = products_compute(p, &op, PRODUCTS_ALL);
    bool right = products_right(p, &op, &one, PRODUCTS_ALL);
    use_threads(2);
    products_run two = products_compute(p, &op, PRODUCTS_ALL);
    right &= CHECK(same_bytes(one.y, two.y, op.y_count * bytes));
    right &= CHECK(same_bytes(one.dx, two.dx, op.x_count * bytes));
    right &= CHECK(same_bytes(one.dweight, two.dweight, p->weight_count * bytes));
    right &= CHECK(same_bytes(one.dbias, two.dbias, op.channels * bytes));
    products_run_free(&one), products_run_free(&two);

    const int parts[] = {PRODUCTS_DX, PRODUCTS_DWEIGHT, PRODUCTS_DBIAS, PRODUCTS_DWEIGHT | PRODUCTS_DBIAS, 0,
                         PRODUCTS_DWEIGHT | PRODUCTS_DBIAS | PRODUCTS_OVERWRITE};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] - !op.overwrites; i++) {
        products_run part = products_compute(p, &op, parts[i]);
        right &= products_right(p, &op, &part, parts[i]);
        products_run_free(&part);
    }
    return right;
}

/* A workspace planned for a batch serves every smaller one: a step relies on it. */
static inline void products_check_smaller_batches(nn_op op) {
    nn_op whole = op;
    CHECK_EQUAL(nn_op_plan(&whole, NULL), NN_OK);
    for (int64_t n = 0; n < whole.x[0]; n++) {
        op.x[0] = n;
        CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
        CHECK(op.forward_bytes <= whole.forward_bytes && op.backward_bytes <= whole.backward_bytes);
        CHECK(op.saved_bytes <= whole.saved_bytes);
    }
}

#endif
