/*
 * probe.h: arguments of the kernel that does nothing but multiply and add.
 */
#ifndef NN_KERNELS_PROBE_H
#define NN_KERNELS_PROBE_H

#include <stdint.h>

typedef struct nn_probe_args {
    double *sums;  /* one for each piece: what came out, so that no turn can be left out */
    double *flops; /* one for each piece: what it took */
    int64_t piece; /* turns a piece */
} nn_probe_args;

#endif
