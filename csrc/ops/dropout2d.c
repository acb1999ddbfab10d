/*
 * dropout2d: dropout of whole channels: x (n, c, h, w), or (n, channels * length): rows of `channels` series.
 *
 * Bit n * c + k is that of channel k of sample n.
 */
#include "../runtime/runtime.h"
#include "dropout.h"

/* Rows of features hold each channel's elements side by side: there a "channel" is a sample of one channel. */
static bool is_image(const nn_op *op) { return op->x[2] * op->x[3] != 1; }

static nn_status plan(nn_op *op, nn_error *error) {
    if (op->channels < 1) return nn_fail(error, NN_VALUE_ERROR, "channels", -1, op->channels, "at least", 1);
    const bool image = nn_size_product(op->x + 2, 2) != 1;
    if (image ? op->x[1] != op->channels : op->x[1] % op->channels != 0)
        return nn_fail(error, NN_VALUE_ERROR, "channels of x", -1, op->x[1], "equal to", op->channels);
    const nn_status status = nn_dropout_plan(op, nn_size_mul(op->x[0], op->channels), error);
    if (status == NN_OK) op->forward_bytes = op->saved_bytes; /* where nothing is saved */
    return status;
}

static void apply(const nn_op *op, nn_dropout_args *args, void *to, const void *from) {
    const int64_t channels = op->x[0] * op->channels;
    args->y = to, args->x = from;
    args->channels = is_image(op) ? op->channels : 1;
    args->pixels = is_image(op) ? op->x[2] * op->x[3] : op->x[1] / op->channels;
    const int64_t samples = is_image(op) ? op->x[0] : channels, size = args->channels * args->pixels;
    nn_parallel(nn_kernel(NN_KERNEL_dropout_channels, op->dtype), args, samples,
                size < NN_DROPOUT_PIECE ? NN_DROPOUT_PIECE / (size > 0 ? size : 1) : 1,
                2 * op->x_count * nn_dtype_bytes(op->dtype));
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (!nn_dropout_acts(op, io)) {
        nn_dropout_copy(op, io->y, io->x);
        return NN_OK;
    }
    nn_dropout_args args = nn_dropout_args_of(op, io);
    if (!args.bits) args.bits = io->work;
    args.count = op->x[0] * op->channels;
    nn_parallel(nn_kernel(NN_KERNEL_dropout_forward, op->dtype), &args, args.count, NN_DROPOUT_PIECE, 4 * args.count);
    apply(op, &args, io->y, io->x);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (!io->dx) return NN_OK;
    if (!nn_dropout_acts(op, io)) {
        nn_dropout_copy(op, io->dx, io->dy);
        return NN_OK;
    }
    nn_dropout_args args = nn_dropout_args_of(op, io);
    apply(op, &args, io->dx, io->dy);
    return NN_OK;
}

const nn_op_class nn_dropout2d_class = {plan, forward, backward};
