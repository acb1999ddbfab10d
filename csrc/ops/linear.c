/*
 * linear: y (n, out) = x (n, in) weight^T (in, out) + bias (out).
 *
 * Backward, dy (n, out): dx = dy weight; dweight += dy^T x; dbias += column sums of dy.
 */
#include "../kernels/linear.h"

#include "../runtime/runtime.h"
#include "op.h"

static nn_status plan(nn_op *op, nn_error *error) {
    if (op->channels < 0)
        return nn_fail(error, NN_VALUE_ERROR, "out_features", -1, op->channels, "at least", 0);
    const int64_t n = op->x[0], in = op->x[1], out = op->channels;
    op->y[0] = n, op->y[1] = out, op->y[2] = op->y[3] = 1;
    op->x_count = nn_size_mul(n, in);
    op->y_count = nn_size_mul(n, out);
    const int64_t weight_bytes = nn_size_mul(nn_size_mul(in, out), 8);
    const int64_t flops = nn_size_mul(nn_size_mul(op->x_count, out), 2);
    if (op->x_count < 0 || op->y_count < 0 || weight_bytes < 0 || flops < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, n, "small enough to count in", INT64_MAX);
    op->flops = flops;
    op->needs = NN_NEEDS_X;
    return NN_OK;
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_linear_args args = {.y = io->y, .x = io->x, .weight = io->weight, .bias = io->bias,
                           .n = op->x[0], .in = op->x[1], .out = op->channels};
    nn_parallel(nn_kernel(NN_KERNEL_linear_forward, op->dtype), &args, args.out, NN_LINEAR_PIECE, op->flops);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_linear_args args = {.dx = io->dx, .dweight = io->dweight, .dbias = io->dbias, .x = io->x,
                           .weight = io->weight, .dy = io->dy,
                           .n = op->x[0], .in = op->x[1], .out = op->channels};
    if (io->dweight || io->dbias)
        nn_parallel(nn_kernel(NN_KERNEL_linear_backward_weight, op->dtype), &args, args.out, NN_LINEAR_PIECE,
                    op->flops);
    if (io->dx)
        nn_parallel(nn_kernel(NN_KERNEL_linear_backward_data, op->dtype), &args, args.in, NN_LINEAR_PIECE,
                    op->flops);
    return NN_OK;
}

const nn_op_class nn_linear_class = {plan, forward, backward};
