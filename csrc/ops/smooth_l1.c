/*
 * smooth_l1: with z = |x - t|: z^2 / (2 beta) below beta, z - beta / 2 from there up; beta, parameter[0], may be 0.
 */
#include "loss.h"

static double bend(const nn_op *op) { return op->parameter[0] > 0 ? 0.5 / op->parameter[0] : 0; }

NN_PAIR_LOSS_OP(smooth_l1, huber, 6, op->parameter[0], bend(op), 1, op->parameter[0] / 2)
