/*
 * cross_entropy.h: softmax cross-entropy as an operation, by labels or by probabilities.
 */
#ifndef NN_OPS_CROSS_ENTROPY_H
#define NN_OPS_CROSS_ENTROPY_H

#include "loss.h"

#define NN_CROSS_ENTROPY_OP(name, labels)                                                          \
    static nn_status plan(nn_op *op, nn_error *error) {                                            \
        nn_status status = nn_label_loss_plan(op, labels, 25, error);                              \
        if (status != NN_OK) return status;                                                        \
        op->saved_bytes = nn_size_mul(op->x_count, nn_dtype_bytes(op->dtype));                     \
        op->needs |= NN_NEEDS_SAVED;                                                               \
        return NN_OK;                                                                              \
    }                                                                                              \
    static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {                  \
        return nn_label_loss_forward(op, io, NN_KERNEL_softmax_forward, error);                    \
    }                                                                                              \
    static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {                 \
        return nn_label_loss_backward(op, io, NN_KERNEL_cross_entropy_backward, error);            \
    }                                                                                              \
    const nn_op_class nn_##name##_class = {plan, forward, backward};

#endif
