/*
 * bce: -(t log x + (1 - t) log(1 - x)), the logarithms held at -100 as in PyTorch.
 */
#include "loss.h"

NN_PAIR_LOSS_OP(bce, bce, 70, 0)
