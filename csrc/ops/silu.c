/*
 * silu: y = x sigmoid(x), elementwise.
 */
#include "elementwise.h"

NN_ELEMENTWISE_OP(silu, 20, NN_NEEDS_X)
