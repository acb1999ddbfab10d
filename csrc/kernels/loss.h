/*
 * loss.h: arguments of the losses. A forward kernel leaves the sum over its piece in `partial`; the operation
 * folds the pieces in order.
 */
#ifndef NN_KERNELS_LOSS_H
#define NN_KERNELS_LOSS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Softmax and what is made of it. A row's loss is the sum over j of q[j] (log sum exp x - x[j]), where q is what the
 * labels or the target say, smoothed: q = weight (kept truth + spread), truth 1 at the label, or the target.
 */
typedef struct nn_softmax_args {
    double *partial;       /* forward: one for each piece of `rows_a_piece` rows */
    void *losses;          /* forward: (n), unless NULL */
    void *probabilities;   /* forward: (n, classes), unless NULL */
    void *logarithms;      /* forward: (n, classes), unless NULL: of the probabilities */
    void *dx;              /* backward, (n, classes): written */
    const void *x;         /* forward, (n, classes): the logits */
    const void *saved;     /* backward, (n, classes): forward's probabilities, or logarithms */
    const int64_t *labels; /* (n), each `ignored`, or at least 0 and below classes; or NULL */
    const void *target;    /* (n, classes), where there are no labels; or NULL: no loss is asked for */
    const void *weight;    /* (classes); NULL: 1 */
    const void *dy;        /* backward: (n) factors, of softmax (n, classes); NULL: 1 */
    double scale;          /* backward: factor on the gradient */
    double kept, spread;   /* 1 and 0 without smoothing */
    double all;            /* sum of the weights */
    int64_t ignored;       /* a label whose row counts for nothing */
    int64_t classes, rows_a_piece;
    bool of_logarithms;    /* backward of softmax: it was the logarithms that were wanted */
} nn_softmax_args;

/* Losses of two arrays, element by element. */
typedef struct nn_pair_loss_args {
    double *partial;      /* forward: one for each piece of NN_PAIR_LOSS_PIECE elements */
    void *losses;         /* forward: written, unless NULL */
    void *dx;             /* backward: written */
    const void *x, *target;
    const void *weight;   /* of each element; NULL: 1 */
    const void *positive; /* of each element, weight of the positive answer; NULL: 1 */
    const void *dy;       /* backward: of each element; NULL: 1 */
    double scale;         /* backward: factor on the gradient */
    double constant[4];   /* what each formula says */
} nn_pair_loss_args;

/* Elements a piece, about: 32 KB of float32 logits. Cross-entropy rounds to whole rows. */
enum { NN_SOFTMAX_PIECE = 8192, NN_PAIR_LOSS_PIECE = 4096 };

#endif
