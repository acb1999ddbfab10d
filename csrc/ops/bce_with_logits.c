/*
 * bce_with_logits: -(p t log s + (1 - t) log(1 - s)), s = sigmoid(x); p: the weights in place of the bias.
 */
#include "loss.h"

NN_PAIR_LOSS_OP(bce_with_logits, bce_with_logits, 40, 0)
