/*
 * test_pool: every piece once, who runs it, and what workers take over from their caller.
 */
#include <fenv.h>
#include <signal.h>
#include <string.h>

#include "tally.h"

static void set_threads(int threads) {
    nn_error error;
    CHECK_EQUAL(nn_threads_set(threads, &error), NN_OK);
}

static void every_piece_runs_once(void) {
    const int64_t totals[] = {0, 1, 2, 6, 7, 8, 99, 100, 101, 1000};
    const int64_t pieces[] = {1, 3, 7, 100};
    const int threads[] = {1, 2, 3, 8, 2, 5, 1};
    nn_threads_threshold_set(0);
    for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
        set_threads(threads[k]);
        for (size_t i = 0; i < sizeof totals / sizeof *totals; i++)
            for (size_t j = 0; j < sizeof pieces / sizeof *pieces; j++) tally_run(totals[i], pieces[j], 1, 0);
    }
}

static void ends_do_not_overflow_kernel(const void *args, int64_t begin, int64_t end) {
    (void)args;
    CHECK(begin == 0 || begin == INT64_MAX / 2 + 1);
    CHECK(end == INT64_MAX / 2 + 1 || end == INT64_MAX - 1);
}

static void ends_do_not_overflow(void) {
    for (int threads = 1; threads <= 2; threads++) {
        set_threads(threads);
        nn_parallel(ends_do_not_overflow_kernel, NULL, INT64_MAX - 1, INT64_MAX / 2 + 1, 1);
    }
}

static void without_threshold_work_is_shared(void) {
    nn_threads_threshold_set(0);
    for (int threads = 2; threads <= 4; threads++) {
        set_threads(threads);
        for (int pieces = 2; pieces < 12; pieces++) {
            const int64_t before = nn_threads_pieces_by_workers();
            const int elsewhere = tally_run(pieces, 1, 0, 0);
            CHECK(elsewhere >= 1 && elsewhere < pieces);
            CHECK_EQUAL(nn_threads_pieces_by_workers() - before, elsewhere);
        }
    }
}

enum { LONG = 1000 }; /* rounds an element: time for a worker to wake and come in */

static void below_the_threshold_the_caller_works_alone(void) {
    set_threads(4);
    nn_threads_threshold_set(1000);
    CHECK_EQUAL(nn_threads_threshold_get(), 1000);
    const int64_t before = nn_threads_pieces_by_workers();
    for (int i = 0; i < 20; i++) CHECK_EQUAL(tally_run(1000, 1, 1000 / 8 - 1, LONG), 0);
    CHECK_EQUAL(nn_threads_pieces_by_workers(), before);
    /* At the threshold it does not, sooner or later. */
    int elsewhere = 0;
    for (int tries = 0; tries < 1000 && !elsewhere; tries++) elsewhere = tally_run(1000, 1, 1000, LONG);
    CHECK(elsewhere > 0);
    /* Just below it, sleeping workers are not woken; sooner or later they do sleep. */
    for (int tries = 0; tries < 100 && elsewhere; tries++) {
        usleep(10000);
        elsewhere = tally_run(1000, 1, 999, LONG);
    }
    CHECK_EQUAL(elsewhere, 0);
    nn_threads_threshold_set(0);
}

static void one_thread_is_the_caller(void) {
    set_threads(1);
    CHECK_EQUAL(nn_threads_get(), 1);
    CHECK_EQUAL(tally_run(100, 1, INT64_MAX, 0), 0);
    set_threads(4);
    CHECK_EQUAL(tally_run(4, 4, INT64_MAX, 0), 0); /* one piece */
}

static void thread_counts_are_checked(void) {
    nn_error error = {0};
    set_threads(3);
    CHECK_EQUAL(nn_threads_set(-1, &error), NN_VALUE_ERROR);
    CHECK(strcmp(error.arg, "threads") == 0 && error.got == -1 && error.expected == 0);
    CHECK_EQUAL(nn_threads_set(NN_THREADS_MAX + 1, &error), NN_VALUE_ERROR);
    CHECK(error.got == NN_THREADS_MAX + 1 && error.expected == NN_THREADS_MAX);
    CHECK_EQUAL(nn_threads_get(), 3);
    set_threads(0);
    CHECK_EQUAL(nn_threads_get(), nn_threads_default());
    CHECK(nn_threads_default() >= 1);
}

/* ---- fewer threads, set while the pool is at work ------------------------------------------------------ */

enum { PIECES = 12 };

static pthread_t ran_on[PIECES];

static void who_kernel(const void *args, int64_t begin, int64_t end) {
    (void)end;
    if (args && begin == 0) set_threads(2);
    volatile int busy = 0;
    for (int round = 0; round < 5000; round++) busy = busy + round;
    ran_on[begin] = pthread_self();
}

