/*
 * tanh, elementwise.
 */
#include "elementwise.h"

NN_ELEMENTWISE_OP(tanh, 20, NN_NEEDS_Y)
