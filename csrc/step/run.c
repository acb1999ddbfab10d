/*
 * run.c: one batch through a step: forward, loss, backward, update.
 */
#include <string.h>

#include "../ops/op.h"
#include "../runtime/runtime.h"
#include "step.h"

/* ---- a node ------------------------------------------------------------------------------------------ */

/* The buffers of a node: the same for forward and backward, which take from them what they need. */
static nn_io buffers(const nn_step *step, int64_t i, const step_batch *batch) {
    const step_node *node = &step->nodes[i];
    const int64_t input = node->given.input;
    return (nn_io){
        .y = nn_step_at(step, &node->y),
        .x = input == 0 ? batch->x : nn_step_at(step, &step->nodes[input - 1].y),
        .weight = node->given.weight,
        .bias = node->given.bias,
        .target = batch->target,
        .saved = batch->saving ? nn_step_at(step, &node->saved) : NULL,
        .work = nn_step_at(step, &step->work),
        .buffers = {node->given.buffers[0], node->given.buffers[1]},
        .training = batch->saving,
        .call = node->call,
        .dx = input == 0 ? batch->dx : node->wants_dx || batch->dx ? nn_step_at(step, &step->nodes[input - 1].dy) : NULL,
        .dweight = batch->frozen ? NULL : node->given.dweight,
        .dbias = batch->frozen ? NULL : node->given.dbias,
        .dy = node->loss ? NULL : batch->dy && i == step->last ? batch->dy : nn_step_at(step, &node->dy),
        .overwrite = node->overwrite && !batch->adding,
    };
}

nn_status nn_step_forward_node(nn_step *step, int64_t i, const step_batch *batch, nn_error *error) {
    step_node *node = &step->nodes[i];
    const bool counts = batch->saving && node->given.calls && node->given.op.training && node->given.op.x[0] > 0;
    if (counts) node->call = *node->given.calls;
    const nn_io io = buffers(step, i, batch);
    const nn_status status = nn_op_forward(&node->given.op, &io, error);
    if (counts && status == NN_OK) *node->given.calls += 1;
    return status;
}

nn_status nn_step_backward_node(nn_step *step, int64_t i, const step_batch *batch, nn_error *error) {
    if (!batch->dx && (batch->frozen || !step->nodes[i].trained)) return NN_OK;
    const nn_io io = buffers(step, i, batch);
    return nn_op_backward(&step->nodes[i].given.op, &io, error);
}

/* ---- parts of a batch -------------------------------------------------------------------------------- */

nn_status nn_step_begin(nn_step *step, int64_t n, int64_t *node, nn_error *error) {
    *node = -1;
    if (n < 0) return nn_fail(error, NN_VALUE_ERROR, "batch", -1, n, "at least", 0);
    if (n > step->capacity) return nn_fail(error, NN_VALUE_ERROR, "batch", -1, n, "at most", step->capacity);
    step->recorded = -1;
    return n == step->planned ? NN_OK : nn_step_plan(step, n, node, error);
}

/* A copy, so that what was checked is what is read, whoever writes to the caller's array meanwhile. */
nn_status nn_step_take_target(nn_step *step, const void **target, int64_t n, int64_t *node, nn_error *error) {
    const nn_op *loss = &step->nodes[step->count - 1].given.op;
    if (!nn_step_reads_labels(loss->kind)) return NN_OK;
    int64_t *labels = nn_step_at(step, &step->target);
    if (n > 0 && *target != labels) memcpy(labels, *target, (size_t)n * sizeof *labels);
    *target = labels;
    *node = step->count - 1;
    return nn_labels_check(labels, n, loss->x[1], error);
}

static void clear_gradients(const nn_step *step, bool all) {
    for (int64_t i = 0; i < step->count; i++) {
        const nn_node *node = &step->nodes[i].given;
        if (step->nodes[i].overwrite && !all) continue;
        const size_t element = (size_t)nn_dtype_bytes(node->op.dtype);
        if (node->dweight) memset(node->dweight, 0, (size_t)node->op.weight_count * element);
        if (node->dbias) memset(node->dbias, 0, (size_t)node->op.bias_count * element);
    }
}

void nn_step_zero(const nn_step *step) { clear_gradients(step, false); }

