/*
 * check.h: what the C tests are written with. A test is a program: main calls its parts and ends with
 * `return check_report();`.
 *
 * CHECK(condition) goes on after a failure, so that one run shows them all (the first twenty are printed).
 * Any thread may check; a forked child ends with `_exit(check_report())`.
 */
#ifndef NN_TESTS_CHECK_H
#define NN_TESTS_CHECK_H

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static atomic_int check_count, check_failures;

static inline bool check_that(bool holds, const char *what, const char *file, int line) {
    atomic_fetch_add(&check_count, 1);
    if (!holds && atomic_fetch_add(&check_failures, 1) < 20) fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    return holds;
}

static inline void check_equal(int64_t a, int64_t b, const char *what, const char *file, int line) {
    if (!check_that(a == b, what, file, line) && atomic_load(&check_failures) <= 20)
        fprintf(stderr, "    %" PRId64 " and %" PRId64 "\n", a, b);
}

#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)
/* Two integers: shows them where they differ. */
#define CHECK_EQUAL(a, b) check_equal((int64_t)(a), (int64_t)(b), #a " == " #b, __FILE__, __LINE__)

/* A test that hangs ends here, by SIGALRM: no test takes a tenth of this. */
static inline void check_start(void) { alarm(120); }

static inline int check_report(void) {
    const int failures = atomic_load(&check_failures), checks = atomic_load(&check_count);
    if (failures || checks == 0) fprintf(stderr, "%d of %d checks failed\n", failures, checks);
    return failures || checks == 0;
}

#endif
