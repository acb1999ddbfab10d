/*
 * buffers.h: arrays for tests of operations. Every one is a heap block of exactly the bytes asked for, so that a
 * sanitizer sees one element too many, and is born as NaN, so that what is read before it is written shows.
 */
#ifndef NN_TESTS_BUFFERS_H
#define NN_TESTS_BUFFERS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "nncore.h"
#include "ops/op.h"

static inline void *block(int64_t bytes) {
    void *made = malloc((size_t)bytes);
    if (bytes > 0) memset(made, 0xFF, (size_t)bytes); /* NaN in both dtypes */
    return made;
}

static inline void *array(nn_dtype dtype, int64_t count) { return block(count * nn_dtype_bytes(dtype)); }

static inline double get(const void *a, nn_dtype dtype, int64_t i) {
    return dtype == NN_FLOAT32 ? (double)((const float *)a)[i] : ((const double *)a)[i];
}

static inline void set(void *a, nn_dtype dtype, int64_t i, double to) {
    if (dtype == NN_FLOAT32) ((float *)a)[i] = (float)to;
    else ((double *)a)[i] = to;
}

/* An array with these values. */
static inline void *array_of(nn_dtype dtype, int64_t count, const double *values) {
    void *made = array(dtype, count);
    for (int64_t i = 0; i < count; i++) set(made, dtype, i, values[i]);
    return made;
}

static inline bool same_bytes(const void *a, const void *b, int64_t bytes) {
    return bytes == 0 || memcmp(a, b, (size_t)bytes) == 0;
}

static inline double epsilon_of(nn_dtype dtype) { return dtype == NN_FLOAT32 ? 0x1p-23 : 0x1p-52; }

/* ---- numbers ----------------------------------------------------------------------------------------- */

static uint32_t noise_state = 12345;
static inline uint32_t noise_below(uint32_t below) {
    noise_state = noise_state * 1664525u + 1013904223u;
    return (noise_state >> 8) % below;
}

/* In [-1, 1), the same number in both dtypes. */
static inline double noise(void) { return (double)((int)noise_below(1 << 16) - (1 << 15)) / (1 << 15); }

static inline double *noises(int64_t count) {
    double *made = block(count * (int64_t)sizeof *made);
    for (int64_t i = 0; i < count; i++) made[i] = noise();
    return made;
}

/* ---- axes -------------------------------------------------------------------------------------------- */

/* One run of a test for every instruction set of this CPU and both dtypes. */
static inline void for_each_kernel_set(void (*run)(nn_dtype dtype, void *context), void *context) {
    for (int isa = 0; isa < NN_ISAS; isa++) {
        if (!nn_isa_available((nn_isa)isa)) continue;
        CHECK_EQUAL(nn_isa_select(nn_isa_name((nn_isa)isa), NULL), NN_OK);
        for (int dtype = 0; dtype < NN_DTYPES; dtype++) run((nn_dtype)dtype, context);
    }
}

/* One thread, or two that share the smallest work of two pieces. */
static inline void use_threads(int threads) {
    CHECK_EQUAL(nn_threads_set(threads, NULL), NN_OK);
    nn_threads_threshold_set(threads > 1 ? 0 : INT64_MAX);
}

#endif
