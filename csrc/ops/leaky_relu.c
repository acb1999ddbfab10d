/*
 * leaky_relu: y = x where x > 0, else slope x, elementwise; the slope is parameter[0].
 */
#include "elementwise.h"

static nn_status plan(nn_op *op, nn_error *error) {
    /* A negative slope makes y positive on both sides. */
    return nn_elementwise_plan(op, 1, op->parameter[0] >= 0 ? NN_NEEDS_Y : NN_NEEDS_X, error);
}

NN_ELEMENTWISE_CLASS(leaky_relu)
