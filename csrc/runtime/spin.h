/*
 * spin.h: looking for a while, before one sleeps.
 */
#ifndef NN_SPIN_H
#define NN_SPIN_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Three wake-ups: what one thread does alone between the shared operations of a step, and Python, seldom take more. */
enum { SPIN_NS = 100000 };

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* "yield" is no pause on most cores */
#endif
}

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Looks until condition(arg) holds, for SPIN_NS at most; returns whether it does. */
static inline bool spin_until(bool (*condition)(const void *), const void *arg) {
    const int64_t end = now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < 16; i++) {
            if (condition(arg)) return true;
            relax();
        }
    } while (now_ns() < end);
    return condition(arg);
}

#endif
