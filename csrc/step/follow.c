/*
 * follow.c: activations in the epilogue of the nodes that write what they read.
 *
 * A layer applies the activation that alone reads its y to each part of it, as soon as that is written, from the cache
 * and without another barrier. On the way back the layer behind the activation, which writes the gradient of its y,
 * turns each part into the gradient of its x. Activations are elementwise: the bits are those of passes of their own.
 */
#include "../ops/op.h"
#include "step.h"

bool nn_step_alone(const nn_step *step, const step_node *node) {
    const int64_t x = node->given.inputs[0];
    return node->given.op.elementwise && !node->merged && x >= step->sources && step->values[x].readers == 1 &&
           step->values[x].output < 0;
}

static bool follows(const step_node *node) { return node->given.op.follows && !node->given.calls; }

void nn_step_follow(nn_step *step) {
    const int64_t sources = step->sources;
    for (int64_t i = 0; i < step->count; i++) {
        step_node *node = &step->nodes[i];
        node->followed[0] = node->followed[1] = -1;
        if (!nn_step_alone(step, node) || !node->given.op.tells || node->given.calls) continue;
        const int64_t before = node->given.inputs[0] - sources;
        if (follows(&step->nodes[before])) node->followed[0] = before;
    }
    for (int64_t i = 0; i < step->count; i++) {
        const int64_t x = step->nodes[i].given.inputs[0];
        if (!follows(&step->nodes[i]) || !step->values[sources + i].live || x < sources) continue;
        step_node *node = &step->nodes[x - sources]; /* in place, so that dx is where the gradient of y is */
        if (nn_step_alone(step, node) && node->given.op.tells && !node->given.calls && step->values[x].readers == 1 &&
            step->values[x].output < 0)
            node->followed[1] = i;
    }
}

/* All its buffers lie in the arena, and stay there. */
void nn_step_tell(nn_step *step) {
    for (int64_t i = 0; i < step->count; i++) {
        step_node *node = &step->nodes[i];
        const nn_op *op = &node->given.op;
        nn_io io = node->io;
        if (node->followed[0] >= 0) {
            io.told = &node->after[0];
            nn_op_forward(op, &io, NULL);
            step->nodes[node->followed[0]].io.after_y = io.told;
        }
        if (node->followed[1] >= 0) {
            io.told = &node->after[1];
            io.dy = io.dx = nn_step_at(step, &step->values[node->given.inputs[0]].dy);
            nn_op_backward(op, &io, NULL);
            step->nodes[node->followed[1]].io.after_dx = io.told;
        }
    }
}
