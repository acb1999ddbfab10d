/*
 * step.h: the compiled step's own data.
 *
 *     node 0        node 1              node count-1 (perhaps a loss)
 *     x -> [op] -> value 1 -> [op] -> value 2 ... -> value count
 *
 * One arena holds every value, every value's gradient, what operations save for backward, and one workspace.
 * Time runs over the forwards 0 ... count-1, then the backwards count ... 2 count-1 in reverse order of nodes;
 * two buffers that are never alive at the same time may share memory.
 */
#ifndef NN_STEP_H
#define NN_STEP_H

#include "../nncore.h"

typedef struct step_node {
    nn_node given;
    nn_place y, dy, saved;
    bool loss;
    bool wants_dx;  /* something before it learns */
    bool trained;   /* takes part in backward at all */
    bool overwrite; /* its backward writes the gradients: they need not be zeroed */
} step_node;

struct nn_step {
    step_node *nodes;
    int64_t count;
    int64_t capacity; /* samples */
    int64_t planned;  /* samples the operations are planned for now */
    nn_place work;
    char *arena;
    int64_t arena_bytes;
};

/* arena.c: gives every buffer of the step its offset; sets arena_bytes. */
nn_status nn_step_layout(nn_step *step, nn_error *error);

/* Whether a node is a loss: its output is one double, and it reads a target. */
bool nn_step_is_loss(nn_kind kind);

#endif
