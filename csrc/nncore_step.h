/*
 * nncore_step.h: the compiled step, a part of the public header: include nncore.h.
 */
#ifndef NNCORE_STEP_H
#define NNCORE_STEP_H

#ifndef NNCORE_H
#error "include nncore.h"
#endif

/*
 * A node of a step: one operation. It reads values and the caller's weights, and writes the value of its own. Values
 * are numbered: first the `sources` that the caller gives with each batch, then the outputs of the nodes in order.
 */
typedef struct nn_node {
    nn_op op; /* kind, dtype, x (x[0] is the capacity in samples), arguments: as for nn_op_plan */
    int64_t inputs[NN_INPUTS_MAX]; /* the values that x and op.more are: 1 + op.more_count of them */
    const void *weight, *bias;
    void *dweight, *dbias; /* NULL: frozen, no work is done for it */
    void *buffers[2];      /* the caller's, as in nn_io */
    uint64_t *calls;       /* the caller's counter of calls, read by each forward in training, which adds one; or NULL */
} nn_node;

/*
 * Nodes in an order in which they can be run. What leads to no output is run forward alone. Only the last may be a
 * loss: then the one output is what it reads.
 */
typedef struct nn_graph {
    const nn_node *nodes;
    int64_t count;
    int64_t sources;        /* each is read by some node */
    const int64_t *outputs; /* values, each once, none of them a source; not looked at where there is a loss */
    int64_t output_count;
} nn_graph;

typedef struct nn_step nn_step;

/* What of a step to run. */
typedef enum nn_step_mode {
    NN_STEP_PREDICT,   /* forward up to the loss, nothing saved */
    NN_STEP_EVALUATE,  /* forward and loss */
    NN_STEP_GRADIENTS, /* gradients zeroed, forward, loss, backward */
    NN_STEP_TRAIN,     /* the same, then the updates, which leave the gradients zero */
    NN_STEP_TRAIN_FINITE, /* the same, but after a loss that is not finite nothing has changed */
} nn_step_mode;

/* Plans all nodes and lays out the arena. On failure *node is the index of the node at fault, or -1. */
nn_status nn_step_create(nn_step **step, const nn_graph *graph, int64_t *node, nn_error *error);
void nn_step_destroy(nn_step *step);

/*
 * Runs one batch of n samples, 0 <= n <= capacity. x (one array for each source; int64 where an Embedding reads it) and
 * target are dense as for operations; labels and indices are copied and checked before anything is run. After an error
 * nothing has changed, buffers and counters of calls neither. *loss is untouched by NN_STEP_PREDICT.
 */
nn_status nn_step_run(nn_step *step, nn_step_mode mode, const void *const *x, const void *target, int64_t n,
                      nn_update *const *updates, int64_t update_count, double *loss, int64_t *node,
                      nn_error *error);

/*
 * The two halves, for a gradient that comes from elsewhere. Forward runs up to the loss, if there is one, and
 * copies x. Backward reads the gradients of all outputs, dy, ADDS to the gradients of the parameters if they are
 * wanted, and writes those of all sources but indices to dx unless it is NULL; each forward serves one backward, and
 * any other run in between takes it away.
 */
nn_status nn_step_forward(nn_step *step, const void *const *x, int64_t n, int64_t *node, nn_error *error);
nn_status nn_step_backward(nn_step *step, const void *const *dy, void *const *dx, bool parameters, int64_t *node,
                           nn_error *error);
bool nn_step_merged(const nn_step *step, int64_t node); /* whether the one after it does its work, and it is not run */
/* The node that applies an activation to what it writes, be it y or dx: then the activation's own is not run; or -1. */
int64_t nn_step_followed(const nn_step *step, int64_t node, bool forward);
bool nn_step_learns(const nn_step *step, int64_t node); /* whether training runs its backward */
int64_t nn_step_recorded(const nn_step *step); /* samples of the forward that waits for its backward, or -1 */
void nn_step_forget(nn_step *step);            /* it waits no longer: the weights have changed */

/* A data set's samples, or their targets: dense rows, one a sample. */
typedef struct nn_rows {
    const void *data;
    bool bytes;          /* uint8, byte b standing for b / 255; else of the type that the step reads (not of indices) */
    bool channels_first; /* images lie (c, h, w), to be turned */
} nn_rows;

