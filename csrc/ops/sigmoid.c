/*
 * sigmoid: y = 1 / (1 + exp(-x)), elementwise.
 */
#include "elementwise.h"

NN_ELEMENTWISE_OP(sigmoid, 20, NN_NEEDS_Y)
