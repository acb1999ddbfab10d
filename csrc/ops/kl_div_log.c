/*
 * kl_div_log: exp(t) (t - x), x and t log-probabilities.
 */
#include "loss.h"

NN_PAIR_LOSS_OP(kl_div_log, kl_div_log, 20, 0)
