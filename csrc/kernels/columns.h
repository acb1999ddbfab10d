/*
 * columns.h: arguments of the kernels of normalisation by columns (BatchNorm, GroupNorm), and how a sample is cut.
 *
 * `samples` matrices of `size` elements each: BatchNorm's whole batch is one, GroupNorm's are the images. Channels are
 * innermost. So that vectors are full where channels are few, `columns` is a multiple of the channels: several pixels
 * make a row, and column j belongs to channel j % channels. What is left over is a last, shorter row, a block of its
 * own. Blocks of rows and strips of columns are fixed by the shape: unit u is (sample, block, strip).
 */
#ifndef NN_KERNELS_COLUMNS_H
#define NN_KERNELS_COLUMNS_H

#include <stdint.h>

typedef struct nn_columns {
    int64_t samples, size, channels;
    int64_t columns;             /* elements of a row */
    int64_t rows, rest;          /* whole rows of a sample, elements of the last, shorter one */
    int64_t block_rows, blocks;  /* a sample's; the shorter row is the last block */
    int64_t strip, strips;       /* columns of a strip, strips of a row */
} nn_columns;

typedef struct nn_columns_args {
    nn_columns cut;
    void *partial;     /* moments, sums: [sample][block][NN_COLUMNS_SUMS][columns], written */
    void *out;         /* apply: y or dx; like x */
    const void *x;     /* moments, sums, apply */
    const void *dy;    /* sums, apply backward */
    const void *given; /* sums: the means; apply: coefficients. [sample][each][columns] */
} nn_columns_args;

enum { NN_COLUMNS_SUMS = 3, NN_COLUMNS_COEFFICIENTS = 4 };

/* Where unit u lies. */
typedef struct nn_columns_unit {
    int64_t sample, block, rows, first, width; /* first column, and how many */
} nn_columns_unit;

static inline nn_columns_unit nn_columns_unit_of(const nn_columns *c, int64_t u) {
    nn_columns_unit unit = {.sample = u / (c->blocks * c->strips), .block = u / c->strips % c->blocks};
    const int64_t row = unit.block * c->block_rows, left = c->rows - row;
    const int64_t columns = left > 0 ? c->columns : c->rest;
    unit.rows = left <= 0 ? 1 : left < c->block_rows ? left : c->block_rows;
    unit.first = u % c->strips * c->strip;
    unit.width = columns - unit.first < c->strip ? columns - unit.first : c->strip;
    return unit; /* the shorter row may end before the strip begins: its width is then 0 or less */
}

/* The row of a block's first element: whole rows come first. */
static inline int64_t nn_columns_row(const nn_columns *c, const nn_columns_unit *unit) {
    const int64_t row = unit->block * c->block_rows;
    return row < c->rows ? row : c->rows;
}

#endif
