/*
 * runtime.h: what operations ask of the process: kernels, threads, memory.
 */
#ifndef NN_RUNTIME_H
#define NN_RUNTIME_H

#include "../nncore.h"
#include "../kernels/kernel.h"
#include "../kernels/kernel_id.h"

/* The active instruction set's kernel for a dtype. */
nn_kernel_fn *nn_kernel(nn_kernel_id id, nn_dtype dtype);

/*
 * Runs kernel(args, begin, end) over [0, total) in pieces of `piece`, the last one shorter. Serial or on the
 * pool, always the same pieces: who runs a piece never shows in the result. `work` is the larger of the flops
 * and the bytes of the whole, compared with the threshold.
 */
void nn_parallel(nn_kernel_fn *kernel, const void *args, int64_t total, int64_t piece, int64_t work);

/* At most so many threads in calls of nn_parallel by this thread; 0: as many as the process. Returns the former. */
int nn_threads_limit(int limit);

/* CPUs that the control groups listed in file `membership`, found under `root`, may use; INT_MAX: no limit. */
int nn_cgroup_cpus(const char *membership, const char *root);

/* The one allocator: 64-byte aligned; NULL when `bytes` is negative, too large, or not to be had. */
void *nn_alloc(int64_t bytes);
void nn_free(void *block);

#endif
