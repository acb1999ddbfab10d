/*
 * pool.c: one process-wide pool of threads behind nn_parallel.
 *
 * One caller at a time owns the pool; whoever finds it owned (another thread, or a kernel that calls
 * nn_parallel itself) runs its pieces alone. The owner describes a job while the gate is closed, opens the
 * gate, works along, closes the gate, and waits for the workers that are inside. It never waits for a worker
 * that has not come in: one that the system has not scheduled yet costs nothing.
 *
 * The gate is one word, number << 32 | OPEN | workers inside. A worker enters by adding 1 while it is open and
 * its number is new, and leaves by subtracting 1; so the job cannot change while somebody reads it.
 *
 * Each thread has a part of the pieces, always the same one of its index, and takes from the others' when it has done
 * its own: so the operations of a network, one after the other, find what they read in the cache of the core that
 * wrote it (their pieces are samples, rows, elements: halves of arrays that mean the same), and nobody waits.
 *
 * An idle worker looks at the gate for SPIN_NS and then sleeps; so does the owner while the last pieces run.
 */
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include "../ops/op.h"
#include "patience.h"
#include "place.h"
#include "runtime.h"
#include "spin.h"

enum {
    MOVED = 8,            /* workers that are kept off their caller's CPU: where there are more, it is no matter */
    AWAKE = -1,
    STACK_BYTES = 2 << 20 /* kernels take up to 100 KB (linear_backward_weight), thread-local data counts */
};

/*
 * Work below which one thread is used, in the unit of nn_parallel: the larger of flops and bytes touched. Measured
 * on two cores of Zen 3: with workers asleep two threads are as fast as one at ReLU over 4.2 MB (74 us alone) and
 * Linear of 3.5 Mflop (65 us); with workers awake they win from 0.4 Mflop (12 us alone, 7 us shared) and 1 MB (18, 12).
 * LARGE times as much wakes somebody whatever came of it the last times.
 */
enum { THRESHOLD = 1 << 22, AWAKE_PART = 8, LARGE = 4 };

#define OPEN (UINT64_C(1) << 31)
#define INSIDE (OPEN - 1)

static struct {
    /* The job: written by the owner while the gate is closed and nobody is inside. */
    nn_kernel_fn *kernel;
    const void *args;
    int64_t total, piece;
    int parts;
    fenv_t environment; /* of the caller: who runs a piece must not show, with subnormals flushed or not */

    /* The owner's books. */
    pthread_t thread[NN_THREADS_MAX - 1];
    int count;   /* workers there are */
    int refused; /* the thread count at which the system refused another worker: not asked again */
    patience patience;

    _Alignas(64) atomic_bool owned;
    _Alignas(64) atomic_uint_least64_t gate; /* it and its neighbours are what an idle worker looks at */
    atomic_int keep; /* workers numbered `keep` and above go home */
    atomic_int most; /* those numbered `most` and above stay out of the open job: its caller wants no more */
    _Alignas(64) atomic_int_least64_t pieces_by_workers;
    atomic_int_least64_t helped; /* ns that workers have worked */
    pthread_mutex_t mutex; /* guards going to sleep, nothing else */
    pthread_cond_t called, emptied;
    atomic_int sleepers;
    atomic_bool owner_sleeps;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .called = PTHREAD_COND_INITIALIZER, .emptied = PTHREAD_COND_INITIALIZER};

/* Parts of the job: 0 is the owner's, w + 1 worker w's. `end` is written as the job is. */
static struct part {
    _Alignas(64) atomic_int_least64_t next; /* the piece to be handed out next */
    int64_t end;
} parts[NN_THREADS_MAX];

static int kept_off[MOVED]; /* the CPU, plus one, that a sleeping worker is kept off; under the mutex */

static atomic_int threads_wanted; /* 0: not asked yet */
static _Thread_local int threads_limit; /* of the calls of this thread; 0: none of its own */
static atomic_int_least64_t threshold = THRESHOLD;

/* ---- workers ----------------------------------------------------------------------------------------- */

typedef struct worker {
    int index;
    uint64_t seen; /* number of the last job it entered */
} worker;

static bool dismissed(const worker *w) { return w->index >= atomic_load(&pool.keep); }

