/*
 * nll: the mean over rows of -x[label], x log-probabilities, with weights of the classes.
 *
 * Backward: dx = -weight * factor / the weights of all labels, at the label.
 */
#include "loss.h"

static nn_status plan(nn_op *op, nn_error *error) { return nn_label_loss_plan(op, true, 1, error); }

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    return nn_label_loss_forward(op, io, NN_KERNEL_nll_forward, error);
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    return nn_label_loss_backward(op, io, NN_KERNEL_nll_backward, error);
}

const nn_op_class nn_nll_class = {plan, forward, backward};
