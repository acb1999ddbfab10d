/*
 * hardsigmoid: y = min(max(x + 3, 0), 6) / 6, elementwise.
 */
#include "elementwise.h"

/* From x: near the kinks x + 3 is rounded, and y no longer says on which side x lies. */
static nn_status plan(nn_op *op, nn_error *error) { return nn_elementwise_plan(op, 4, NN_NEEDS_X, error); }

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    return nn_elementwise_forward(op, io, NN_KERNEL_hardsigmoid_forward);
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    static const double parameter[3] = {-3, 3, 1 / 6.};
    return nn_elementwise_backward_given(op, io, NN_KERNEL_hardtanh_backward, parameter);
}

const nn_op_class nn_hardsigmoid_class = {plan, forward, backward};
