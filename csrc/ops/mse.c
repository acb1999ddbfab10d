/*
 * mse: (x - t)^2, its mean or sum; t is an array like x.
 */
#include "loss.h"

NN_PAIR_LOSS_OP(mse, mse, 3, 0)
