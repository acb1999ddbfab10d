/*
 * softmax.h: softmax and its logarithm as operations, over op.channels consecutive elements of memory: the features of
 * a row, the channels of a pixel.
 */
#ifndef NN_OPS_SOFTMAX_H
#define NN_OPS_SOFTMAX_H

#include "loss.h"

static inline nn_status nn_softmax_plan(nn_op *op, nn_error *error) {
    for (int i = 0; i < 4; i++) op->y[i] = op->x[i];
    op->x_count = op->y_count = nn_size_product(op->x, 4);
    op->flops = nn_size_mul(op->x_count, 25);
    if (op->flops < 0) return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    if (op->channels < 1) return nn_fail(error, NN_VALUE_ERROR, "classes", -1, op->channels, "at least", 1);
    if (op->x_count % op->channels)
        return nn_fail(error, NN_VALUE_ERROR, "x.size", -1, op->x_count, "a multiple of", op->channels);
    op->needs = NN_NEEDS_Y;
    return NN_OK;
}

static inline nn_status nn_softmax_forward(const nn_op *op, const nn_io *io, bool logarithms) {
    nn_softmax_args args = {.x = io->x, .classes = op->channels, .rows_a_piece = nn_rows_a_piece(op->channels)};
    if (logarithms) args.logarithms = io->y;
    else args.probabilities = io->y;
    nn_parallel(nn_kernel(NN_KERNEL_softmax_forward, op->dtype), &args, op->x_count / op->channels, args.rows_a_piece,
                nn_loss_work(op, 2));
    return NN_OK;
}

static inline nn_status nn_softmax_backward(const nn_op *op, const nn_io *io, bool logarithms) {
    if (!io->dx) return NN_OK;
    nn_softmax_args args = {.dx = io->dx, .saved = io->y, .dy = io->dy, .classes = op->channels,
                            .of_logarithms = logarithms};
    nn_parallel(nn_kernel(NN_KERNEL_softmax_backward, op->dtype), &args, op->x_count / op->channels,
                nn_rows_a_piece(op->channels), nn_loss_work(op, 3));
    return NN_OK;
}

#define NN_SOFTMAX_OP(name, logarithms)                                                  \
    static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {        \
        (void)error;                                                                     \
        return nn_softmax_forward(op, io, logarithms);                                   \
    }                                                                                    \
    static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {       \
        (void)error;                                                                     \
        return nn_softmax_backward(op, io, logarithms);                                  \
    }                                                                                    \
    const nn_op_class nn_##name##_class = {nn_softmax_plan, forward, backward};

#endif
