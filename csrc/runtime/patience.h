/*
 * patience.h: whether to call on the workers, by how it went the last times. Only speed depends on it.
 *
 * A worker whose CPU somebody else uses too may be stopped in the middle of a piece, and its caller waits for
 * milliseconds. Then the caller works alone for as long, before it tries again: and if it has to wait again before as
 * much time has passed once more, for twice as long, and so on.
 *
 * To wake a worker costs its caller ten microseconds, and it comes some thirty after the call. Where it then worked for
 * less than WORTH_NS before it slept again, the next job that would wake it is done alone, and twice as many after each
 * further failure.
 */
#ifndef NN_PATIENCE_H
#define NN_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

enum { STALL_NS = 300000, LONGEST_NS = 100000000, WORTH_NS = 40000, MOST_FAILURES = 6 };

typedef struct patience {
    int64_t alone;       /* ns that the caller shall work alone, or did the last time */
    int64_t alone_until;
    int64_t due;         /* ns that the workers shall have worked in all when they are woken again */
    int failures;        /* wakings in a row that were not worth it */
    int passes;          /* jobs that shall not wake anybody */
} patience;

/* Whether a job may be shared; `wakes`: workers sleep, and it is not large enough to wake them whatever they did. */
static inline bool may_share(patience *p, int64_t now, bool wakes, int64_t helped) {
    if (now < p->alone_until) return false;
    if (!wakes) return true;
    if (p->passes > 0) {
        p->passes--;
        return false;
    }
    const bool failed = helped < p->due;
    p->failures = !failed ? 0 : p->failures < MOST_FAILURES ? p->failures + 1 : MOST_FAILURES;
    p->passes = failed ? 1 << (p->failures - 1) : 0;
    p->due = helped + WORTH_NS;
    return true;
}

/* The owner of a job that began at `start` has waited for the workers; equal pieces keep nobody waiting for so long. */
static inline void note_wait(patience *p, int64_t start, int64_t now, int64_t waited) {
    if (waited < STALL_NS || waited < 2 * (now - waited - start)) return;
    const bool again = start - p->alone_until < p->alone;
    p->alone = again ? 2 * p->alone : waited;
    if (p->alone > LONGEST_NS) p->alone = LONGEST_NS;
    p->alone_until = now + p->alone;
}

#endif