/* A `most` that belongs to a later job does no harm: the gate has moved on then, and entering fails. */
static bool is_open_for(uint64_t gate, const worker *w) {
    return (gate & OPEN) && gate >> 32 != w->seen && w->index < atomic_load(&pool.most);
}

static bool is_called(const void *arg) {
    const worker *w = arg;
    return is_open_for(atomic_load(&pool.gate), w) || dismissed(w);
}

static bool enter(worker *w) {
    uint64_t gate = atomic_load(&pool.gate);
    while (is_open_for(gate, w)) {
        if (!atomic_compare_exchange_weak(&pool.gate, &gate, gate + 1)) continue;
        w->seen = gate >> 32;
        return true;
    }
    return false;
}

static void leave(void) {
    const uint64_t gate = atomic_fetch_sub(&pool.gate, 1) - 1;
    if ((gate & (OPEN | INSIDE)) != 0 || !atomic_load(&pool.owner_sleeps)) return;
    pthread_mutex_lock(&pool.mutex);
    pthread_mutex_unlock(&pool.mutex);
    pthread_cond_signal(&pool.emptied);
}

static void run_piece(int64_t i) {
    const int64_t begin = i * pool.piece;
    pool.kernel(pool.args, begin, pool.total - begin < pool.piece ? pool.total : begin + pool.piece);
}

/* Runs pieces until none is left, those of part `own` first; returns how many. */
static int64_t run_pieces(int own) {
    int64_t ran = 0;
    for (int k = 0; k < pool.parts; k++) {
        struct part *part = &parts[(own + k) % pool.parts];
        if (atomic_load_explicit(&part->next, memory_order_relaxed) >= part->end) continue;
        for (int64_t i; (i = atomic_fetch_add(&part->next, 1)) < part->end; ran++) run_piece(i);
    }
    return ran;
}

static void sleep_until_called(const worker *w) {
    const bool moved = w->index < MOVED;
    pthread_mutex_lock(&pool.mutex);
    if (moved) kept_off[w->index] = 0;
    atomic_fetch_add(&pool.sleepers, 1); /* before the look at the gate: see wake_workers */
    while (!is_called(w)) {
        pthread_cond_wait(&pool.called, &pool.mutex);
        if (is_called(w) || !moved || kept_off[w->index] == 0) continue;
        nn_cpu_allow(kept_off[w->index] - 1); /* woken too late: it sleeps on as free as it fell asleep */
        kept_off[w->index] = 0;
    }
    atomic_fetch_sub(&pool.sleepers, 1);
    const int off = moved ? kept_off[w->index] : 0;
    if (moved) kept_off[w->index] = AWAKE;
    pthread_mutex_unlock(&pool.mutex);
    if (off > 0) nn_cpu_allow(off - 1);
}

static void *run_worker(void *index) {
    worker w = {.index = (int)(intptr_t)index};
    while (!dismissed(&w)) {
        if (enter(&w)) {
            fesetenv(&pool.environment);
            const int64_t start = now_ns(), ran = run_pieces(w.index + 1);
            atomic_fetch_add(&pool.pieces_by_workers, ran);
            if (ran > 0) atomic_fetch_add(&pool.helped, now_ns() - start);
            leave();
        } else if (!spin_until(is_called, &w)) {
            sleep_until_called(&w);
        }
    }
    return NULL;
}

/* ---- the owner --------------------------------------------------------------------------------------- */

static bool own(void) { return !atomic_load(&pool.owned) && !atomic_exchange(&pool.owned, true); }
static void disown(void) { atomic_store(&pool.owned, false); }

/*
 * On a machine of few CPUs that are busy, Linux wakes a thread on the CPU of whoever woke it, and leaves it there for
 * many milliseconds: two threads take turns on one CPU while the other is idle. So it is kept off the caller's until
 * it is awake. Under the mutex.
 */
static void keep_off(void) {
    const int here = nn_cpu_here();
    for (int w = 0; here >= 0 && w < MOVED && w < pool.count; w++)
        if (kept_off[w] == 0 && nn_cpu_avoid(pool.thread[w], here)) kept_off[w] = here + 1;
}

/* `most` workers or fewer sleep no longer. The gate is open (or workers dismissed) already: whoever does not
   see that counts as a sleeper before we look. */
