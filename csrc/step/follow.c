/*
 * follow.c: activations in the epilogue of the nodes that write what they read.
 *
 * A layer applies the activation that alone reads its y to each part of it, as soon as that is written, from the cache
 * and without another barrier. On the way back the layer behind the activation, which writes the gradient of its y,
 * turns each part into the gradient of its x. Activations are elementwise: the bits are those of passes of their own.
 */
#include "../ops/op.h"
#include "step.h"

/* Whether one node reads a value, one that a node has computed, and nobody else. */
static bool is_read_once(const nn_step *step, int64_t value) {
    return value >= step->sources && step->values[value].readers == 1 && step->values[value].output < 0;
}

bool nn_step_alone(const nn_step *step, const step_node *node) {
    return node->given.op.elementwise && !node->merged && is_read_once(step, node->given.inputs[0]);
}

static bool follows(const step_node *node) { return node->given.op.follows && !node->given.calls; }

/* Backward, too, only where it would be done in place: the gradients of x and y lie in one array. */
static bool may_be_followed(const nn_step *step, const step_node *node) {
    return nn_step_alone(step, node) && node->given.op.tells && !node->given.calls;
}

void nn_step_follow(nn_step *step) {
    step_node *nodes = step->nodes;
    for (int64_t i = 0; i < step->count; i++) {
        nodes[i].followed[0] = nodes[i].followed[1] = -1;
        const int64_t x = nodes[i].given.inputs[0], before = x - step->sources;
        if (may_be_followed(step, &nodes[i]) && follows(&nodes[before])) nodes[i].followed[0] = before;
        if (follows(&nodes[i]) && step->values[step->sources + i].live && is_read_once(step, x) &&
            may_be_followed(step, &nodes[before]))
            nodes[before].followed[1] = i; /* which was before this one: its own turn is over */
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
