/*
 * arithmetic.h: arguments of sums and products of two arrays, the second of which may be broadcast, and of their like.
 *
 * Dense arrays in memory order. x and z are (groups, repeat, width); y is (groups, width), its rows repeated.
 */
#ifndef NN_KERNELS_ARITHMETIC_H
#define NN_KERNELS_ARITHMETIC_H

#include <stdbool.h>
#include <stdint.h>

typedef struct nn_arithmetic_args {
    void *z;       /* written; may be x */
    const void *x, *y;
    double factor; /* add: on y; scale: on x; broadcast_sum: on the sum */
    double summand; /* scale */
    int64_t repeat, width;
    bool overwrite; /* broadcast_sum: write instead of adding */
} nn_arithmetic_args;

/* Elements a piece: 16 KB of float32 each, so that a piece stays in the first-level cache. */
enum { NN_ARITHMETIC_PIECE = 4096 };

/* broadcast_sum: columns a piece, and rows that are summed before they join the others. */
enum { NN_BROADCAST_COLUMNS = 64, NN_BROADCAST_ROWS = 128 };

static inline int64_t nn_broadcast_pieces(int64_t width) {
    return (width + NN_BROADCAST_COLUMNS - 1) / NN_BROADCAST_COLUMNS;
}

enum { NN_JOIN_MAX = 4 };

/* Rows of several arrays side by side in the rows of one. */
typedef struct nn_join_args {
    void *parts[NN_JOIN_MAX]; /* (rows, widths[k]); split: each may be NULL */
    void *whole;              /* (rows, sum of widths) */
    int64_t widths[NN_JOIN_MAX];
    int count;
    bool split; /* whole to parts, else parts to whole */
} nn_join_args;

#endif
