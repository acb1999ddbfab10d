/*
 * update.h: the optimisers' rules for a step that lets them have each part of a gradient as soon as it is there.
 */
#ifndef NN_OPS_UPDATE_H
#define NN_OPS_UPDATE_H

#include "../kernels/kernel.h"
#include "../kernels/update.h"
#include "op.h"

/* One tensor's update, part by part. */
typedef struct nn_rule {
    nn_finish finish; /* first: it is what an operation knows of the rule */
    nn_kernel_fn *kernel;
    nn_update_args args;
    nn_update_tensor tensor;
    int64_t element; /* bytes */
} nn_rule;

/* Whether all gradients must be there before the first one is used: for their norm, or to be looked at. */
bool nn_update_needs_all(const nn_update *update);

/* Tensors, counted through all updates, that have been updated by rules: a bit each, those beyond never. */
enum { NN_TAKEN = 1024 };
typedef struct nn_taken {
    uint64_t bits[NN_TAKEN / 64];
    const nn_update *of; /* the update that the numbers are of, or NULL */
    nn_update_args numbers;
} nn_taken;

void nn_update_rule(nn_rule *rule, const nn_update *update, const nn_tensor *tensor, nn_taken *taken);

static inline bool nn_is_taken(const nn_taken *taken, int64_t tensor) {
    return tensor < NN_TAKEN && taken->bits[tensor / 64] >> tensor % 64 & 1;
}

/* The two halves of nn_update_run: what may be wrong, and the rest of the tensors. */
nn_status nn_update_check(nn_update *const *updates, int64_t count, nn_error *error);
void nn_update_rest(nn_update *const *updates, int64_t count, nn_taken *taken);

#endif
