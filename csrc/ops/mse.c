/*
 * mse: the mean of (x - target)^2 over all elements; target is an array like x, in the same memory order.
 *
 * Backward: dx = 2 (x - target) * factor / count.
 */
#include "loss.h"

static nn_status plan(nn_op *op, nn_error *error) {
    nn_status status = nn_loss_plan(op, nn_size_product(op->x, 4), NN_MSE_PIECE, 3, error);
    op->needs = NN_NEEDS_X | NN_NEEDS_TARGET;
    return status;
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_mse_args args = {.partial = io->work, .x = io->x, .target = io->target};
    nn_parallel(nn_kernel(NN_KERNEL_mse_forward, op->dtype), &args, op->x_count, NN_MSE_PIECE, nn_loss_work(op, 2));
    nn_loss_fold(io->y, io->work, op, op->x_count);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (!io->dx) return NN_OK;
    nn_mse_args args = {.dx = io->dx, .x = io->x, .target = io->target,
                        .scale = 2 * nn_loss_factor(io) / (double)op->x_count};
    nn_parallel(nn_kernel(NN_KERNEL_mse_backward, op->dtype), &args, op->x_count, NN_MSE_PIECE, nn_loss_work(op, 3));
    return NN_OK;
}

const nn_op_class nn_mse_class = {plan, forward, backward};
