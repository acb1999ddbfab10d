/*
 * dropout.h: arguments of Dropout, and how its bits are numbered.
 */
#ifndef NN_KERNELS_DROPOUT_H
#define NN_KERNELS_DROPOUT_H

#include <stdint.h>

typedef struct nn_dropout_args {
    void *y;        /* written; NULL: only the bits are wanted */
    const void *x;  /* forward: x; backward: dy */
    uint64_t *bits; /* bit i: element i is kept. Forward: written, NULL where not wanted; else read */
    uint32_t key[2], nonce[2];
    uint64_t keep;  /* kept with a chance of keep / 2^63 */
    double scale;   /* on what is kept */
    int64_t count;  /* elements in all */
    int64_t channels, pixels; /* channels: an element is (sample, pixel, channel), its bit (sample, channel) */
} nn_dropout_args;

/* Elements a piece; begin is a multiple of it. A word of bits is 64 elements. */
enum { NN_DROPOUT_PIECE = 4096 };

#endif
