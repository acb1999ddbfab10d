/*
 * fuse.c: the update in the epilogue of a weight's gradient.
 *
 * Where nobody needs the gradient of a large weight, the optimiser's rule takes each part of it as soon as it is
 * there, from the cache: one pass over the weight instead of one over the gradient and another over both. The rule
 * rounds as the separate pass would, so the bits are the same.
 */
#include <string.h>

#include "../ops/op.h"
#include "../runtime/runtime.h"
#include "step.h"

static bool is_allowed(const nn_step *step, nn_update *const *updates, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (nn_update_needs_all(updates[i]) || !updates[i]->clear_grad || updates[i]->dtype != nn_step_dtype(step))
            return false;
    return step->planned > 0 && step->brief;
}

/* The number of the tensor that a node's weight is, counted through all updates: -1 if none may be taken. */
static int64_t find(step_node *asking, nn_update *const *updates, int64_t count, nn_taken *taken) {
    const nn_node *node = &asking->given;
    for (int64_t i = 0, first = 0; i < count; first += updates[i++]->tensor_count)
        for (int64_t k = 0; k < updates[i]->tensor_count; k++) {
            const nn_tensor *tensor = &updates[i]->tensors[k];
            if (tensor->grad != node->dweight) continue;
            if (tensor->param != node->weight || tensor->count != node->op.weight_count || first + k >= NN_TAKEN) return -1;
            if (!nn_is_taken(taken, first + k)) nn_update_rule(&asking->rule, updates[i], tensor, taken);
            return first + k;
        }
    return -1;
}

/* Whether the batch itself lies in a node's weight: later backwards read it. */
static bool is_read(const nn_step *step, const step_batch *batch, const nn_node *node) {
    const int64_t bytes = node->op.weight_count * nn_dtype_bytes(node->op.dtype);
    for (int64_t v = 0; v < step->sources; v++)
        if (nn_step_overlap(batch->x[v], (int64_t)nn_step_value_bytes(step, v), node->weight, bytes)) return true;
    return false;
}

nn_status nn_step_fuse(nn_step *step, step_batch *batch, nn_update *const *updates, int64_t count, nn_error *error) {
    batch->fused = false;
    memset(step->taken.bits, 0, sizeof step->taken.bits);
    step->taken.of = NULL;
    if (!step->fusible || !is_allowed(step, updates, count)) return NN_OK;
    const nn_status status = nn_update_check(updates, count, error);
    if (status != NN_OK) return status;
    for (int64_t i = 0; i < step->count; i++) {
        step_node *node = &step->nodes[i];
        node->fused = false;
        const nn_op *op = &node->given.op;
        if (!node->fusible || !(op->finishes || op->descends) || is_read(step, batch, &node->given)) continue;
        const int64_t at = find(node, updates, count, &step->taken);
        if (at < 0 || nn_is_taken(&step->taken, at)) continue;
        if (!op->finishes && !(node->rule.finish.plain && step->unseen)) continue;
        step->taken.bits[at / 64] |= UINT64_C(1) << at % 64;
        node->rule.finish.aside = step->unseen && node->zero;
        batch->fused = node->fused = true;
    }
    return NN_OK;
}

void nn_step_unseen(nn_step *step, bool unseen) {
    step->unseen = unseen;
    for (int64_t i = 0; i < step->count; i++) step->nodes[i].zero = false;
}

bool nn_step_fusible(const nn_step *step, int64_t node, bool plain) {
    const nn_op *op = &step->nodes[node].given.op;
    return step->nodes[node].fusible && (op->finishes || (plain && op->descends)) && step->brief;
}
