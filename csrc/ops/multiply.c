/*
 * multiply: y = x * other, elementwise; other may be broadcast (arithmetic.h).
 *
 * Backward: dx = dy * other; the gradient of other is dy * x, summed over what it was repeated for.
 */
#include "arithmetic.h"

static nn_status plan(nn_op *op, nn_error *error) {
    op->needs = NN_NEEDS_X;
    return nn_arithmetic_plan(op, error);
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_arithmetic_forward(op, io, NN_KERNEL_multiply, 1);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_io scaled = *io;
    scaled.y = io->dx, scaled.x = io->dy;
    if (io->dx) nn_arithmetic_forward(op, &scaled, NN_KERNEL_multiply, 1);
    nn_arithmetic_second(op, io, io->x, 1);
    return NN_OK;
}

const nn_op_class nn_multiply_class = {plan, forward, backward};
