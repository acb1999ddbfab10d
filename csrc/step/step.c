/*
 * step.c: a list of operations, planned once over one arena, run in one call.
 */
#include "step.h"

#include <string.h>

#include "../ops/op.h"
#include "../runtime/runtime.h"

bool nn_step_is_loss(nn_kind kind) { return kind == NN_OP_CROSS_ENTROPY || kind == NN_OP_MSE; }

/* ---- building ---------------------------------------------------------------------------------------- */

/* Plans every node for n samples. Sizes are linear in n, so that fewer than the capacity always fit. */
static nn_status plan_all(nn_step *step, int64_t n, int64_t *node, nn_error *error) {
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

nn_status nn_step_create(nn_step **out, const nn_node *nodes, int64_t count, int64_t *node, nn_error *error) {
    *out = NULL;
    *node = -1;
    if (count < 1) return nn_fail(error, NN_VALUE_ERROR, "nodes", -1, count, "at least", 1);
    nn_step *step = nn_alloc(sizeof *step);
    if (!step) return nn_fail(error, NN_MEMORY_ERROR, "step", -1, sizeof *step, "at most", 0);
    *step = (nn_step){.count = count, .capacity = nodes[0].op.x[0], .planned = -1};
    step->nodes = nn_alloc(nn_size_mul(count, sizeof *step->nodes));
    nn_status status = NN_OK;
    if (!step->nodes) {
        status = nn_fail(error, NN_MEMORY_ERROR, "nodes", -1, count, "fewer than", count);
    } else {
        for (int64_t i = 0; i < count; i++)
            step->nodes[i] = (step_node){.given = nodes[i], .loss = nn_step_is_loss(nodes[i].op.kind)};
        /* Kept with the nodes: another batch size plans them anew, into an arena made for this choice. */
        if (!nn_winograd_get())
            for (int64_t i = 0; i < count; i++) step->nodes[i].given.op.direct = true;
        status = plan_all(step, step->capacity, node, error);
        if (status == NN_OK) status = check_chain(step, node, error);
        if (status == NN_OK) {
            mark_trained(step);
            status = nn_step_layout(step, error);
        }
        if (status == NN_OK) {
            step->arena = nn_alloc(step->arena_bytes);
            if (!step->arena)
                status = nn_fail(error, NN_MEMORY_ERROR, "arena bytes", -1, step->arena_bytes, "below", INT64_MAX);
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

/* ---- running ----------------------------------------------------------------------------------------- */

static void *at(const nn_step *step, const nn_place *place) {
    return place->bytes ? step->arena + place->offset : NULL;
}

const void *nn_step_value(const nn_step *step, int64_t value) { return at(step, &step->nodes[value - 1].y); }

/* The buffers of a node: the same for forward and backward, which take from them what they need. */
static nn_io buffers(const nn_step *step, int64_t i, const void *x, const void *target) {
    const step_node *node = &step->nodes[i];
    const int64_t input = node->given.input;
    return (nn_io){
        .y = at(step, &node->y),
        .x = input == 0 ? x : at(step, &step->nodes[input - 1].y),
        .weight = node->given.weight,
        .bias = node->given.bias,
        .target = target,
        .work = at(step, &step->work),
        .dx = node->wants_dx ? at(step, &step->nodes[input - 1].dy) : NULL,
        .dweight = node->given.dweight,
        .dbias = node->given.dbias,
        .dy = node->loss ? NULL : at(step, &node->dy),
    };
}

static nn_status forward(nn_step *step, nn_step_mode mode, const void *x, const void *target, int64_t *node,
                         nn_error *error) {
    for (int64_t i = 0; i < step->count; i++) {
        if (step->nodes[i].loss && mode == NN_STEP_PREDICT) break;
        nn_io io = buffers(step, i, x, target);
        if (mode >= NN_STEP_GRADIENTS) io.saved = at(step, &step->nodes[i].saved);
        *node = i;
        nn_status status = nn_op_forward(&step->nodes[i].given.op, &io, error);
        if (status != NN_OK) return status;
    }
    return NN_OK;
}

/* Number of elements of a node's weight and bias. */
static int64_t weight_count(const nn_op *op) {
    return op->kind == NN_OP_LINEAR ? op->x[1] * op->channels
                                    : op->channels * (op->x[1] / op->groups) * op->window.kernel[0] * op->window.kernel[1];
}

static void clear_gradients(const nn_step *step) {
    for (int64_t i = 0; i < step->count; i++) {
        const nn_node *node = &step->nodes[i].given;
        if (step->nodes[i].overwrite) continue;
        const size_t element = (size_t)nn_dtype_bytes(node->op.dtype);
        if (node->dweight) memset(node->dweight, 0, (size_t)weight_count(&node->op) * element);
        if (node->dbias) memset(node->dbias, 0, (size_t)node->op.channels * element);
    }
}

static nn_status backward(nn_step *step, const void *x, const void *target, int64_t *node, nn_error *error) {
    for (int64_t i = step->count - 1; i >= 0; i--) {
        if (!step->nodes[i].trained) continue;
        nn_io io = buffers(step, i, x, target);
        io.saved = at(step, &step->nodes[i].saved);
        io.overwrite = step->nodes[i].overwrite;
        *node = i;
        nn_status status = nn_op_backward(&step->nodes[i].given.op, &io, error);
        if (status != NN_OK) return status;
    }
    return NN_OK;
}

nn_status nn_step_run(nn_step *step, nn_step_mode mode, const void *x, const void *target, int64_t n,
                      nn_update *const *updates, int64_t update_count, double *loss, int64_t *node,
                      nn_error *error) {
    *node = -1;
    if (n < 0) return nn_fail(error, NN_VALUE_ERROR, "batch", -1, n, "at least", 0);
    if (n > step->capacity) return nn_fail(error, NN_VALUE_ERROR, "batch", -1, n, "at most", step->capacity);
    if (mode != NN_STEP_PREDICT && !step->nodes[step->count - 1].loss)
        return nn_fail(error, NN_RUNTIME_ERROR, "loss functions", -1, 0, "at least", 1);
    nn_status status = NN_OK;
    if (n != step->planned) status = plan_all(step, n, node, error);
    if (status == NN_OK) status = forward(step, mode, x, target, node, error);
    if (status != NN_OK || mode == NN_STEP_PREDICT) return status;

    if (mode >= NN_STEP_GRADIENTS) {
        clear_gradients(step);
        status = backward(step, x, target, node, error);
    }
    if (mode == NN_STEP_TRAIN)
        for (int64_t i = 0; i < update_count && status == NN_OK; i++) status = nn_update_run(updates[i], error);
    if (status == NN_OK) memcpy(loss, nn_step_value(step, step->count), sizeof *loss);
    return status;
}

/* ---- looking ----------------------------------------------------------------------------------------- */

int64_t nn_step_bytes(const nn_step *step) { return step->arena_bytes; }

int64_t nn_step_capacity(const nn_step *step) { return step->capacity; }

const nn_op *nn_step_op(const nn_step *step, int64_t node) { return &step->nodes[node].given.op; }

void nn_step_places(const nn_step *step, int64_t node, nn_place *y, nn_place *dy, nn_place *saved) {
    *y = step->nodes[node].y;
    *dy = step->nodes[node].dy;
    *saved = step->nodes[node].saved;
}
