/*
 * gelu_tanh: y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, elementwise.
 */
#include "elementwise.h"

NN_ELEMENTWISE_OP(gelu_tanh, 25, NN_NEEDS_X)
