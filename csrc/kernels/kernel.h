/*
 * kernel.h: the one signature of all kernels.
 *
 * A kernel is a serial loop over a range: it allocates nothing, starts no thread, knows no Python. What begin
 * and end count is said in the opening comment of each.
 */
#ifndef NN_KERNEL_H
#define NN_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void nn_kernel_fn(const void *args, int64_t begin, int64_t end);

#endif
