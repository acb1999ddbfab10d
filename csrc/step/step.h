/*
 * step.h: the compiled step's own data.
 *
 *     value 0 (x) -> [node 0] -> value 1 -> [node 1] -> value 2 ... -> value count      one source, a chain
 *
 * One arena holds the batch where it is gathered or kept, every value, every value's gradient, what operations
 * save for backward, and one workspace.
 * Time runs over the forwards 0 ... count-1, then the backwards count ... 2 count-1 in reverse order of nodes;
 * two buffers that are never alive at the same time may share memory.
 *
 * A value that several nodes read gets a gradient from each, in the order of the backwards, after the caller's own
 * where it is an output. The first is written where the gradient lies, each other one aside and then added.
 */
#ifndef NN_STEP_H
#define NN_STEP_H

#include "../ops/op.h"
#include "../ops/update.h"

typedef struct step_value {
    nn_place y, dy;   /* dy: of a source none, its gradient is the caller's */
    int64_t shape[4]; /* of a source: as its readers read it */
    int64_t y_in, dy_in; /* the value in whose place y, dy lies: its own, or that of an activation's other side */
    int64_t readers;  /* nodes that read it */
    bool indices;     /* a source of int64, which Embeddings read: it has no gradient */
    int64_t output;   /* which of the outputs it is, or -1 */
    bool live;        /* an output comes from it: it has a gradient */
    bool trained;     /* something that it comes from learns */
    bool read;        /* some live node reads it */
    bool seeded;      /* it is, and is an output: its gradient begins as a copy of the caller's */
} step_value;

typedef struct step_node {
    nn_node given;
    nn_io io; /* all that is the same in every run */
    nn_place saved;
    nn_place aside[NN_INPUTS_MAX]; /* of each input's gradient, where it is added to one that came before */
    bool added[NN_INPUTS_MAX];
    bool reads_source;
    bool loss;
    bool trained;     /* takes part in backward, also where nobody asks for the gradient of a source */
    bool overwrite;   /* its backward writes the gradients: they need not be zeroed */
    bool merged;      /* the node after it does its work: it is not run, its value is nowhere */

    /* follow.c, forward and backward. */
    int64_t followed[2]; /* an activation's: the node that applies it to what it writes, and this one is not run; or -1 */
    nn_after after[2];   /* what that node is told */

    /* Of the weight alone; fuse.c. */
    bool fusible; /* the update may follow each part of the gradient: no other node has the weight */
    bool fused;   /* and does, in a batch of fused updates, */
    nn_rule rule; /* by this rule */
    bool zero;    /* the gradient is known to be zero */
} step_node;

struct nn_step {
    step_node *nodes;
    step_value *values;
    int64_t count, sources;
    int64_t *outputs; /* values */
    int64_t output_count;
    int64_t forwards; /* nodes up to the outputs: all but a loss */
    int64_t capacity; /* samples */
    int64_t planned;  /* samples the operations are planned for now */
    int64_t recorded; /* samples of nn_step_forward's that nn_step_backward may use, or -1 */
    bool fusible;     /* some node is */
    bool brief;       /* planned are so few flops that nobody need break off between an update and the next */
    bool unseen;      /* nobody has the gradients' arrays but who tells nn_step_unseen */
    nn_taken taken;   /* by the rules of the batch in work */
    int threads;      /* at most; 0: as many as the process */
    nn_place target, work;
    nn_place scaled; /* what the 256 bytes stand for */
    nn_place kept;   /* restore.c's copy */
    bool begun;      /* the forwards of a batch in training have begun, and the batch has not ended */
    bool reads_indices;
    const void **x;  /* (sources): where the batch is, for an epoch and for the two halves */
    char *arena;
    int64_t arena_bytes;
};

/* graph.c: checks what the nodes read, and marks who learns and whose gradients come first. */
nn_status nn_step_connect(nn_step *step, int64_t *node, nn_error *error);

/* follow.c: which activations are applied by the nodes that write what they read; and, once buffers have places, how. */
void nn_step_follow(nn_step *step);
void nn_step_tell(nn_step *step);

/* Whether an activation may write over what it reads, forward and backward: nobody else has it. */
bool nn_step_alone(const nn_step *step, const step_node *node);

