/*
 * exp, elementwise.
 */
#include "elementwise.h"

NN_ELEMENTWISE_OP(exp, 15, NN_NEEDS_Y)
