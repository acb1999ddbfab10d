/*
 * kl_div: t (log t - x), x log-probabilities, t probabilities.
 */
#include "loss.h"

NN_PAIR_LOSS_OP(kl_div, kl_div, 30, 0)
