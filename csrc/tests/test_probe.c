/*
 * test_probe: the loop of fused multiply-adds takes the turns that it says, on every instruction set.
 */
#include "buffers.h"
#include "kernels/probe.h"
#include "runtime/runtime.h"

static void check_kernel(nn_dtype dtype, void *unused) {
    (void)unused;
    for (int64_t turns = 1; turns <= 20; turns++) {
        double *sums = block(3 * (int64_t)sizeof *sums), *flops = block(3 * (int64_t)sizeof *flops);
        const nn_probe_args args = {.sums = sums, .flops = flops, .piece = turns};
        for (int64_t i = 0; i < 3; i++) nn_kernel(NN_KERNEL_probe_fma, dtype)(&args, i * turns, (i + 1) * turns);
        for (int i = 0; i < 3; i++) {
            /* 2 flops a lane and turn; each lane holds 1 - 2^-turns, added up exactly but for the last bits. */
            const double lanes = flops[i] / (double)(2 * turns); /* of all chains */
            CHECK(lanes >= 12 && lanes == floor(lanes));
            CHECK(fabs(sums[i] - lanes * (1 - ldexp(1, (int)-turns))) <= 64 * epsilon_of(dtype) * lanes);
        }
        free(sums), free(flops);
    }
}

static void check_amount(nn_dtype dtype, void *unused) {
    (void)dtype, (void)unused;
    for (int threads = 1; threads <= 2; threads++) {
        use_threads(threads);
        const double wanted[] = {0, 1, 1e3, 1e6};
        for (int i = 0; i < 4; i++) {
            const double done = nn_probe_fma(wanted[i]);
            CHECK(done >= threads * wanted[i] && done <= threads * (wanted[i] + 1000));
        }
    }
}

int main(void) {
    check_start();
    for_each_kernel_set(check_kernel, NULL);
    for_each_kernel_set(check_amount, NULL);
    CHECK(nn_threads_pieces_by_workers() > 0);
    return check_report();
}
