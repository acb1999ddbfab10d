/*
 * probe: fused multiply-adds on registers, as fast as the CPU can: the roof that benchmarks measure products
 * against. begin and end count turns of the loop.
 *
 * Twelve chains, as many as the tiles of gemm.h have, cover the latency of two units. Each goes a = a / 2 + 1/2 from
 * 0, and stays a normal number.
 */
#include "template.h"

#include "probe.h"

enum { CHAINS = 12 };

NN_DEFINE_KERNEL(probe_fma) {
    const nn_probe_args *p = args;
    const vec half = vset(R(0.5));
    vec chain[CHAINS];
    NN_UNROLL(12) for (int i = 0; i < CHAINS; i++) chain[i] = vset(0);
    for (int64_t turn = begin; turn < end; turn++)
        NN_UNROLL(12) for (int i = 0; i < CHAINS; i++) chain[i] = vfma(chain[i], half, half);
    vec sum = chain[0];
    NN_UNROLL(12) for (int i = 1; i < CHAINS; i++) sum += chain[i];
    p->sums[begin / p->piece] = (double)vsum(sum);
    p->flops[begin / p->piece] = 2.0 * CHAINS * VL * (double)(end - begin);
}
