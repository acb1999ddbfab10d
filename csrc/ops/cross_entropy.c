/*
 * cross_entropy: the mean over rows of -log softmax(x)[label], with weights of the classes and label smoothing.
 *
 * Saved: the probabilities, like x. Backward: dx = (probabilities - onehot) * factor / n.
 */
#include "cross_entropy.h"

NN_CROSS_ENTROPY_OP(cross_entropy, true)
