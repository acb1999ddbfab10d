/*
 * soft_cross_entropy: cross-entropy with a target of probabilities, an array like x, in place of labels.
 */
#include "cross_entropy.h"

NN_CROSS_ENTROPY_OP(soft_cross_entropy, false)
