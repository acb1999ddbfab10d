/*
 * hinge: max(0, margin - t x), t -1 or 1; margin is parameter[0].
 */
#include "loss.h"

NN_PAIR_LOSS_OP(hinge, hinge, 4, op->parameter[0])
