/*
 * test_place: a thread is kept off a CPU and let back; a worker that was woken may run wherever its caller may.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tally.h"
#include "runtime/place.h"

#ifdef __linux__

static cpu_set_t everywhere;

static bool may_run_everywhere(void) {
    cpu_set_t now;
    return sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&now, &everywhere);
}

static void a_thread_keeps_off_and_comes_back(void) {
    const int here = nn_cpu_here(), cpus = CPU_COUNT(&everywhere);
    CHECK(here >= 0 && CPU_ISSET(here, &everywhere));
    CHECK_EQUAL(nn_cpu_avoid(pthread_self(), here), cpus > 1);
    CHECK(cpus == 1 || nn_cpu_here() != here);
    CHECK_EQUAL(may_run_everywhere(), cpus == 1);
    nn_cpu_allow(here);
    CHECK(may_run_everywhere());
    CHECK(!nn_cpu_avoid(pthread_self(), -1));
    CHECK(!nn_cpu_avoid(pthread_self(), 1 << 20));
}

/* The last CPU that is left is not taken away. */
static void a_thread_has_a_cpu_left(void) {
    int left = CPU_COUNT(&everywhere);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &everywhere)) CHECK_EQUAL(nn_cpu_avoid(pthread_self(), cpu), --left > 0);
    CHECK_EQUAL(sched_setaffinity(0, sizeof everywhere, &everywhere), 0);
}

static void confined_kernel(const void *args, int64_t begin, int64_t end) {
    (void)begin, (void)end;
    if (!may_run_everywhere()) atomic_fetch_add((atomic_int *)(uintptr_t)args, 1);
}

static void workers_are_free_once_they_are_awake(void) {
    nn_error error;
    atomic_int confined = 0;
    nn_threads_threshold_set(0); /* a worker takes part, be it ever so late */
    for (int threads = 2; threads <= 12; threads += 5) {
        CHECK_EQUAL(nn_threads_set(threads, &error), NN_OK);
        for (int i = 0; i < 30; i++) {
            usleep(i % 3 * 300); /* awake or asleep */
            nn_parallel(confined_kernel, &confined, 40, 1, 1);
        }
    }
    CHECK_EQUAL(confined, 0);
}

/* All threads of the process, asleep or not. */
static bool all_may_run_everywhere(void) {
    DIR *tasks = opendir("/proc/self/task");
    bool free_all = tasks != NULL;
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        cpu_set_t mask;
        const int thread = atoi(task->d_name);
        if (thread > 0 && sched_getaffinity(thread, sizeof mask, &mask) == 0)
            free_all = free_all && CPU_EQUAL(&mask, &everywhere);
    }
    if (tasks) closedir(tasks);
    return free_all;
}

static void brief_kernel(const void *args, int64_t begin, int64_t end) { (void)args, (void)begin, (void)end; }

/* Who was woken when there was nothing left to do sleeps on, and may be told by somebody else where to run. */
static void workers_that_come_too_late_are_free(void) {
    nn_error error;
    nn_threads_threshold_set(1);
    CHECK_EQUAL(nn_threads_set(2, &error), NN_OK);
    bool all = true;
    for (int i = 0; i < 100 && all; i++) {
        usleep(300);
        nn_parallel(brief_kernel, NULL, 2, 1, 4); /* large enough to wake a worker whenever it sleeps */
        all = all_may_run_everywhere();
        for (int wait = 0; wait < 1000 && !all; wait++) usleep(1000), all = all_may_run_everywhere();
    }
    CHECK(all);
}

int main(void) {
    check_start();
    CHECK_EQUAL(sched_getaffinity(0, sizeof everywhere, &everywhere), 0);
    a_thread_keeps_off_and_comes_back();
    a_thread_has_a_cpu_left();
    workers_are_free_once_they_are_awake();
    workers_that_come_too_late_are_free();
    return check_report();
}

#else

int main(void) {
    check_start();
    CHECK(nn_cpu_here() >= -1);
    return check_report();
}

#endif
