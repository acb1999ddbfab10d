/*
 * alloc.c: the one place of the engine that allocates.
 */
#if defined(__linux__)
#include <sys/mman.h>
#endif
#include <stdlib.h>

#include "runtime.h"

enum { ALIGNMENT = 64 };        /* a cache line, and the widest vector */
enum { HUGE_PAGE = 2 << 20 };   /* one entry of the address cache instead of 512, one page fault as well */

void *nn_alloc(int64_t bytes) {
    const size_t alignment = bytes >= 2 * (int64_t)HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
    if (bytes < 0 || (uint64_t)bytes > SIZE_MAX - alignment) return NULL;
    /* aligned_alloc wants a multiple of the alignment; never zero, so that NULL always means failure. */
    const size_t size = ((size_t)bytes + alignment - 1) / alignment * alignment;
    void *block = aligned_alloc(alignment, size ? size : alignment);
#if defined(MADV_HUGEPAGE)
    if (block && alignment == HUGE_PAGE) (void)madvise(block, size, MADV_HUGEPAGE); /* a wish: may be refused */
#endif
    return block;
}

void nn_free(void *block) { free(block); }