/* arena.c: gives every buffer of the step its offset; sets arena_bytes. */
nn_status nn_step_layout(nn_step *step, nn_error *error);

static inline bool nn_step_has_loss(const nn_step *step) { return step->forwards < step->count; }

/* How many arrays a node reads beside its weights. */
static inline int nn_step_inputs(const step_node *node) { return 1 + node->given.op.more_count; }

static inline nn_dtype nn_step_dtype(const nn_step *step) { return step->nodes[0].given.op.dtype; }

/* Elements a sample of a value or a target has. */
static inline int64_t nn_step_row(const int64_t shape[4]) { return shape[1] * shape[2] * shape[3]; }

/* Whether two arrays have bytes in common; NULL is none. */
static inline bool nn_step_overlap(const void *a, int64_t a_bytes, const void *b, int64_t b_bytes) {
    const uintptr_t p = (uintptr_t)a, q = (uintptr_t)b;
    return a && b && p < q + (uintptr_t)b_bytes && q < p + (uintptr_t)a_bytes;
}

/* Bytes of an element of a value. */
static inline int64_t nn_step_element(const nn_step *step, const step_value *value) {
    return value->indices ? (int64_t)sizeof(int64_t) : nn_dtype_bytes(nn_step_dtype(step));
}

/* Of the whole value, for the samples planned. */
static inline size_t nn_step_value_bytes(const nn_step *step, int64_t v) {
    const step_value *value = &step->values[v];
    return (size_t)(step->planned * nn_step_row(value->shape) * nn_step_element(step, value));
}

static inline void *nn_step_at(const nn_step *step, const nn_place *place) {
    return place->bytes ? step->arena + place->offset : NULL;
}

/* ---- restore.c: a batch in training that is given up changes nothing */

int64_t nn_step_kept_bytes(const nn_step *step); /* -1: too many */
void nn_step_keep(nn_step *step);                /* before its first forward */
/* The batch is over: all is done, or it is given up. */
void nn_step_end(nn_step *step, bool done);

/* ---- indices.c */

/* Copies and checks the sources of whole numbers; *x as the nodes shall read it. */
nn_status nn_step_take_indices(nn_step *step, const void *const **x, int64_t *node, nn_error *error);
/* Of those in the arena, whether each names a row of the weight that it is to be taken from. */
nn_status nn_step_check_indices(const nn_step *step, int64_t *node, nn_error *error);

/* step.c: plans every node for n samples. */
nn_status nn_step_plan(nn_step *step, int64_t n, int64_t *node, nn_error *error);

/* ---- run.c: one batch, node by node */

typedef struct step_batch {
    const void *const *x; /* one for each source */
    const void *target;
    const void *const *dy; /* of the outputs, where no loss gives it */
    void *const *dx;       /* of the sources; NULL: nobody asks for them */
    bool training;         /* a backward follows */
    bool adding;           /* to the gradients that are there, instead of beginning from zero */
    bool frozen;           /* nobody asks for the gradients of parameters */
    bool fused;            /* nn_step_fuse has chosen nodes: their weights change in their backwards */
} step_batch;

/*
 * fuse.c, before the backward of a training batch: which nodes take their update with them. batch->fused: some do, and
 * nn_update_rest shall follow for the other tensors.
 */
nn_status nn_step_fuse(nn_step *step, step_batch *batch, nn_update *const *updates, int64_t count, nn_error *error);

/* Checks n and plans for it; any record is gone afterwards. */
nn_status nn_step_begin(nn_step *step, int64_t n, int64_t *node, nn_error *error);
/* Copies labels to the arena and checks them; target as the loss shall read it. */
nn_status nn_step_take_target(nn_step *step, const void **target, int64_t *node, nn_error *error);
nn_status nn_step_forward_node(nn_step *step, int64_t i, const step_batch *batch, nn_error *error);
/* Does nothing for a node whose backward nobody needs. */
nn_status nn_step_backward_node(nn_step *step, int64_t i, const step_batch *batch, nn_error *error);
/* What remains to be done after the last backward of a training batch. */
nn_status nn_step_update(nn_step *step, const step_batch *batch, nn_update *const *updates, int64_t count,
                         nn_error *error);
/* Zeros in all gradients but those that backward writes rather than adds to. */
void nn_step_zero(const nn_step *step);

#endif
