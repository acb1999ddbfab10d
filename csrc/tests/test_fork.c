/*
 * test_fork: forking with an idle pool, a busy one, one that is being resized; ending while threads compute.
 */
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tally.h"

#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
enum { SANITIZED = __has_feature(address_sanitizer) };
#else
enum { SANITIZED = 0 };
#endif

/* In a child the leak checker would look for the threads of its parent. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }

static void set_threads(int threads) { CHECK_EQUAL(nn_threads_set(threads, NULL), NN_OK); }

/* Runs `part` in a child, by fork; it ends with check_report unless `part` ends it. */
static void in_child(void (*part)(void)) {
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        alarm(60); /* not inherited */
        atomic_store(&check_failures, 0);
        part();
        _exit(check_report());
    }
    int status = -1;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
}

static void computes_on_two_threads(void) {
    CHECK_EQUAL(nn_threads_pieces_by_workers(), 0); /* a new process */
    set_threads(2);
    CHECK(tally_run(10, 1, 1, 0) > 0);
    set_threads(4);
    CHECK(tally_run(100, 1, 1, 0) > 0);
    CHECK(nn_threads_pieces_by_workers() > 0);
}

static void forks_again(void) {
    computes_on_two_threads();
    in_child(computes_on_two_threads);
}

static void child_computes(void) {
    in_child(computes_on_two_threads); /* before there are workers */
    set_threads(3);
    CHECK(tally_run(100, 1, 1, 0) > 0);
    for (int i = 0; i < 5; i++) in_child(computes_on_two_threads);
    in_child(forks_again);
    CHECK(tally_run(100, 1, 1, 0) > 0); /* and the parent goes on */
}

/* ---- forking while another thread is in the pool ------------------------------------------------------- */

static atomic_bool finished;

static void *compute(void *resize) {
    for (int i = 0; !atomic_load(&finished); i++) {
        if (resize) set_threads(1 + i % 4);
        tally_run(20, 1, 1, 200);
    }
    return NULL;
}

static void child_of_a_busy_process_computes(bool resize) {
    pthread_t thread;
    atomic_store(&finished, false);
    set_threads(3);
    CHECK_EQUAL(pthread_create(&thread, NULL, compute, resize ? &finished : NULL), 0);
    for (int i = 0; i < 60; i++) {
        in_child(computes_on_two_threads);
        tally_run(20, 1, 1, 0);
    }
    atomic_store(&finished, true);
    pthread_join(thread, NULL);
}

/* ---- the end ------------------------------------------------------------------------------------------- */

static void ends_while_a_thread_computes(void) {
    pthread_t thread;
    set_threads(3);
    pthread_create(&thread, NULL, compute, NULL);
    pthread_detach(thread);
    tally_run(100, 1, 1, 100);
    exit(check_report());
}

static void ends_with_an_idle_pool(void) {
    set_threads(4);
    tally_run(100, 1, 1, 100);
    exit(check_report());
}

/* ---- a system that gives no threads -------------------------------------------------------------------- */

static void computes_without_memory_for_stacks(void) {
    const struct rlimit none = {0, 0};
    CHECK_EQUAL(setrlimit(RLIMIT_AS, &none), 0);
    set_threads(3);
    CHECK_EQUAL(tally_run(100, 1, 1, 0), 0);
}

int main(void) {
    check_start();
    nn_threads_threshold_set(0);
    /* Before there are threads whose stacks could serve again; sanitizers map memory as they go. */
    if (!SANITIZED) in_child(computes_without_memory_for_stacks);
    child_computes();
    child_of_a_busy_process_computes(false);
    if (!SANITIZED) child_of_a_busy_process_computes(true); /* they hold locks while a thread starts */
    for (int i = 0; i < 10; i++) {
        in_child(ends_while_a_thread_computes);
        in_child(ends_with_an_idle_pool);
    }
    return check_report();
}
