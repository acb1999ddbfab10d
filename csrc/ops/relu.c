/*
 * relu: y = max(x, 0), elementwise.
 */
#include "elementwise.h"

NN_ELEMENTWISE_OP(relu, 1, NN_NEEDS_Y)
