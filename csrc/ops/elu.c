/*
 * elu: y = x where x > 0, else alpha (exp(x) - 1), elementwise; alpha is parameter[0].
 */
#include "elu.h"

static nn_elu_shape shape_of(const nn_op *op) { return (nn_elu_shape){1, op->parameter[0], 1}; }

NN_ELU_CLASS(elu, shape_of(op))
