/*
 * gelu: y = x Phi(x), Phi the normal distribution, elementwise.
 */
#include "elementwise.h"

NN_ELEMENTWISE_OP(gelu, 35, NN_NEEDS_X)
