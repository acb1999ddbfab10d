/*
 * tally.h: a kernel that counts how often each element was run and by whom, and the check that every piece ran
 * exactly once.
 */
#ifndef NN_TESTS_TALLY_H
#define NN_TESTS_TALLY_H

#include <pthread.h>

#include "check.h"
#include "runtime/runtime.h"

enum { TALLY_MOST = 1000 }; /* elements */

typedef struct tally {
    int64_t total, piece;
    pthread_t caller;
    int *runs;        /* (total): plain memory, so the thread sanitizer sees two threads on one element */
    atomic_int calls;
    atomic_int calls_elsewhere; /* on a thread that is not the caller */
    int rounds;       /* of idle arithmetic for each element: how long a piece takes */
} tally;

static inline void tally_kernel(const void *args, int64_t begin, int64_t end) {
    tally *t = (tally *)(uintptr_t)args;
    CHECK_EQUAL(begin % t->piece, 0);
    CHECK_EQUAL(end, begin + t->piece < t->total ? begin + t->piece : t->total);
    atomic_fetch_add(&t->calls, 1);
    if (!pthread_equal(pthread_self(), t->caller)) atomic_fetch_add(&t->calls_elsewhere, 1);
    volatile int busy = 0;
    for (int64_t i = begin; i < end; i++) {
        t->runs[i]++;
        for (int round = 0; round < t->rounds; round++) busy = busy + round;
    }
}

/* Runs [0, total) by nn_parallel and checks it; returns the pieces that ran on other threads. */
static inline int tally_run(int64_t total, int64_t piece, int64_t work, int rounds) {
    int runs[TALLY_MOST] = {0}; /* no malloc: sanitizers hold its locks across a fork */
    tally t = {.total = total, .piece = piece, .caller = pthread_self(), .runs = runs, .rounds = rounds};
    nn_parallel(tally_kernel, &t, total, piece, work);
    for (int64_t i = 0; i < total; i++) CHECK_EQUAL(t.runs[i], 1);
    CHECK_EQUAL(t.calls, (total + piece - 1) / piece);
    return t.calls_elsewhere;
}

#endif
