/*
 * place.c: on which CPU a thread runs, and where it does not.
 */
#define _GNU_SOURCE /* sched_getcpu, affinity */

#include "place.h"

#include <sched.h>
#include <stdint.h>

#ifdef __linux__

enum { BITS = 8 * sizeof(unsigned long), WORDS = 8192 / BITS }; /* as many as any kernel is built for */

int nn_cpu_here(void) { return sched_getcpu(); }

bool nn_cpu_avoid(pthread_t thread, int cpu) {
    unsigned long mask[WORDS] = {0}, left = 0;
    if (cpu < 0 || cpu / BITS >= WORDS) return false;
    if (pthread_getaffinity_np(thread, sizeof mask, (cpu_set_t *)mask) != 0) return false;
    mask[cpu / BITS] &= ~(1UL << cpu % BITS);
    for (int i = 0; i < WORDS; i++) left |= mask[i];
    return left && pthread_setaffinity_np(thread, sizeof mask, (cpu_set_t *)mask) == 0;
}

void nn_cpu_allow(int cpu) {
    unsigned long mask[WORDS] = {0};
    if (sched_getaffinity(0, sizeof mask, (cpu_set_t *)mask) < 0) return;
    mask[cpu / BITS] |= 1UL << cpu % BITS;
    sched_setaffinity(0, sizeof mask, (cpu_set_t *)mask);
}

#else

int nn_cpu_here(void) { return -1; }

bool nn_cpu_avoid(pthread_t thread, int cpu) {
    (void)thread, (void)cpu;
    return false;
}

void nn_cpu_allow(int cpu) { (void)cpu; }

#endif
