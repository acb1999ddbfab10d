/*
 * kernel_id.h: the names of all kernels, for those who choose among them. The kernels themselves do not include it:
 * one more on the list compiles none of the others anew.
 */
#ifndef NN_KERNEL_ID_H
#define NN_KERNEL_ID_H

typedef enum nn_kernel_id {
#define NN_KERNEL(name) NN_KERNEL_##name,
#include "kernels.def"
#undef NN_KERNEL
    NN_KERNELS
} nn_kernel_id;

#endif
