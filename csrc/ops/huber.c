/*
 * huber: with z = |x - t|: z^2 / 2 below delta, delta (z - delta / 2) from there up; delta is parameter[0].
 */
#include "loss.h"

NN_PAIR_LOSS_OP(huber, huber, 6, op->parameter[0], 0.5, op->parameter[0], op->parameter[0] * op->parameter[0] / 2)
