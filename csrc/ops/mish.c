/*
 * mish: y = x tanh(log(1 + exp(x))), elementwise.
 */
#include "elementwise.h"

NN_ELEMENTWISE_OP(mish, 30, NN_NEEDS_X)
