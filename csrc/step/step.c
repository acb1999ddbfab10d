/*
 * step.c: a graph of operations, planned once over one arena. run.c and epoch.c run it.
 */
#include "step.h"

#include <string.h>

#include "../ops/op.h"
#include "../runtime/runtime.h"

/* ---- building ---------------------------------------------------------------------------------------- */

/*
 * A batch whose updates have begun is not broken off, or its weights would be half changed; so its work is bounded to
 * some tenths of a second. Where there is more of it, the update is a small part.
 */
enum { MOST_FUSED_FLOPS = 1 << 30 };

/* Plans every node for n samples. Sizes are linear in n, so that fewer than the capacity always fit. */
nn_status nn_step_plan(nn_step *step, int64_t n, int64_t *node, nn_error *error) {
    int64_t flops = 0;
    step->planned = -1;
    for (int64_t i = 0; i < step->count; i++) {
        nn_op *op = &step->nodes[i].given.op;
        op->x[0] = n;
        for (int k = 0; k < op->more_count && k < NN_INPUTS_MAX - 1; k++) op->more[k][0] = n; /* the plan counts them */
        nn_status status = nn_op_plan(op, error);
        if (status != NN_OK) {
            *node = i;
            return status;
        }
        flops = nn_size_add(flops, op->flops);
    }
    step->brief = flops >= 0 && flops <= MOST_FUSED_FLOPS;
    step->planned = n;
    return NN_OK;
}

/* Byte b stands for b / 255, divided in the step's own type, as `x.astype(dtype) / 255` is. */
static void fill_scaled(nn_step *step) {
    void *scaled = nn_step_at(step, &step->scaled);
    for (int b = 0; b < 256; b++) {
        if (nn_step_dtype(step) == NN_FLOAT32) ((float *)scaled)[b] = (float)b / 255.0f;
        else ((double *)scaled)[b] = (double)b / 255.0;
    }
}

/* What a node is given in every run; its sources' values come with the batch. */
static void fix_buffers(nn_step *step) {
    for (int64_t i = 0; i < step->count; i++) {
        step_node *node = &step->nodes[i];
        const nn_node *given = &node->given;
        node->io = (nn_io){.y = nn_step_at(step, &step->values[step->sources + i].y), .weight = given->weight,
                           .bias = given->bias, .buffers = {given->buffers[0], given->buffers[1]},
                           .work = nn_step_at(step, &step->work)};
        for (int j = 0; j < nn_step_inputs(node); j++) {
            const void *x = nn_step_at(step, &step->values[given->inputs[j]].y);
            *(j ? &node->io.more[j - 1] : &node->io.x) = x;
        }
    }
}

static nn_status build(nn_step *step, const nn_graph *graph, int64_t *node, nn_error *error) {
    const int64_t most_outputs = graph->output_count > 0 ? graph->output_count : 1;
    step->nodes = nn_alloc(nn_size_mul(graph->count, sizeof *step->nodes));
    step->values = nn_alloc(nn_size_mul(nn_size_add(graph->sources, graph->count), sizeof *step->values));
    step->outputs = nn_alloc(nn_size_mul(most_outputs, sizeof *step->outputs));
    step->x = nn_alloc(nn_size_mul(graph->sources, sizeof *step->x));
    if (!step->nodes || !step->values || !step->outputs || !step->x)
        return nn_fail(error, NN_MEMORY_ERROR, "nodes", -1, graph->count, "fewer than", graph->count);
    for (int64_t i = 0; i < step->count; i++) {
        step->nodes[i] = (step_node){.given = graph->nodes[i]};
        /* Kept with the nodes: another batch size plans them anew, into an arena made for this choice. */
        if (!nn_winograd_get()) step->nodes[i].given.op.direct = true;
    }
    nn_status status = nn_step_plan(step, step->capacity, node, error);
    if (status != NN_OK) return status;
    for (int64_t i = 0; i < step->count; i++) step->nodes[i].loss = step->nodes[i].given.op.loss;
    const step_node *final = &step->nodes[step->count - 1];
    step->forwards = step->count - final->loss;
    step->output_count = final->loss ? 1 : graph->output_count;
    if (step->output_count < 1)
        return nn_fail(error, NN_VALUE_ERROR, "outputs", -1, step->output_count, "at least", 1);
    for (int64_t k = 0; k < step->output_count; k++)
        step->outputs[k] = final->loss ? final->given.inputs[0] : graph->outputs[k];
    status = nn_step_connect(step, node, error);
    if (status == NN_OK) status = nn_step_layout(step, error);
    if (status != NN_OK) return status;
    step->arena = nn_alloc(step->arena_bytes);
    if (!step->arena)
        return nn_fail(error, NN_MEMORY_ERROR, "arena bytes", -1, step->arena_bytes, "below", INT64_MAX);
    fill_scaled(step);
    fix_buffers(step);
    nn_step_tell(step);
    return NN_OK;
}

nn_status nn_step_create(nn_step **out, const nn_graph *graph, int64_t *node, nn_error *error) {
    *out = NULL;
    *node = -1;
    if (graph->count < 1) return nn_fail(error, NN_VALUE_ERROR, "nodes", -1, graph->count, "at least", 1);
    if (graph->sources < 1) return nn_fail(error, NN_VALUE_ERROR, "sources", -1, graph->sources, "at least", 1);
    nn_step *step = nn_alloc(sizeof *step);
    if (!step) return nn_fail(error, NN_MEMORY_ERROR, "step", -1, sizeof *step, "at most", 0);
    *step = (nn_step){.count = graph->count, .sources = graph->sources, .capacity = graph->nodes[0].op.x[0],
                      .planned = -1, .recorded = -1};
    nn_status status = build(step, graph, node, error);
    if (status == NN_OK) *out = step;
    else nn_step_destroy(step);
    return status;
}

void nn_step_destroy(nn_step *step) {
    if (!step) return;
    nn_free(step->arena);
    nn_free(step->x);
    nn_free(step->outputs);
    nn_free(step->values);
    nn_free(step->nodes);
    nn_free(step);
}

/* ---- looking ----------------------------------------------------------------------------------------- */

int64_t nn_step_bytes(const nn_step *step) { return step->arena_bytes; }

const void *nn_step_value(const nn_step *step, int64_t value) {
    return nn_step_at(step, &step->values[value].y);
}

int64_t nn_step_recorded(const nn_step *step) { return step->recorded; }

bool nn_step_merged(const nn_step *step, int64_t node) { return step->nodes[node].merged; }

int64_t nn_step_followed(const nn_step *step, int64_t node, bool forward) {
    return step->nodes[node].followed[forward ? 0 : 1];
}

bool nn_step_learns(const nn_step *step, int64_t node) { return step->nodes[node + step->nodes[node].merged].trained; }

void nn_step_forget(nn_step *step) { step->recorded = -1; }

void nn_step_threads(nn_step *step, int threads) { step->threads = threads; }

int64_t nn_step_capacity(const nn_step *step) { return step->capacity; }

const nn_op *nn_step_op(const nn_step *step, int64_t node) { return &step->nodes[node].given.op; }

void nn_step_value_places(const nn_step *step, int64_t value, nn_place *y, nn_place *dy) {
    *y = step->values[value].y;
    *dy = step->values[value].dy;
}

nn_place nn_step_saved_place(const nn_step *step, int64_t node) { return step->nodes[node].saved; }

nn_place nn_step_aside_place(const nn_step *step, int64_t node, int input) { return step->nodes[node].aside[input]; }

void nn_step_common_places(const nn_step *step, nn_place *target, nn_place *work) {
    *target = step->target;
    *work = step->work;
}
