/*
 * log_softmax: y = x - log of the sum of exp(x) over the classes. Backward: dx = dy - exp(y) times the sum of dy.
 */
#include "softmax.h"

NN_SOFTMAX_OP(log_softmax, true)
