/*
 * alloc.c: the one place of the engine that allocates.
 */
#include <stdlib.h>

#include "runtime.h"

enum { ALIGNMENT = 64 }; /* a cache line, and the widest vector */

void *nn_alloc(int64_t bytes) {
    if (bytes < 0 || (uint64_t)bytes > SIZE_MAX - ALIGNMENT) return NULL;
    /* aligned_alloc wants a multiple of the alignment; never zero, so that NULL always means failure. */
    size_t size = ((size_t)bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return aligned_alloc(ALIGNMENT, size ? size : ALIGNMENT);
}

void nn_free(void *block) { free(block); }
