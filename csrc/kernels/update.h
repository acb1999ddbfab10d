/*
 * update.h: arguments of the optimisers' updates: many tensors as one run of elements.
 */
#ifndef NN_KERNELS_UPDATE_H
#define NN_KERNELS_UPDATE_H

#include <stdbool.h>
#include <stdint.h>

/* The engine's nn_tensor (csrc/ops/update.c holds them together): kernels do not know its header. */
typedef struct __attribute__((may_alias)) nn_update_tensor {
    void *param, *grad, *state[3];
    int64_t count;
} nn_update_tensor;

typedef struct nn_update_args {
    const nn_update_tensor *tensors; /* begin and end count through all of them, one behind the other */
    int64_t tensor_count;
    const void *outer; /* or NULL: dy, one for each row of the one tensor. Its gradient is dy grad^T, grad is (in); begin
                          and end count rows, of whole vectors, and no gradient is cleared */
    int64_t in;
    double lr, weight_decay;
    bool decay; /* weight_decay is not 0 */
    bool clear_grad;
    double grad_scale; /* factor on the gradient: clipping by norm, and -1 where the aim is a maximum */
    double max_value;  /* then its magnitude is at most so much; infinite: any */

    /* SGD */
    double momentum, one_minus_dampening;
    bool nesterov;
    bool first; /* the momentum buffer starts as the gradient */

    /* Adam, with the bias corrections of this step taken in; RMSprop, Adagrad and Lion take from these */
    double beta1, one_minus_beta1, beta2, one_minus_beta2, eps;
    bool short_memory;     /* beta1 is small: the mean is taken from its nearer end */
    double shrink;         /* what decoupled weight decay leaves: 1 - lr weight_decay */
    double step_size;      /* lr sqrt(1 - beta2^t) / (1 - beta1^t); then eps is times that root too */
    bool amsgrad, centered;

    int *nonfinite;        /* update_finite: set to 1 where a gradient is infinite or NaN */
    double *sums;          /* update_squares: one for each piece of `piece` elements */
    int64_t piece;
} nn_update_args;

#endif