/*
 * rows (n, pixels, channels) = rows order[0 ... n-1] of the source, or its first n where order is NULL; byte b of a
 * source of bytes reads scaled[b], of 256. What the order names must be there.
 */
void nn_gather(void *rows, const nn_rows *source, const void *scaled, const int64_t *order, nn_dtype dtype, int64_t n,
               int64_t channels, int64_t pixels);

/*
 * windows (n, window height, window width, channels) of images (n, height, width, channels); window i
 * begins with row places[i][0] and column places[i][1] of image i, and has zeros where there is no image.
 */
void nn_crop(void *windows, const void *images, const int64_t *places, nn_dtype dtype, int64_t n, int64_t height,
             int64_t width, int64_t channels, int64_t window_height, int64_t window_width);

/* Many batches, run in one call or, with breaks, in several. */
typedef struct nn_epoch {
    nn_step_mode mode;    /* NN_STEP_PREDICT, NN_STEP_EVALUATE or NN_STEP_TRAIN */
    const nn_rows *x;     /* one for each source */
    nn_rows target;       /* int64 labels where the loss reads labels */
    const int64_t *order; /* (samples): rows in the order they are taken, checked by the caller; NULL: as they lie */
    int64_t samples, batch;
    bool stop_at_nonfinite; /* a loss that is not finite ends it before its batch changes anything */
    double *loss;           /* (batches): written; NULL in NN_STEP_PREDICT */
    int64_t *correct;       /* (batches) or NULL: written, how many outputs are largest at the label */
    void *output;           /* (samples, ...) or NULL: written, as the step stores its first output */

    /* How far it is: zero to begin with. */
    int64_t done;   /* whole batches */
    int64_t time;   /* within the batch in work: the next forward or backward, as in nn_place */
    bool nonfinite; /* ended before batch `done`, whose loss is loss[done] */
} nn_epoch;

/*
 * Goes on with an epoch; returns when all is done, or about `seconds` later, be it within a batch: seconds of 0
 * return after each. Parameters are whole in every break, as the last update left them; buffers are, once it is
 * gone on with or given up. After an error, or before a loss that is not finite, the batch in work has changed none of
 * them; error->index of a bad label is its row in `target`, of a bad index its place in x.
 */
nn_status nn_step_epoch(nn_step *step, nn_epoch *epoch, nn_update *const *updates, int64_t update_count,
                        double seconds, int64_t *node, nn_error *error);

/* Leaves an epoch in a break: its batch in work changes nothing, and all gradients are zero. */
void nn_step_give_up(nn_step *step);
/*
 * `unseen`: nobody else holds the arrays of the gradients, or will write or read them without a call of this. Then
 * training leaves alone gradients that are zero already, where the update needs none of them in memory.
 */
void nn_step_unseen(nn_step *step, bool unseen);
/* Whether its weight's update, a plain one or any, may follow its gradient, at the size of batch planned last. */
bool nn_step_fusible(const nn_step *step, int64_t node, bool plain);
void nn_step_threads(nn_step *step, int threads); /* at most so many from now on; 0: as many as the process */

int64_t nn_step_bytes(const nn_step *step);    /* of the arena */
int64_t nn_step_capacity(const nn_step *step); /* in samples */

/* Where a value lies during and after a run, and the planned node: for introspection and predictions. */
const void *nn_step_value(const nn_step *step, int64_t value);
const nn_op *nn_step_op(const nn_step *step, int64_t node);
/* Offset and bytes in the arena of a value and its gradient, and of a node's saved state (offset -1: none). */
typedef struct nn_place {
    int64_t offset, bytes;
    int64_t from, to; /* first and last time of use: forward of node i is i, its backward 2 * count - 1 - i */
} nn_place;
void nn_step_value_places(const nn_step *step, int64_t value, nn_place *y, nn_place *dy);
nn_place nn_step_saved_place(const nn_step *step, int64_t node);
/* Of the gradient of a node's input on its way to be added to what came before it. */
nn_place nn_step_aside_place(const nn_step *step, int64_t node, int input);
/* Those of the target and of the workspace. */
void nn_step_common_places(const nn_step *step, nn_place *target, nn_place *work);

#endif
