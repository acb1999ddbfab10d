/*
 * l1: |x - t|; the slope at 0 is 0.
 */
#include "loss.h"

NN_PAIR_LOSS_OP(l1, huber, 3, 0, 0, 1, 0)
