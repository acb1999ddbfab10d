/*
 * PReLU against its formula in double: one weight and one a channel, rows and images, over exact buffers; the weights'
 * gradients added to what is there; both dtypes, every instruction set, one and two threads.
 */
#include "buffers.h"

static void check_prelu(nn_dtype dtype, int64_t n, int64_t channels, int64_t pixels, bool one) {
    nn_op op = {.kind = NN_OP_PRELU, .dtype = dtype, .x = {n, channels, pixels, 1}, .channels = one ? 1 : channels};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    const int64_t count = n * channels * pixels, bytes = count * nn_dtype_bytes(dtype), weights = op.channels;
    CHECK(op.weight_count == weights && op.x_count == count && op.needs == NN_NEEDS_X);
    double *a = noises(count), *b = noises(count), *c = noises(weights), *sums = noises(weights), *sizes = noises(weights);
    void *x = array_of(dtype, count, a), *dy = array_of(dtype, count, b), *w = array_of(dtype, weights, c);
    void *y[2], *dx[2], *dw[2];
    for (int64_t j = 0; j < weights; j++) sizes[j] = fabs(sums[j]);
    for (int threads = 1; threads <= 2; threads++) {
        const int i = threads - 1;
        void *work = block(op.backward_bytes);
        y[i] = array(dtype, count), dx[i] = array(dtype, count), dw[i] = array_of(dtype, weights, sums);
        use_threads(threads);
        CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = y[i], .x = x, .weight = w}, NULL), NN_OK);
        nn_io io = {.dx = dx[i], .dy = dy, .x = x, .weight = w, .dweight = dw[i], .work = work};
        CHECK_EQUAL(nn_op_backward(&op, &io, NULL), NN_OK);
        io.dx = NULL, io.dweight = NULL;
        CHECK_EQUAL(nn_op_backward(&op, &io, NULL), NN_OK); /* nothing asked for */
        free(work);
    }
    CHECK(same_bytes(y[0], y[1], bytes) && same_bytes(dx[0], dx[1], bytes));
    CHECK(same_bytes(dw[0], dw[1], weights * nn_dtype_bytes(dtype)));
    const double eps = epsilon_of(dtype);
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = one ? 0 : i % channels;
        const double slope = a[i] > 0 ? 1 : c[at];
        CHECK(fabs(get(y[0], dtype, i) - slope * a[i]) <= eps * fabs(a[i]));
        CHECK(fabs(get(dx[0], dtype, i) - slope * b[i]) <= eps * fabs(b[i]));
        if (a[i] > 0) continue;
        sums[at] += a[i] * b[i], sizes[at] += fabs(a[i] * b[i]);
    }
    for (int64_t j = 0; j < weights; j++) CHECK(fabs(get(dw[0], dtype, j) - sums[j]) <= 300 * eps * sizes[j]);
    free(a), free(b), free(c), free(sums), free(sizes), free(x), free(dy), free(w);
    for (int i = 0; i < 2; i++) free(y[i]), free(dx[i]), free(dw[i]);
}

static void check_all(nn_dtype dtype, void *unused) {
    (void)unused;
    static const int64_t channels[] = {1, 2, 3, 7, 8, 9, 16, 17, 33, 100};
    for (int c = 0; c < 10; c++)
        for (int one = 0; one < 2; one++) {
            check_prelu(dtype, 5, channels[c], 7, one);
            check_prelu(dtype, 1, channels[c], 1, one);
            check_prelu(dtype, 0, channels[c], 2, one);
            check_prelu(dtype, 300, channels[c], 3, one); /* several pieces */
        }
}

int main(void) {
    check_start();
    for_each_kernel_set(check_all, NULL);
    CHECK(nn_threads_pieces_by_workers() > 0);
    nn_error error = {0};
    nn_op op = {.kind = NN_OP_PRELU, .dtype = NN_FLOAT32, .x = {3, 4, 1, 1}, .channels = 5};
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_VALUE_ERROR);
    op.channels = 0;
    CHECK_EQUAL(nn_op_plan(&op, &error), NN_VALUE_ERROR);
    return check_report();
}
