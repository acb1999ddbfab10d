/*
 * graph.c: what the nodes of a step read: checked once, and what follows from it.
 */
#include "../ops/op.h"
#include "step.h"

static const int64_t *read_shape(const step_node *node, int input) {
    return input == 0 ? node->given.op.x : node->given.op.more[input - 1];
}

/* Each value is read after it exists, with the shape it has, at the dtype of all. */
static nn_status check_inputs(nn_step *step, int64_t i, nn_error *error) {
    step_node *node = &step->nodes[i];
    if (node->given.op.dtype != nn_step_dtype(step))
        return nn_fail(error, NN_TYPE_ERROR, "dtype", -1, node->given.op.dtype, "equal to", nn_step_dtype(step));
    if (node->loss && i != step->count - 1)
        return nn_fail(error, NN_VALUE_ERROR, "loss", -1, i, "the last node,", step->count - 1);
    if (node->loss && node->given.op.reduction == NN_NONE)
        return nn_fail(error, NN_VALUE_ERROR, "reduction", -1, NN_NONE, "below", NN_NONE);
    for (int j = 0; j < nn_step_inputs(node); j++) {
        const int64_t v = node->given.inputs[j], *shape = read_shape(node, j);
        if (v < 0) return nn_fail(error, NN_VALUE_ERROR, "input", j, v, "at least", 0);
        if (v >= step->sources + i) return nn_fail(error, NN_VALUE_ERROR, "input", j, v, "below", step->sources + i);
        step_value *value = &step->values[v];
        value->readers++;
        const bool indices = node->given.op.indices;
        if (v < step->sources) {
            node->reads_source = true;
            if (value->shape[0] < 0) { /* the first reader tells */
                for (int axis = 0; axis < 4; axis++) value->shape[axis] = shape[axis];
                value->indices = indices;
            }
        }
        if (indices != value->indices)
            return nn_fail(error, NN_TYPE_ERROR, "whole numbers", j, indices, "equal to", value->indices);
        step->reads_indices |= indices;
        for (int axis = 0; axis < 4; axis++)
            if (shape[axis] != value->shape[axis])
                return nn_fail(error, NN_VALUE_ERROR, "x.shape", axis, shape[axis], "equal to", value->shape[axis]);
    }
    for (int axis = 0; axis < 4; axis++) step->values[step->sources + i].shape[axis] = node->given.op.y[axis];
    return NN_OK;
}

/* A loss that reads a source gives its gradient to nobody; an output is the output of a node, and one output. */
static nn_status check_outputs(nn_step *step, nn_error *error) {
    for (int64_t k = 0; k < step->output_count; k++) {
        const int64_t v = step->outputs[k], values = step->sources + step->forwards;
        if (v < step->sources) return nn_fail(error, NN_VALUE_ERROR, "output", k, v, "at least", step->sources);
        if (v >= values) return nn_fail(error, NN_VALUE_ERROR, "output", k, v, "below", values);
        if (step->values[v].output >= 0)
            return nn_fail(error, NN_VALUE_ERROR, "output", k, v, "not equal to", v);
        step->values[v].output = k;
    }
    return NN_OK;
}

/*
 * Max-pooling and the ReLU before or after it are one operation (ops/maxpool2d.c), which the second of the two runs;
 * the value between them, which nobody else may read, is nowhere.
 */
static void merge(nn_step *step) {
    for (int64_t i = 1; i < step->count; i++) {
        step_node *second = &step->nodes[i], *first = second - 1;
        const nn_kind kinds[] = {first->given.op.kind, second->given.op.kind};
        const bool pooled_last = kinds[0] == NN_OP_RELU && kinds[1] == NN_OP_MAXPOOL2D;
        const bool pooled_first = kinds[0] == NN_OP_MAXPOOL2D && kinds[1] == NN_OP_RELU;
        step_value *between = &step->values[step->sources + i - 1];
        if (!pooled_last && (!pooled_first || first->given.op.relu)) continue;
        if (second->given.inputs[0] != step->sources + i - 1 || between->readers != 1 || between->output >= 0) continue;
        if (first->given.calls || second->given.calls) continue;
        if (pooled_first) second->given.op = first->given.op;
        second->given.op.relu = first->merged = true;
        second->given.inputs[0] = first->given.inputs[0];
        second->reads_source = first->reads_source;
        between->readers = 0;
    }
}

