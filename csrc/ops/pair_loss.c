/*
 * pair_loss.c: losses of two arrays of one shape and memory order, element by element.
 */
#include "loss.h"

nn_status nn_pair_loss_plan(nn_op *op, int flops_each, nn_error *error) {
    nn_status status = nn_loss_plan(op, nn_size_product(op->x, 4), NN_PAIR_LOSS_PIECE, flops_each, error);
    if (status != NN_OK) return status;
    op->weight_count = op->bias_count = op->x_count;
    op->needs = NN_NEEDS_X | NN_NEEDS_TARGET;
    if (op->reduction != NN_NONE) return NN_OK;
    for (int i = 0; i < 4; i++) op->y[i] = op->x[i];
    op->y_count = op->x_count;
    return NN_OK;
}

static nn_pair_loss_args args_of(const nn_op *op, const nn_io *io, const nn_pair_loss *loss) {
    nn_pair_loss_args args = {.x = io->x, .target = io->target, .weight = io->weight, .positive = io->bias,
                              .scale = nn_loss_factor(op, io) / nn_loss_divisor(op, (double)op->x_count)};
    for (int i = 0; i < 4; i++) args.constant[i] = loss->constant[i];
    return args;
}

nn_status nn_pair_loss_forward(const nn_op *op, const nn_io *io, const nn_pair_loss *loss) {
    nn_pair_loss_args args = args_of(op, io, loss);
    const bool whole = op->reduction == NN_NONE;
    args.losses = whole ? io->y : NULL;
    args.partial = whole ? NULL : io->work;
    nn_parallel(nn_kernel(loss->forward, op->dtype), &args, op->x_count, NN_PAIR_LOSS_PIECE, nn_loss_work(op, 2));
    if (!whole) nn_loss_fold(io->y, io->work, op, nn_loss_divisor(op, (double)op->x_count));
    return NN_OK;
}

nn_status nn_pair_loss_backward(const nn_op *op, const nn_io *io, const nn_pair_loss *loss) {
    if (!io->dx) return NN_OK;
    nn_pair_loss_args args = args_of(op, io, loss);
    args.dx = io->dx;
    args.dy = op->reduction == NN_NONE ? io->dy : NULL;
    nn_parallel(nn_kernel(loss->backward, op->dtype), &args, op->x_count, NN_PAIR_LOSS_PIECE, nn_loss_work(op, 3));
    return NN_OK;
}
