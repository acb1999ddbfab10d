/*
 * flatten: y (n, c * h * w) = x (n, c, h, w) in logical order, whatever the memory order of images is.
 *
 * Backward: dx (n, c, h, w) = dy (n, c * h * w).
 */
#include "op.h"

static nn_status plan(nn_op *op, nn_error *error) {
    op->y[0] = op->x[0];
    op->y[1] = nn_size_product(op->x + 1, 3);
    op->y[2] = op->y[3] = 1;
    op->x_count = op->y_count = nn_size_product(op->x, 4);
    if (op->x_count < 0 || op->y[1] < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    return NN_OK;
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_transpose(io->y, io->x, op->dtype, op->x[0], op->x[2] * op->x[3], op->x[1]);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (io->dx) nn_transpose(io->dx, io->dy, op->dtype, op->x[0], op->x[1], op->x[2] * op->x[3]);
    return NN_OK;
}

const nn_op_class nn_flatten_class = {plan, forward, backward};
