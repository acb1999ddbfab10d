/*
 * run.c: one batch through a step: forward, loss, backward, update.
 */
#include <math.h>
#include <string.h>

#include "../kernels/arithmetic.h"
#include "../ops/op.h"
#include "../runtime/runtime.h"
#include "step.h"

/* ---- a node ------------------------------------------------------------------------------------------ */

/* Whether the gradient of a value is asked for. */
static bool wanted(const step_value *value, const step_batch *batch) { return batch->dx || value->trained; }

/* A node's buffers in this run: the same for forward and backward, which take from them what they need. */
static nn_io *buffers(nn_step *step, step_node *node, const step_batch *batch) {
    nn_io *io = &node->io;
    io->target = batch->target;
    io->saved = batch->training ? nn_step_at(step, &node->saved) : NULL;
    io->training = batch->training;
    if (node->reads_source)
        for (int j = 0; j < nn_step_inputs(node); j++) {
            const int64_t v = node->given.inputs[j];
            if (v < step->sources) *(j ? &io->more[j - 1] : &io->x) = batch->x[v];
        }
    return io;
}

nn_status nn_step_forward_node(nn_step *step, int64_t i, const step_batch *batch, nn_error *error) {
    step_node *node = &step->nodes[i];
    if (node->merged || node->followed[0] >= 0) return NN_OK;
    nn_io *io = buffers(step, node, batch);
    const bool counts = batch->training && node->given.calls && node->given.op.training && node->given.op.x[0] > 0;
    if (counts) io->call = *node->given.calls;
    nn_status status = nn_op_forward(&node->given.op, io, error);
    if (counts && status == NN_OK) *node->given.calls += 1;
    return status;
}

/* dst += src, both gradients of a value */
static void add(const nn_step *step, void *dst, const void *src, int64_t value) {
    const int64_t count = step->planned * nn_step_row(step->values[value].shape);
    nn_arithmetic_args args = {.z = dst, .x = dst, .y = src, .factor = 1, .repeat = 1, .width = count};
    nn_parallel(nn_kernel(NN_KERNEL_add, nn_step_dtype(step)), &args, count, NN_ARITHMETIC_PIECE,
                3 * count * nn_dtype_bytes(nn_step_dtype(step)));
}

