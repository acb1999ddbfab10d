/*
 * step.c: a list of operations, planned once over one arena. run.c and epoch.c run it.
 */
#include "step.h"

#include <string.h>

#include "../ops/op.h"
#include "../runtime/runtime.h"

/* ---- building ---------------------------------------------------------------------------------------- */

/* Plans every node for n samples. Sizes are linear in n, so that fewer than the capacity always fit. */
nn_status nn_step_plan(nn_step *step, int64_t n, int64_t *node, nn_error *error) {
    step->planned = -1;
    for (int64_t i = 0; i < step->count; i++) {
        nn_op *op = &step->nodes[i].given.op;
        op->x[0] = n;
        nn_status status = nn_op_plan(op, error);
        if (status != NN_OK) {
            *node = i;
            return status;
        }
    }
    step->planned = n;
    return NN_OK;
}

/* Each value is read where it exists, with the shape it has; only the last node is a loss. */
static nn_status check_chain(const nn_step *step, int64_t *at, nn_error *error) {
    for (int64_t i = 0; i < step->count; i++) {
        const step_node *node = &step->nodes[i];
        const nn_op *op = &node->given.op;
        *at = i;
        if (node->given.input != i) /* a chain: every value has one reader, so gradients need no adding up */
            return nn_fail(error, NN_VALUE_ERROR, "input", -1, node->given.input, "equal to", i);
        if (node->loss && i != step->count - 1)
            return nn_fail(error, NN_VALUE_ERROR, "loss", -1, i, "the last node,", step->count - 1);
        if (node->loss && op->reduction == NN_NONE)
            return nn_fail(error, NN_VALUE_ERROR, "reduction", -1, op->reduction, "below", NN_NONE);
        if (node->given.input == 0) continue;
        const nn_op *source = &step->nodes[node->given.input - 1].given.op;
        if (source->dtype != op->dtype)
            return nn_fail(error, NN_TYPE_ERROR, "dtype", -1, op->dtype, "equal to", source->dtype);
        for (int axis = 0; axis < 4; axis++)
            if (op->x[axis] != source->y[axis])
                return nn_fail(error, NN_VALUE_ERROR, "x.shape", axis, op->x[axis], "equal to", source->y[axis]);
    }
    *at = -1;
    return NN_OK;
}

/* A node wants dx if anything before it learns; it takes part in backward if it or anything before it does. */
static void mark_trained(nn_step *step) {
    for (int64_t i = 0; i < step->count; i++) {
        step_node *node = &step->nodes[i];
        node->wants_dx = node->given.input > 0 && step->nodes[node->given.input - 1].trained;
        node->trained = node->wants_dx || node->given.dweight || node->given.dbias;
    }
    /* Backward begins at the end: of nodes that share a gradient the last one is its first writer. */
    for (int64_t i = 0; i < step->count; i++) {
        const nn_node *given = &step->nodes[i].given;
        bool first = true;
        for (int64_t j = i + 1; j < step->count; j++) {
            const nn_node *other = &step->nodes[j].given;
            if (given->dweight && other->dweight == given->dweight) first = false;
            if (given->dbias && other->dbias == given->dbias) first = false;
        }
        step->nodes[i].overwrite = first && given->op.overwrites;
    }
}

/* Byte b stands for b / 255, divided in the step's own type, as `x.astype(dtype) / 255` is. */
static void fill_scaled(nn_step *step) {
    void *scaled = nn_step_at(step, &step->scaled);
    for (int b = 0; b < 256; b++) {
        if (step->nodes[0].given.op.dtype == NN_FLOAT32) ((float *)scaled)[b] = (float)b / 255.0f;
        else ((double *)scaled)[b] = (double)b / 255.0;
    }
}

nn_status nn_step_create(nn_step **out, const nn_node *nodes, int64_t count, int64_t *node, nn_error *error) {
    *out = NULL;
    *node = -1;
    if (count < 1) return nn_fail(error, NN_VALUE_ERROR, "nodes", -1, count, "at least", 1);
    nn_step *step = nn_alloc(sizeof *step);
    if (!step) return nn_fail(error, NN_MEMORY_ERROR, "step", -1, sizeof *step, "at most", 0);
    *step = (nn_step){.count = count, .capacity = nodes[0].op.x[0], .planned = -1, .recorded = -1};
    step->nodes = nn_alloc(nn_size_mul(count, sizeof *step->nodes));
    nn_status status = NN_OK;
    if (!step->nodes) {
        status = nn_fail(error, NN_MEMORY_ERROR, "nodes", -1, count, "fewer than", count);
    } else {
        for (int64_t i = 0; i < count; i++)
            step->nodes[i] = (step_node){.given = nodes[i]};
        /* Kept with the nodes: another batch size plans them anew, into an arena made for this choice. */
        if (!nn_winograd_get())
            for (int64_t i = 0; i < count; i++) step->nodes[i].given.op.direct = true;
        status = nn_step_plan(step, step->capacity, node, error);
        for (int64_t i = 0; i < count; i++) step->nodes[i].loss = step->nodes[i].given.op.loss;
        step->last = count - 1 - (count > 1 && step->nodes[count - 1].loss);
        if (status == NN_OK) status = check_chain(step, node, error);
        if (status == NN_OK) {
            mark_trained(step);
            status = nn_step_layout(step, error);
        }
        if (status == NN_OK) {
            step->arena = nn_alloc(step->arena_bytes);
            if (!step->arena)
                status = nn_fail(error, NN_MEMORY_ERROR, "arena bytes", -1, step->arena_bytes, "below", INT64_MAX);
            else
                fill_scaled(step);
        }
    }
    if (status != NN_OK) {
        nn_step_destroy(step);
        return status;
    }
    *out = step;
    return NN_OK;
}

void nn_step_destroy(nn_step *step) {
    if (!step) return;
    nn_free(step->arena);
    nn_free(step->nodes);
    nn_free(step);
}

/* ---- looking ----------------------------------------------------------------------------------------- */

int64_t nn_step_bytes(const nn_step *step) { return step->arena_bytes; }

const void *nn_step_value(const nn_step *step, int64_t value) {
    return nn_step_at(step, &step->nodes[value - 1].y);
}

int64_t nn_step_recorded(const nn_step *step) { return step->recorded; }

void nn_step_forget(nn_step *step) { step->recorded = -1; }

void nn_step_threads(nn_step *step, int threads) { step->threads = threads; }

int64_t nn_step_capacity(const nn_step *step) { return step->capacity; }

const nn_op *nn_step_op(const nn_step *step, int64_t node) { return &step->nodes[node].given.op; }

void nn_step_places(const nn_step *step, int64_t node, nn_place *y, nn_place *dy, nn_place *saved) {
    *y = step->nodes[node].y;
    *dy = step->nodes[node].dy;
    *saved = step->nodes[node].saved;
}

void nn_step_common_places(const nn_step *step, nn_place *x, nn_place *target, nn_place *work) {
    *x = step->x;
    *target = step->target;
    *work = step->work;
}
