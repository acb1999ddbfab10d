/*
 * hardswish: y = x min(max(x + 3, 0), 6) / 6, elementwise.
 */
#include "elementwise.h"

NN_ELEMENTWISE_OP(hardswish, 5, NN_NEEDS_X)