/* Backwards from the outputs: only what leads to one has a gradient. */
static void mark_live(nn_step *step) {
    for (int64_t k = 0; k < step->output_count; k++) step->values[step->outputs[k]].live = true;
    for (int64_t i = step->count - 1; i >= 0; i--) {
        step_value *y = &step->values[step->sources + i];
        y->live |= step->nodes[i].loss;
        for (int j = 0; y->live && j < nn_step_inputs(&step->nodes[i]); j++)
            step->values[step->nodes[i].given.inputs[j]].live = true;
    }
}

/* A value is trained if anything that it comes from learns; only live nodes take part in backward. */
static void mark_trained(nn_step *step) {
    for (int64_t i = 0; i < step->count; i++) {
        step_node *node = &step->nodes[i];
        step_value *y = &step->values[step->sources + i];
        y->trained = node->given.dweight || node->given.dbias;
        for (int j = 0; j < nn_step_inputs(node); j++) y->trained |= step->values[node->given.inputs[j]].trained;
        node->trained = y->live && y->trained;
    }
}

static bool share_gradient(const nn_node *a, const nn_node *b) {
    return (a->dweight && (a->dweight == b->dweight || a->dweight == b->dbias)) ||
           (a->dbias && (a->dbias == b->dbias || a->dbias == b->dweight));
}

/* Backward begins at the end: of nodes that share a gradient the last one that takes part is its first writer. */
static void mark_first_writers(nn_step *step) {
    for (int64_t i = 0; i < step->count; i++) {
        const nn_node *given = &step->nodes[i].given;
        bool first = step->nodes[i].trained && !(given->dweight && given->dweight == given->dbias);
        for (int64_t j = i + 1; j < step->count; j++)
            if (step->nodes[j].trained && share_gradient(given, &step->nodes[j].given)) first = false;
        step->nodes[i].overwrite = first && given->op.overwrites;
    }
}

/* Whether `other` reads something of a node's weight, be it a row of it as a constant. */
static bool reads_weight(const nn_node *other, const nn_node *node) {
    const int64_t element = nn_dtype_bytes(node->op.dtype), bytes = node->op.weight_count * element;
    return nn_step_overlap(other->weight, other->op.weight_count * element, node->weight, bytes) ||
           nn_step_overlap(other->bias, other->op.bias_count * element, node->weight, bytes);
}

/* Who has a weight of its own, so that its update may follow its gradient. */
static void mark_fusible(nn_step *step) {
    for (int64_t i = 0; i < step->count; i++) {
        step_node *node = &step->nodes[i];
        const nn_node *given = &node->given;
        node->fusible = node->overwrite && given->dweight && given->weight != given->bias;
        for (int64_t j = 0; j < step->count && node->fusible; j++) {
            const nn_node *other = &step->nodes[j].given;
            if (j != i && (share_gradient(given, other) || reads_weight(other, given))) node->fusible = false;
        }
        step->fusible |= node->fusible;
    }
}

/* Who writes a value's gradient first, and who puts its own aside, to be added. */
static void mark_added(nn_step *step) {
    for (int64_t i = step->count - 1; i >= 0; i--) {
        step_node *node = &step->nodes[i];
        if (!step->values[step->sources + i].live) continue;
        for (int j = 0; j < nn_step_inputs(node); j++) {
            step_value *value = &step->values[node->given.inputs[j]];
            value->seeded = value->output >= 0 && !nn_step_has_loss(step);
            node->added[j] = (value->read || value->seeded) && !value->indices;
            value->read = true;
        }
    }
}

nn_status nn_step_connect(nn_step *step, int64_t *node, nn_error *error) {
    for (int64_t v = 0; v < step->sources + step->count; v++)
        step->values[v] = (step_value){.shape = {-1, -1, -1, -1}, .output = -1};
    for (int64_t i = 0; i < step->count; i++) {
        nn_status status = check_inputs(step, i, error);
        *node = i;
        if (status != NN_OK) return status;
    }
    *node = -1;
    for (int64_t v = 0; v < step->sources; v++)
        if (step->values[v].shape[0] < 0)
            return nn_fail(error, NN_VALUE_ERROR, "readers of source", v, 0, "at least", 1);
    nn_status status = check_outputs(step, error);
    if (status != NN_OK) return status;
    merge(step);
    mark_live(step);
    mark_trained(step);
    mark_first_writers(step);
    mark_fusible(step);
    mark_added(step);
    nn_step_follow(step);
    return NN_OK;
}
