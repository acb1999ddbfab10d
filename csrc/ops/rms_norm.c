/* rms_norm: y = x / sqrt(mean x^2 + eps) weight, each row by itself: layer_norm without a mean, and without a bias. */
#include "layer_norm.h"

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    return nn_layer_norm_forward(op, io, false);
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    return nn_layer_norm_backward(op, io, false);
}

const nn_op_class nn_rms_norm_class = {nn_layer_norm_plan, forward, backward};
