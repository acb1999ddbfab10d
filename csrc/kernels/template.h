/*
 * template.h: opens every kernel template (*.tmpl.c). The build compiles each template once per instruction
 * set and dtype, with NN_ISA (baseline, avx2, avx512) and NN_BITS (32, 64) defined on the command line.
 *
 * Gives: REAL, INT and UINT (integers as wide), NN_DEFINE_KERNEL(name), and the vectors of vec.h.
 */
#ifndef NN_TEMPLATE_H
#define NN_TEMPLATE_H

#if !defined(NN_ISA) || !defined(NN_BITS)
#error "kernel templates are compiled by CMake with -DNN_ISA=... -DNN_BITS=..."
#endif

#include "kernel.h"

#if NN_BITS == 32
#define REAL float
#define INT int32_t
#define UINT uint32_t
#define NN_DTYPE_NAME f32
#define R(x) x##f /* a literal of the element type: R(0.5) */
#elif NN_BITS == 64
#define REAL double
#define INT int64_t
#define UINT uint64_t
#define NN_DTYPE_NAME f64
#define R(x) x
#else
#error "NN_BITS is 32 or 64"
#endif

#define NN_PASTE_(a, b, c) nn_##a##_##b##_##c
#define NN_PASTE(a, b, c) NN_PASTE_(a, b, c)

/* The symbol of a kernel in this unit, for example nn_relu_forward_avx2_f32. */
#define NN_SYMBOL(name) NN_PASTE(name, NN_ISA, NN_DTYPE_NAME)

/* NN_DEFINE_KERNEL(relu_forward) { ... } sees args (const void *), begin, end. */
#define NN_DEFINE_KERNEL(name)                                                  \
    void NN_SYMBOL(name)(const void *args, int64_t begin, int64_t end);         \
    void NN_SYMBOL(name)(const void *args, int64_t begin, int64_t end)

static inline int64_t nn_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t nn_max(int64_t a, int64_t b) { return a > b ? a : b; }

#include "vec.h"

#endif
