/*
 * recycle.c: large blocks for results that come and go at every call. One that is given back is kept for the next
 * taker: the system would clear every page of a new one, which takes longer than most operations need to fill it.
 *
 * At most KEPT blocks of KEPT_BYTES together are kept, the oldest go first. Nobody ever waits here: who finds the
 * shelf in use by another thread allocates or frees instead. So a process forked at that moment is safe as well.
 */
#include <stdatomic.h>

#include "runtime.h"

/* The address sanitizer is to see the exact end of every block: under it nothing is kept. */
#if defined(__SANITIZE_ADDRESS__)
enum { KEEPS = 0 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { KEEPS = 0 };
#else
enum { KEEPS = 1 };
#endif
#else
enum { KEEPS = 1 };
#endif

enum { KEPT = 16, GRAIN = 16 * 1024 };
#define KEPT_BYTES (INT64_C(64) << 20)

typedef struct kept {
    void *block;
    int64_t bytes;
} kept;

static atomic_flag in_use = ATOMIC_FLAG_INIT;
static kept shelf[KEPT]; /* the oldest first */
static int shelf_count;
static int64_t shelf_bytes;

static kept leave(int at) {
    const kept k = shelf[at];
    shelf_count--;
    shelf_bytes -= k.bytes;
    for (int i = at; i < shelf_count; i++) shelf[i] = shelf[i + 1];
    return k;
}

void *nn_block_take(int64_t *bytes) {
    if (!KEEPS) return nn_alloc(*bytes);
    if (*bytes > INT64_MAX - GRAIN) return NULL;
    *bytes = (*bytes + GRAIN - 1) / GRAIN * GRAIN;
    if (!atomic_flag_test_and_set_explicit(&in_use, memory_order_acquire)) {
        int best = -1;
        for (int i = 0; i < shelf_count; i++)
            if (shelf[i].bytes >= *bytes && shelf[i].bytes - *bytes <= *bytes / 4 &&
                (best < 0 || shelf[i].bytes <= shelf[best].bytes))
                best = i;
        const kept k = best < 0 ? (kept){NULL, 0} : leave(best);
        atomic_flag_clear_explicit(&in_use, memory_order_release);
        if (k.block) {
            *bytes = k.bytes;
            return k.block;
        }
    }
    return nn_alloc(*bytes);
}

void nn_block_give(void *block, int64_t bytes) {
    if (KEEPS && block && bytes <= KEPT_BYTES && !atomic_flag_test_and_set_explicit(&in_use, memory_order_acquire)) {
        while (shelf_count == KEPT || (shelf_count > 0 && shelf_bytes > KEPT_BYTES - bytes)) nn_free(leave(0).block);
        shelf[shelf_count++] = (kept){block, bytes};
        shelf_bytes += bytes;
        block = NULL;
        atomic_flag_clear_explicit(&in_use, memory_order_release);
    }
    nn_free(block);
}
