/*
 * step.h: the compiled step's own data.
 *
 *     node 0        node 1              node count-1 (perhaps a loss)
 *     x -> [op] -> value 1 -> [op] -> value 2 ... -> value count
 *
 * One arena holds the batch where it is gathered or kept, every value, every value's gradient, what operations
 * save for backward, and one workspace.
 * Time runs over the forwards 0 ... count-1, then the backwards count ... 2 count-1 in reverse order of nodes;
 * two buffers that are never alive at the same time may share memory.
 */
#ifndef NN_STEP_H
#define NN_STEP_H

#include "../nncore.h"

typedef struct step_node {
    nn_node given;
    nn_place y, dy, saved;
    uint64_t call; /* of the last forward in training */
    bool loss;
    bool wants_dx;  /* something before it learns */
    bool trained;   /* takes part in backward, also where nobody asks for the gradient of x */
    bool overwrite; /* its backward writes the gradients: they need not be zeroed */
} step_node;

struct nn_step {
    step_node *nodes;
    int64_t count;
    int64_t last;     /* the node that gives the output: the last one but for a loss */
    int64_t capacity; /* samples */
    int64_t planned;  /* samples the operations are planned for now */
    int64_t recorded; /* samples of nn_step_forward's that nn_step_backward may use, or -1 */
    int threads;      /* at most; 0: as many as the process */
    nn_place x, target, work;
    nn_place scaled; /* what the 256 bytes stand for */
    char *arena;
    int64_t arena_bytes;
};

/* arena.c: gives every buffer of the step its offset; sets arena_bytes. */
nn_status nn_step_layout(nn_step *step, nn_error *error);

/* Whether a node is a loss: its output is one double, and it reads a target; and whether that is labels. */
bool nn_step_is_loss(nn_kind kind);
bool nn_step_reads_labels(nn_kind kind);

static inline void *nn_step_at(const nn_step *step, const nn_place *place) {
    return place->bytes ? step->arena + place->offset : NULL;
}

/* step.c: plans every node for n samples. */
nn_status nn_step_plan(nn_step *step, int64_t n, int64_t *node, nn_error *error);

/* ---- run.c: one batch, node by node */

typedef struct step_batch {
    const void *x, *target;
    const void *dy; /* of the output, where no loss gives it */
    void *dx;       /* NULL: nobody asks for the gradient of x */
    bool saving;    /* a backward follows */
    bool adding;    /* to the gradients that are there, instead of beginning from zero */
    bool frozen;    /* nobody asks for the gradients of parameters */
} step_batch;

/* Checks n and plans for it; any record is gone afterwards. */
nn_status nn_step_begin(nn_step *step, int64_t n, int64_t *node, nn_error *error);
/* Copies labels to the arena and checks them; target as the loss shall read it. */
nn_status nn_step_take_target(nn_step *step, const void **target, int64_t n, int64_t *node, nn_error *error);
nn_status nn_step_forward_node(nn_step *step, int64_t i, const step_batch *batch, nn_error *error);
/* Does nothing for a node whose backward nobody needs. */
nn_status nn_step_backward_node(nn_step *step, int64_t i, const step_batch *batch, nn_error *error);
/* Zeros in all gradients but those that backward writes rather than adds to. */
void nn_step_zero(const nn_step *step);
nn_status nn_step_update(nn_update *const *updates, int64_t count, nn_error *error);

#endif
