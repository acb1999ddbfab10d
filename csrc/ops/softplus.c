/*
 * softplus: y = log(1 + exp(beta x)) / beta, or x where beta x > threshold, elementwise; beta and threshold are the
 * parameters.
 */
#include "elementwise.h"

static nn_status plan(nn_op *op, nn_error *error) {
    if (op->parameter[0] == 0) return nn_fail(error, NN_VALUE_ERROR, "beta", -1, 0, "other than", 0);
    return nn_elementwise_plan(op, 30, NN_NEEDS_X, error);
}

NN_ELEMENTWISE_CLASS(softplus)