void nn_step_clear(nn_step *step) { clear_gradients(step, true); }

nn_status nn_step_update(nn_update *const *updates, int64_t count, nn_error *error) {
    nn_status status = NN_OK;
    for (int64_t i = 0; i < count && status == NN_OK; i++) status = nn_update_run(updates[i], error);
    return status;
}

/* ---- a batch ----------------------------------------------------------------------------------------- */

static nn_status forward(nn_step *step, int64_t end, const step_batch *batch, int64_t *node, nn_error *error) {
    nn_status status = NN_OK;
    for (int64_t i = 0; i < end && status == NN_OK; i++) {
        *node = i;
        status = nn_step_forward_node(step, i, batch, error);
    }
    return status;
}

static nn_status backward(nn_step *step, int64_t from, const step_batch *batch, int64_t *node, nn_error *error) {
    nn_status status = NN_OK;
    for (int64_t i = from; i >= 0 && status == NN_OK; i--) {
        *node = i;
        status = nn_step_backward_node(step, i, batch, error);
    }
    return status;
}

static nn_status run(nn_step *step, nn_step_mode mode, const void *x, const void *target, int64_t n,
                     nn_update *const *updates, int64_t update_count, double *loss, int64_t *node, nn_error *error) {
    nn_status status = nn_step_begin(step, n, node, error);
    if (status != NN_OK) return status;
    const bool training = mode >= NN_STEP_GRADIENTS;
    if (mode != NN_STEP_PREDICT) {
        if (!step->nodes[step->count - 1].loss)
            return nn_fail(error, NN_RUNTIME_ERROR, "loss functions", -1, 0, "at least", 1);
        status = nn_step_take_target(step, &target, n, node, error);
    }
    const step_batch batch = {.x = x, .target = target, .saving = training};
    const int64_t end = mode == NN_STEP_PREDICT ? step->last + 1 : step->count;
    if (status == NN_OK) status = forward(step, end, &batch, node, error);
    if (status != NN_OK || mode == NN_STEP_PREDICT) return status;
    if (training) {
        nn_step_zero(step);
        status = backward(step, step->count - 1, &batch, node, error);
    }
    if (status == NN_OK && mode == NN_STEP_TRAIN) status = nn_step_update(updates, update_count, error);
    if (status == NN_OK) memcpy(loss, nn_step_value(step, step->count), sizeof *loss);
    return status;
}

nn_status nn_step_run(nn_step *step, nn_step_mode mode, const void *x, const void *target, int64_t n,
                      nn_update *const *updates, int64_t update_count, double *loss, int64_t *node,
                      nn_error *error) {
    const int limit = nn_threads_limit(step->threads);
    nn_status status = run(step, mode, x, target, n, updates, update_count, loss, node, error);
    nn_threads_limit(limit);
    return status;
}

/* ---- the two halves ---------------------------------------------------------------------------------- */

nn_status nn_step_forward(nn_step *step, const void *x, int64_t n, int64_t *node, nn_error *error) {
    nn_status status = nn_step_begin(step, n, node, error);
    if (status != NN_OK) return status;
    const nn_op *first = &step->nodes[0].given.op;
    const step_batch batch = {.x = nn_step_at(step, &step->x), .saving = true};
    if (batch.x && n > 0)
        memcpy(nn_step_at(step, &step->x), x, (size_t)(first->x_count * nn_dtype_bytes(first->dtype)));
    const int limit = nn_threads_limit(step->threads);
    status = forward(step, step->last + 1, &batch, node, error);
    nn_threads_limit(limit);
    if (status == NN_OK) step->recorded = n;
    return status;
}

nn_status nn_step_backward(nn_step *step, const void *dy, void *dx, bool parameters, int64_t *node, nn_error *error) {
    *node = -1;
    if (step->recorded < 0)
        return nn_fail(error, NN_RUNTIME_ERROR, "recorded forwards", -1, 0, "at least", 1);
    step->recorded = -1;
    const step_batch batch = {.x = nn_step_at(step, &step->x), .dy = dy, .dx = dx, .saving = true, .adding = true,
                              .frozen = !parameters};
    const int limit = nn_threads_limit(step->threads);
    nn_status status = backward(step, step->last, &batch, node, error);
    nn_threads_limit(limit);
    return status;
}
