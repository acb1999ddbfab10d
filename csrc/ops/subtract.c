/*
 * subtract: y = x - other, elementwise; other may be broadcast (arithmetic.h).
 *
 * Backward: dx = dy; the gradient of other is -dy, summed over what it was repeated for.
 */
#include "arithmetic.h"

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_arithmetic_forward(op, io, NN_KERNEL_add, -1);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (io->dx) nn_arithmetic_scale(op, io->dx, io->dy, 1, 0);
    nn_arithmetic_second(op, io, NULL, -1);
    return NN_OK;
}

const nn_op_class nn_subtract_class = {nn_arithmetic_plan, forward, backward};
