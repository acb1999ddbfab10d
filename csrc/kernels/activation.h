/*
 * activation.h: arguments of elementwise activations. Dense arrays of the same memory order.
 */
#ifndef NN_KERNELS_ACTIVATION_H
#define NN_KERNELS_ACTIVATION_H

typedef struct nn_activation_args {
    void *y;          /* forward: written; may be x itself */
    const void *x;    /* forward */
    void *dx;         /* backward: written; may be dy itself */
    const void *dy;   /* backward */
    const void *kept; /* backward: forward's y, or its x where the derivative is a function of that */
    double parameter[3]; /* what each kernel says */
} nn_activation_args;

/* Elements a piece: 16 KB of float32, so that a piece stays in the first-level cache. */
enum { NN_ACTIVATION_PIECE = 4096 };

#endif
