/*
 * scale: y = factor x + summand, elementwise; they are parameter[0] and [1].
 *
 * Backward: dx = factor dy.
 */
#include "arithmetic.h"
#include "elementwise.h"

static nn_status plan(nn_op *op, nn_error *error) {
    const nn_status status = nn_elementwise_plan(op, 2, 0, error);
    op->tells = false; /* its kernel is one of arithmetic */
    return status;
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_arithmetic_scale(op, io->y, io->x, op->parameter[0], op->parameter[1]);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (io->dx) nn_arithmetic_scale(op, io->dx, io->dy, op->parameter[0], 0);
    return NN_OK;
}

const nn_op_class nn_scale_class = {plan, forward, backward};
