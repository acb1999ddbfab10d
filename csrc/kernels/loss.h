/*
 * loss.h: arguments of the losses. A forward kernel leaves the sum over its piece in `partial`; the operation
 * folds the pieces in order.
 */
#ifndef NN_KERNELS_LOSS_H
#define NN_KERNELS_LOSS_H

#include <stdint.h>

typedef struct nn_cross_entropy_args {
    double *partial;       /* forward: one for each piece of `rows_a_piece` rows */
    void *probabilities;   /* forward, (n, classes): written; NULL where not wanted */
    void *dx;              /* backward, (n, classes): written */
    const void *x;         /* forward, (n, classes): the logits */
    const void *saved;     /* backward, (n, classes): forward's probabilities */
    const int64_t *labels; /* (n), each at least 0 and below classes */
    double scale;          /* backward: factor on the gradient */
    int64_t classes, rows_a_piece;
} nn_cross_entropy_args;

typedef struct nn_mse_args {
    double *partial; /* forward: one for each piece of NN_MSE_PIECE elements */
    void *dx;        /* backward: written */
    const void *x, *target;
    double scale;    /* backward: factor on x - target */
} nn_mse_args;

/* Elements a piece, about: 32 KB of float32 logits. Cross-entropy rounds to whole rows. */
enum { NN_CROSS_ENTROPY_PIECE = 8192, NN_MSE_PIECE = 4096 };

#endif