nn_status nn_step_backward_node(nn_step *step, int64_t i, const step_batch *batch, nn_error *error) {
    step_node *node = &step->nodes[i];
    const step_value *y = &step->values[step->sources + i];
    if (node->followed[1] >= 0 || (batch->dx ? !y->live : batch->frozen || !node->trained)) return NN_OK;
    nn_io *io = buffers(step, node, batch);
    io->dweight = batch->frozen ? NULL : node->given.dweight;
    io->dbias = batch->frozen ? NULL : node->given.dbias;
    io->overwrite = node->overwrite && !batch->adding;
    if (!node->loss) {
        const void *given = y->output >= 0 && batch->dy ? batch->dy[y->output] : NULL;
        io->dy = given && !y->seeded ? given : nn_step_at(step, &y->dy);
    }
    const int inputs = nn_step_inputs(node);
    void *sum[NN_INPUTS_MAX];
    for (int j = 0; j < inputs; j++) {
        const int64_t v = node->given.inputs[j];
        const step_value *x = &step->values[v];
        sum[j] = v < step->sources ? (batch->dx ? batch->dx[v] : NULL)
                                   : wanted(x, batch) ? nn_step_at(step, &x->dy) : NULL;
        *(j ? &io->dmore[j - 1] : &io->dx) = sum[j] && node->added[j] ? nn_step_at(step, &node->aside[j]) : sum[j];
    }
    const bool fused = batch->fused && node->fused;
    io->finish = fused ? &node->rule.finish : NULL;
    nn_status status = nn_op_backward(&node->given.op, io, error);
    if (io->dweight) node->zero = fused;
    for (int j = 0; j < inputs && status == NN_OK; j++)
        if (sum[j] && node->added[j])
            add(step, sum[j], j ? io->dmore[j - 1] : io->dx, node->given.inputs[j]);
    return status;
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
nn_status nn_step_take_target(nn_step *step, const void **target, int64_t *node, nn_error *error) {
    const nn_op *loss = &step->nodes[step->count - 1].given.op;
    if (!loss->reads_labels) return NN_OK;
    int64_t *labels = nn_step_at(step, &step->target);
    if (loss->target_count > 0 && *target != labels)
        memcpy(labels, *target, (size_t)loss->target_count * sizeof *labels);
    *target = labels;
    *node = step->count - 1;
    return nn_labels_check(loss, labels, error);
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

void nn_step_give_up(nn_step *step) {
    nn_step_end(step, false);
    clear_gradients(step, true);
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

nn_status nn_step_update(nn_step *step, const step_batch *batch, nn_update *const *updates, int64_t count,
                         nn_error *error) {
    if (!batch->fused) return nn_update_run(updates, count, error);
    nn_update_rest(updates, count, &step->taken);
    return NN_OK;
}

static nn_status run_batch(nn_step *step, nn_step_mode mode, const void *const *x, const void *target, int64_t n,
                           nn_update *const *updates, int64_t update_count, double *loss, bool *given_up,
                           int64_t *node, nn_error *error) {
    nn_status status = nn_step_begin(step, n, node, error);
    if (status != NN_OK) return status;
    const bool training = mode >= NN_STEP_GRADIENTS;
    if (mode != NN_STEP_PREDICT) {
        if (!nn_step_has_loss(step)) return nn_fail(error, NN_RUNTIME_ERROR, "loss functions", -1, 0, "at least", 1);
        status = nn_step_take_target(step, &target, node, error);
    }
    if (status == NN_OK) status = nn_step_take_indices(step, &x, node, error);
    if (status != NN_OK) return status;
    if (training) nn_step_keep(step);
    step_batch batch = {.x = x, .target = target, .training = training};
    const int64_t end = mode == NN_STEP_PREDICT ? step->forwards : step->count;
    status = forward(step, end, &batch, node, error);
    if (status != NN_OK || mode == NN_STEP_PREDICT) return status;
    memcpy(loss, nn_step_value(step, step->sources + step->count - 1), sizeof *loss);
    *given_up = mode == NN_STEP_TRAIN_FINITE && !isfinite(*loss);
    if (*given_up) return NN_OK;
    const bool updating = mode >= NN_STEP_TRAIN;
    if (updating) status = nn_step_fuse(step, &batch, updates, update_count, error);
    if (training && status == NN_OK) {
        nn_step_zero(step);
        status = backward(step, step->count - 1, &batch, node, error);
    }
    if (status == NN_OK && updating) status = nn_step_update(step, &batch, updates, update_count, error);
    return status;
}

nn_status nn_step_run(nn_step *step, nn_step_mode mode, const void *const *x, const void *target, int64_t n,
                      nn_update *const *updates, int64_t update_count, double *loss, int64_t *node,
                      nn_error *error) {
    const int limit = step->threads ? nn_threads_limit(step->threads) : 0; /* not for nothing: it takes a call or two */
    bool given_up = false;
    nn_status status = run_batch(step, mode, x, target, n, updates, update_count, loss, &given_up, node, error);
    if (step->threads) nn_threads_limit(limit);
    nn_step_end(step, status == NN_OK && !given_up);
    return status;
}

/* ---- the two halves ---------------------------------------------------------------------------------- */

/* The copies of the sources, which backward may read. */
static const void *const *kept_sources(nn_step *step) {
    for (int64_t v = 0; v < step->sources; v++) step->x[v] = nn_step_at(step, &step->values[v].y);
    return step->x;
}

nn_status nn_step_forward(nn_step *step, const void *const *x, int64_t n, int64_t *node, nn_error *error) {
    nn_status status = nn_step_begin(step, n, node, error);
    if (status != NN_OK) return status;
    const step_batch batch = {.x = kept_sources(step), .training = true};
    for (int64_t v = 0; v < step->sources; v++) {
        const size_t bytes = nn_step_value_bytes(step, v);
        if (bytes) memcpy(nn_step_at(step, &step->values[v].y), x[v], bytes);
    }
    status = nn_step_check_indices(step, node, error);
    if (status != NN_OK) return status;
    nn_step_keep(step);
    const int limit = nn_threads_limit(step->threads);
    status = forward(step, step->forwards, &batch, node, error);
    nn_threads_limit(limit);
    nn_step_end(step, status == NN_OK);
    if (status == NN_OK) step->recorded = n;
    return status;
}

/* What no node's backward writes: gradients that begin as the caller's, and those that nobody adds to. */
static void begin_gradients(const nn_step *step, const step_batch *batch) {
    for (int64_t k = 0; k < step->output_count; k++) {
        const int64_t v = step->outputs[k];
        const step_value *value = &step->values[v];
        const size_t bytes = value->seeded && wanted(value, batch) ? nn_step_value_bytes(step, v) : 0;
        if (bytes) memcpy(nn_step_at(step, &value->dy), batch->dy[k], bytes);
    }
    for (int64_t v = 0; batch->dx && v < step->sources; v++)
        if (!step->values[v].read && !step->values[v].indices && batch->dx[v])
            memset(batch->dx[v], 0, nn_step_value_bytes(step, v));
}

nn_status nn_step_backward(nn_step *step, const void *const *dy, void *const *dx, bool parameters, int64_t *node,
                           nn_error *error) {
    *node = -1;
    if (step->recorded < 0)
        return nn_fail(error, NN_RUNTIME_ERROR, "recorded forwards", -1, 0, "at least", 1);
    step->recorded = -1;
    const step_batch batch = {.x = kept_sources(step), .dy = dy, .dx = dx, .training = true, .adding = true,
                              .frozen = !parameters};
    begin_gradients(step, &batch);
    const int limit = nn_threads_limit(step->threads);
    nn_status status = backward(step, step->forwards - 1, &batch, node, error);
    nn_threads_limit(limit);
    return status;
}
