/*
 * probe.c: what the arithmetic of this machine can do at best, for benchmarks.
 */
#include "../kernels/probe.h"

#include "runtime.h"

double nn_probe_fma(double flops) {
    double sums[NN_THREADS_MAX], done[NN_THREADS_MAX];
    nn_probe_args args = {.sums = sums, .flops = done, .piece = 1};
    nn_kernel_fn *kernel = nn_kernel(NN_KERNEL_probe_fma, NN_FLOAT32);
    kernel(&args, 0, 1); /* how much a turn is */
    const int threads = nn_threads_get();
    args.piece = 1 + (int64_t)(flops / done[0]);
    nn_parallel(kernel, &args, threads * args.piece, args.piece, (int64_t)(flops * threads));
    double total = 0;
    for (int i = 0; i < threads; i++) total += done[i];
    return total;
}
