/*
 * log, the natural logarithm, elementwise.
 */
#include "elementwise.h"

NN_ELEMENTWISE_OP(log, 20, NN_NEEDS_X)