static int count_threads(void) {
    int count = 0;
    for (int i = 0; i < PIECES; i++) {
        bool new = true;
        for (int j = 0; j < i; j++) new = new && !pthread_equal(ran_on[i], ran_on[j]);
        count += new;
    }
    return count;
}

static void the_next_job_has_no_more_threads_than_asked(void) {
    for (int tries = 0; tries < 50; tries++) {
        set_threads(6);
        nn_parallel(who_kernel, ran_on, PIECES, 1, 1);
        CHECK(count_threads() <= 6);
        nn_parallel(who_kernel, NULL, PIECES, 1, 1);
        CHECK_EQUAL(count_threads(), 2);
    }
}

/* A caller's own limit: for its jobs alone, and the process's workers stay. */
static void a_limit_of_the_callers_own(void) {
    set_threads(5);
    for (int tries = 0; tries < 50; tries++) {
        for (int limit = 1; limit <= 6; limit++) {
            CHECK_EQUAL(nn_threads_limit(limit), 0);
            nn_parallel(who_kernel, NULL, PIECES, 1, 1);
            const int count = count_threads();
            CHECK(count <= limit && (limit == 1 || count >= 2));
            CHECK_EQUAL(nn_threads_limit(0), limit);
        }
        CHECK_EQUAL(nn_threads_get(), 5);
        nn_parallel(who_kernel, NULL, PIECES, 1, 1);
        CHECK(count_threads() >= 2 && count_threads() <= 5);
    }
}

/* ---- kernels that call nn_parallel -------------------------------------------------------------------- */

static void nested_kernel(const void *args, int64_t begin, int64_t end) {
    (void)args;
    for (int64_t i = begin; i < end; i++) CHECK_EQUAL(tally_run(50, 7, INT64_MAX, 0), 0);
}

static void nested_calls_run_on_their_caller(void) {
    set_threads(3);
    nn_parallel(nested_kernel, NULL, 20, 1, 1);
}

/* ---- what a worker is ---------------------------------------------------------------------------------- */

enum { BIG_STACK = 400 * 1024 };

typedef struct surroundings {
    pthread_t caller;
    atomic_int rounding_wrong, signals_wrong;
} surroundings;

static void surroundings_kernel(const void *args, int64_t begin, int64_t end) {
    (void)begin, (void)end;
    surroundings *s = (surroundings *)(uintptr_t)args;
    volatile char stack[BIG_STACK];
    for (int i = 0; i < BIG_STACK; i += 512) stack[i] = (char)i;
    if (fegetround() != FE_UPWARD) atomic_fetch_add(&s->rounding_wrong, 1);
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    const bool elsewhere = !pthread_equal(pthread_self(), s->caller);
    if (sigismember(&mask, SIGINT) != elsewhere || sigismember(&mask, SIGCHLD) != elsewhere ||
        sigismember(&mask, SIGSEGV) != (stack[0] != 0))
        atomic_fetch_add(&s->signals_wrong, 1);
}

static void workers_take_over_rounding_but_no_signals(void) {
    surroundings s = {.caller = pthread_self()};
    set_threads(3);
    fesetround(FE_UPWARD);
    for (int i = 0; i < 20; i++) nn_parallel(surroundings_kernel, &s, 10, 1, 1);
    fesetround(FE_TONEAREST);
    CHECK_EQUAL(s.rounding_wrong, 0);
    CHECK_EQUAL(s.signals_wrong, 0);
}

/* ---- several callers ----------------------------------------------------------------------------------- */

enum { CALLERS = 4, JOBS = 300 };

static atomic_bool finished;

static void *call(void *unused) {
    (void)unused;
    for (int i = 0; i < JOBS; i++) tally_run(i % 40, 1 + i % 5, 1, 20);
    return NULL;
}

static void *change_threads(void *unused) {
    (void)unused;
    for (int i = 0; !atomic_load(&finished); i++) set_threads(1 + i % 5);
    return NULL;
}

static void callers_do_not_disturb_each_other(bool changing) {
    pthread_t callers[CALLERS], changer;
    set_threads(3);
    atomic_store(&finished, false);
    if (changing) pthread_create(&changer, NULL, change_threads, NULL);
    for (int i = 0; i < CALLERS; i++) pthread_create(&callers[i], NULL, call, NULL);
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
    atomic_store(&finished, true);
    if (changing) pthread_join(changer, NULL);
}

int main(void) {
    check_start();
    every_piece_runs_once();
    ends_do_not_overflow();
    without_threshold_work_is_shared();
    below_the_threshold_the_caller_works_alone();
    one_thread_is_the_caller();
    thread_counts_are_checked();
    the_next_job_has_no_more_threads_than_asked();
    a_limit_of_the_callers_own();
    nested_calls_run_on_their_caller();
    workers_take_over_rounding_but_no_signals();
    callers_do_not_disturb_each_other(false);
    callers_do_not_disturb_each_other(true);
    return check_report();
}
