/*
 * embedding.h: arguments of Embedding's backward. (Its forward is the gathering of rows: batch.h.)
 */
#ifndef NN_KERNELS_EMBEDDING_H
#define NN_KERNELS_EMBEDDING_H

#include <stdint.h>

typedef struct nn_embedding_args {
    void *dweight;          /* (entries, size): added to */
    const void *dy;         /* (count, size) */
    const int64_t *indices; /* (count), checked */
    int64_t count, size, padding_entry;
} nn_embedding_args;

/* Columns a piece. */
enum { NN_EMBEDDING_PIECE = 64 };

#endif
