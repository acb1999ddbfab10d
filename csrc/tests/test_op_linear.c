/*
 * Linear against plain sums of products: every form of its kernels (dot products, swapped roles, packed panels;
 * gradients row by row and in tiles), sizes 0 and 1, odd ones, long rows; both dtypes, every instruction set, one
 * and two threads.
 */
#include "products.h"

/* y (n, out), x (n, in), weight (out, in) */
static void list_products(products *p) {
    const int64_t n = p->op.x[0], in = p->op.x[1], out = p->op.channels;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < out; j++)
            for (int64_t k = 0; k < in; k++) product(p, i * out + j, i * in + k, j * in + k);
}

static nn_op linear(int64_t n, int64_t in, int64_t out, bool bias) {
    return (nn_op){.kind = NN_OP_LINEAR, .dtype = NN_FLOAT32, .x = {n, in, 1, 1}, .channels = out, .groups = 1,
                   .bias = bias};
}

static void check_dtype(nn_dtype dtype, void *context) {
    const products *p = context;
    if (products_check(p, dtype)) return;
    fprintf(stderr, "    %s, dtype %d, n %d, in %d, out %d\n", nn_isa_name(nn_isa_active()), dtype, (int)p->op.x[0],
            (int)p->op.x[1], (int)p->op.channels);
}

static void check_shape(int64_t n, int64_t in, int64_t out) {
    nn_op op = linear(n, in, out, (n + in + out) % 3 != 0);
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    CHECK(op.y[0] == n && op.y[1] == out && op.y[2] == 1 && op.y[3] == 1 && op.flops == 2 * n * in * out);
    products p = products_make(op, in * out, list_products);
    for_each_kernel_set(check_dtype, &p);
    products_free(&p);
}

static void check_shapes(void) {
    /* Up to 4 samples: dot products; up to 2, in float64 8: gradients row by row; from 16 on (with 128 inputs) swapped
       roles. */
    static const int64_t n[] = {0, 1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 33, 64, 67};
    static const int64_t in[] = {0, 1, 2, 7, 8, 9, 16, 31, 33, 64, 127, 128, 131};
    static const int64_t out[] = {1, 0, 3, 4, 5, 6, 7, 13, 16, 17, 33, 50, 97};
    enum { NS = sizeof n / sizeof n[0], INS = sizeof in / sizeof in[0], OUTS = sizeof out / sizeof out[0] };
    for (int i = 0; i < NS; i++)
        for (int j = 0; j < INS; j++) check_shape(n[i], in[j], out[(3 * i + 5 * j) % OUTS]);
    for (int i = 0; i < NS; i++)
        for (int k = 0; k < OUTS; k++) check_shape(n[i], in[(4 * i + 3 * k) % INS], out[k]);
    /* Sums longer than a packed panel (256 rows) and than a block of samples (256); many pieces. */
    check_shape(1, 1031, 9);
    check_shape(2, 517, 3);
    check_shape(6, 523, 6);
    check_shape(7, 300, 197);
    for (int64_t few = 0; few < 3; few++) check_shape(few, 300, 197); /* weights beyond the first-level cache */
    check_shape(16, 300, 13); /* swapped at its smallest, */
    check_shape(27, 300, 13);
    check_shape(28, 300, 13); /* and just not; */
    check_shape(28, 300, 12); /* dot products of long rows */
    check_shape(9, 1024, 17); /* rows of x, of dy a page apart */
    check_shape(41, 40, 1024);
    check_shape(20, 261, 113);
    check_shape(5, 97, 301);
    check_shape(261, 19, 7);
    check_shape(131, 131, 53);
    /* Heights that are two tiles or three; behind whole panels some columns of the half of a vector, or more of it. */
    static const int64_t behind[] = {34, 37, 41, 44, 47};
    for (int64_t rows = 3; rows < 26; rows++) check_shape(rows, behind[rows % 5], 28 - rows);
}

static void check_plans(void) {
    nn_error error = {0};
    nn_op op = linear(3, 4, -1, true);
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_VALUE_ERROR);
    CHECK(error.arg && strcmp(error.arg, "out_features") == 0 && error.got == -1 && error.expected == 0);
    op = linear(3, -4, 1, true);
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_VALUE_ERROR);
    CHECK(error.index == 1 && error.got == -4);
    const int64_t much = INT64_C(1) << 40;
    op = linear(much, much, 1, true);
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_MEMORY_ERROR);
    op = linear(much, 1, much, true);
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_MEMORY_ERROR);
    op = linear(1, much, much, true);
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_MEMORY_ERROR);
    op = linear(INT64_C(1) << 21, INT64_C(1) << 21, INT64_C(1) << 21, true);
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_MEMORY_ERROR); /* its flops do not fit */

    products_check_smaller_batches(linear(300, 200, 20, true));
    products_check_smaller_batches(linear(300, 200, 500, true));
    products_check_smaller_batches(linear(70, 128, 1, true));
}

int main(void) {
    check_start();
    check_plans();
    check_shapes();
    CHECK(nn_threads_pieces_by_workers() > 0);
    return check_report();
}