static void wake_workers(int64_t most) {
    const int sleepers = atomic_load(&pool.sleepers);
    if (sleepers == 0) return;
    /* Passing through the mutex: who has looked but does not wait yet will wait before we signal. */
    pthread_mutex_lock(&pool.mutex);
    keep_off();
    pthread_mutex_unlock(&pool.mutex);
    if (most >= sleepers) pthread_cond_broadcast(&pool.called);
    else
        for (int64_t i = 0; i < most; i++) pthread_cond_signal(&pool.called);
}

static void dismiss(int keep) {
    atomic_store(&pool.keep, keep);
    wake_workers(NN_THREADS_MAX);
    while (pool.count > keep) pthread_join(pool.thread[--pool.count], NULL);
}

/* Workers leave signals to the threads that came with handlers in mind, but for the faults of their own. */
static void block_signals(sigset_t *before) {
    const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t mask;
    sigfillset(&mask);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) sigdelset(&mask, faults[i]);
    pthread_sigmask(SIG_SETMASK, &mask, before);
}

static void hire(int count, int threads) {
    if (pool.refused == threads) return;
    pthread_attr_t attributes;
    sigset_t before;
    if (pthread_attr_init(&attributes) != 0) return;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    block_signals(&before); /* a thread starts with its creator's mask */
    atomic_store(&pool.keep, count);
    pool.refused = 0;
    while (pool.count < count) {
        void *index = (void *)(intptr_t)pool.count;
        if (pool.count < MOVED) kept_off[pool.count] = AWAKE;
        if (pthread_create(&pool.thread[pool.count], &attributes, run_worker, index) != 0) {
            pool.refused = threads; /* the work gets done by those that are here */
            break;
        }
        pool.count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static bool is_empty(const void *unused) {
    (void)unused;
    return (atomic_load(&pool.gate) & INSIDE) == 0;
}

/* Even ones; the owner's begins after its first `taken` pieces. */
static void set_parts(int64_t pieces, int count, int64_t taken) {
    const int64_t each = pieces / count, rest = pieces % count;
    pool.parts = count;
    for (int64_t i = 0, at = 0; i < count; i++) {
        atomic_store_explicit(&parts[i].next, i ? at : taken, memory_order_relaxed); /* the gate publishes it */
        parts[i].end = at += each + (i < rest);
    }
}

/* Whether a worker has been handed a piece; the owner has not asked for one yet. */
static bool have_begun(void) {
    bool begun = false;
    for (int64_t i = 1; i < pool.parts; i++) begun = begun || atomic_load(&parts[i].next) > parts[i - 1].end;
    return begun;
}

/* Returns how long it took, in ns; 0: no longer than it is looked for. */
static int64_t wait_until_empty(void) {
    if (spin_until(is_empty, NULL)) return 0;
    const int64_t start = now_ns() - SPIN_NS;
    pthread_mutex_lock(&pool.mutex);
    atomic_store(&pool.owner_sleeps, true); /* before the look at the gate: see leave */
    while (!is_empty(NULL)) pthread_cond_wait(&pool.emptied, &pool.mutex);
    atomic_store(&pool.owner_sleeps, false);
    pthread_mutex_unlock(&pool.mutex);
    return now_ns() - start;
}

static void run_serial(nn_kernel_fn *kernel, const void *args, int64_t total, int64_t piece) {
    for (int64_t begin = 0, end; begin < total; begin = end) {
        end = total - begin < piece ? total : begin + piece;
        kernel(args, begin, end);
    }
}

/* Some worker does not sleep: to share costs little. A guess that may be late; only speed depends on it. */
static bool are_awake(void) {
    return atomic_load_explicit(&pool.keep, memory_order_relaxed) >
           atomic_load_explicit(&pool.sleepers, memory_order_relaxed);
}

static bool is_worth_sharing(int64_t work, int64_t least) {
    return work >= least || (work >= least / AWAKE_PART && are_awake());
}

/* Takes the pool for a job, if it is free and the workers have been of help lately. */
static bool begin(int64_t work, int64_t least, int64_t *start) {
    if (!own()) return false;
    *start = now_ns();
    const bool wakes = work < LARGE * least && !are_awake();
    if (least == 0 || may_share(&pool.patience, *start, wakes, atomic_load(&pool.helped))) return true;
    disown();
    return false;
}

void nn_parallel(nn_kernel_fn *kernel, const void *args, int64_t total, int64_t piece, int64_t work) {
    if (total <= piece) { /* small networks have nothing else */
        if (total > 0) kernel(args, 0, total);
        return;
    }
    const int64_t least = atomic_load_explicit(&threshold, memory_order_relaxed);
    int64_t start;
    int threads;
    if (!is_worth_sharing(work, least) || threads_limit == 1 || (threads = nn_threads_get()) == 1 ||
        !begin(work, least, &start)) {
        run_serial(kernel, args, total, piece);
        return;
    }
    const int64_t pieces = total / piece + (total % piece != 0);
    const int most = threads_limit > 0 && threads_limit < threads ? threads_limit - 1 : threads - 1;
    const int workers = pieces <= most ? (int)pieces - 1 : most;
    if (pool.count >= threads) dismiss(threads - 1);
    if (pool.count < workers) hire(workers, threads);

    pool.kernel = kernel, pool.args = args, pool.total = total, pool.piece = piece;
    fegetenv(&pool.environment);
    /* Tests want to see both at work, however small it is: one piece for the caller, one for a worker. */
    const bool share = least == 0 && pool.count > 0;
    set_parts(pieces, (workers < pool.count ? workers : pool.count) + 1, share);
    atomic_store(&pool.most, most);
    atomic_store(&pool.gate, ((atomic_load(&pool.gate) >> 32) + 1) << 32 | OPEN);
    wake_workers(most < pool.count ? NN_THREADS_MAX : pieces - 1); /* whom a signal wakes is not ours to say */
    if (share) {
        run_piece(0);
        while (!have_begun()) sched_yield();
    }
    run_pieces(0);
    atomic_fetch_and(&pool.gate, ~OPEN);
    const int64_t waited = wait_until_empty();
    if (waited > 0) note_wait(&pool.patience, start, now_ns(), waited);
    disown();
}

/* ---- the number of threads --------------------------------------------------------------------------- */

int nn_threads_get(void) {
    const int wanted = atomic_load_explicit(&threads_wanted, memory_order_relaxed);
    if (wanted != 0) return wanted;
    int unset = 0;
    atomic_compare_exchange_strong(&threads_wanted, &unset, nn_threads_default());
    return atomic_load(&threads_wanted);
}

int nn_threads_limit(int limit) {
    const int before = threads_limit;
    threads_limit = limit;
    return before;
}

nn_status nn_threads_set(int threads, nn_error *error) {
    if (threads < 0) return nn_fail(error, NN_VALUE_ERROR, "threads", -1, threads, "at least", 0);
    if (threads > NN_THREADS_MAX)
        return nn_fail(error, NN_VALUE_ERROR, "threads", -1, threads, "at most", NN_THREADS_MAX);
    atomic_store(&threads_wanted, threads ? threads : nn_threads_default());
    /* Fewer: send the others home now. If the pool is at work, the next owner does. */
    if (own()) {
        pool.patience = (patience){0};
        if (pool.count >= nn_threads_get()) dismiss(nn_threads_get() - 1);
        disown();
    }
    return NN_OK;
}

void nn_threads_threshold_set(int64_t work) { atomic_store(&threshold, work); }
int64_t nn_threads_threshold_get(void) { return atomic_load(&threshold); }
int64_t nn_threads_pieces_by_workers(void) { return atomic_load(&pool.pieces_by_workers); }

/* ---- fork and exit ----------------------------------------------------------------------------------- */

/*
 * In the child none of the threads exists but the one that forked, which was not in here: whatever the pool
 * was doing, it starts afresh. Locks and conditions are made anew in place: destroying them would wait for
 * threads that are no more.
 */
static void start_afresh(void) {
    pool.count = pool.refused = 0;
    pool.patience = (patience){0};
    atomic_store(&pool.gate, 0);
    atomic_store(&pool.keep, 0);
    atomic_store(&pool.pieces_by_workers, 0);
    atomic_store(&pool.helped, 0);
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.owner_sleeps, false);
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.called, NULL);
    pthread_cond_init(&pool.emptied, NULL);
    disown();
}

__attribute__((constructor)) static void on_load(void) { pthread_atfork(NULL, NULL, start_afresh); }

/* The pool stays owned: a thread that still computes while the process ends does so alone. If one owns it now,
   its workers are left to end with the process. */
__attribute__((destructor)) static void on_exit_or_unload(void) {
    if (own()) dismiss(0);
}
