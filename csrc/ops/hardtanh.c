/*
 * hardtanh: y = min(max(x, low), high), elementwise; the limits are the parameters.
 */
#include "elementwise.h"

static nn_status plan(nn_op *op, nn_error *error) { return nn_elementwise_plan(op, 2, NN_NEEDS_Y, error); }

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    return nn_elementwise_forward(op, io, NN_KERNEL_hardtanh_forward);
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    const double parameter[3] = {op->parameter[0], op->parameter[1], 1};
    return nn_elementwise_backward_given(op, io, NN_KERNEL_hardtanh_backward, parameter);
}

const nn_op_class nn_hardtanh_class = {plan, forward, backward};
