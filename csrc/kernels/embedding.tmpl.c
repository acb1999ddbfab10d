/*
 * embedding: dweight[indices[i]] += dy[i], in the order of i: an entry that occurs often gets its sum in one order.
 * begin and end count columns.
 */
#include "template.h"

#include "embedding.h"

NN_DEFINE_KERNEL(embedding_backward) {
    const nn_embedding_args *a = args;
    for (int64_t i = 0; i < a->count; i++) {
        if (a->indices[i] == a->padding_entry) continue;
        REAL *to = (REAL *)a->dweight + a->indices[i] * a->size;
        const REAL *from = (const REAL *)a->dy + i * a->size;
        int64_t c = begin;
        for (; c + VL <= end; c += VL) vstore(to + c, vload(to + c) + vload(from + c));
        for (; c < end; c++) to[c] += from[c];
    }
}
