/*
 * softsign: y = x / (1 + |x|), elementwise.
 */
#include "elementwise.h"

NN_ELEMENTWISE_OP(softsign, 7, NN_NEEDS_X)
