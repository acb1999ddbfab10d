/*
 * elu: y = x where x > 0, else alpha (exp(x) - 1), elementwise; alpha is parameter[0].
 */
#include "elementwise.h"

static nn_status plan(nn_op *op, nn_error *error) {
    /* A negative alpha makes y positive on both sides. */
    return nn_elementwise_plan(op, 15, op->parameter[0] >= 0 ? NN_NEEDS_Y : NN_NEEDS_X, error);
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    return nn_elementwise_forward(op, io, NN_KERNEL_elu_forward);
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    const bool from_y = op->needs & NN_NEEDS_Y;
    return nn_elementwise_backward(op, io, from_y ? NN_KERNEL_elu_backward : NN_KERNEL_elu_backward_input);
}

const nn_op_class nn_elu_class = {plan, forward, backward};
