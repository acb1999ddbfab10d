/*
 * softmax: y = exp(x) / the sum of exp(x) over the classes. Backward: dx = y (dy - the sum of dy y).
 */
#include "softmax.h"

NN_SOFTMAX_OP(softmax, false)
