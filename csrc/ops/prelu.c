/*
 * prelu: y = x where x > 0, else weight x; weight (1), or (channels) for x (n, channels) or (n, channels, h, w), where
 * the channel is what lies innermost in memory. op.channels: how many weights.
 *
 * Backward: dx = dy where x > 0, else weight dy; dweight += the sums of x dy where not x > 0.
 */
#include "../kernels/prelu.h"

#include "../runtime/runtime.h"
#include "op.h"

static int64_t width_of(const nn_op *op) { return op->channels == 1 ? NN_PRELU_WIDTH : op->channels; }

static int64_t rows_of(const nn_op *op) {
    const int64_t width = width_of(op);
    return op->x_count / width + (op->x_count % width > 0);
}

/* By the width alone. */
static int64_t rows_a_piece(const nn_op *op) {
    const int64_t rows = NN_PRELU_PIECE / width_of(op);
    return rows > 16 ? rows : 16;
}

static int64_t pieces_of(const nn_op *op) { return (rows_of(op) + rows_a_piece(op) - 1) / rows_a_piece(op); }

static nn_status plan(nn_op *op, nn_error *error) {
    for (int i = 0; i < 4; i++) op->y[i] = op->x[i];
    op->x_count = op->y_count = nn_size_product(op->x, 4);
    op->flops = nn_size_mul(op->x_count, 2);
    if (op->flops < 0) return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    if (op->channels < 1) return nn_fail(error, NN_VALUE_ERROR, "num_parameters", -1, op->channels, "at least", 1);
    if (op->channels > 1 && op->x[1] != op->channels)
        return nn_fail(error, NN_VALUE_ERROR, "channels", -1, op->x[1], "equal to num_parameters", op->channels);
    op->weight_count = op->channels;
    op->backward_bytes = nn_size_mul(nn_size_mul(pieces_of(op), width_of(op)), sizeof(double));
    op->needs = NN_NEEDS_X;
    return NN_OK;
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_prelu_args args = {.y = io->y, .x = io->x, .weight = io->weight, .one = op->channels == 1,
                          .count = op->x_count, .width = width_of(op)};
    nn_parallel(nn_kernel(NN_KERNEL_prelu_forward, op->dtype), &args, rows_of(op), rows_a_piece(op),
                op->x_count * nn_dtype_bytes(op->dtype) * 2);
    return NN_OK;
}

/* The sums of the pieces in their order; with one weight also those of the columns. */
static void add_up(const nn_op *op, const double *partial, void *dweight) {
    const int64_t width = width_of(op), pieces = pieces_of(op);
    double all = 0;
    for (int64_t column = 0; column < width; column++) {
        double sum = 0;
        for (int64_t piece = 0; piece < pieces; piece++) sum += partial[piece * width + column];
        all += sum;
        if (op->channels == 1 && column < width - 1) continue;
        const double add = op->channels == 1 ? all : sum;
        const int64_t at = op->channels == 1 ? 0 : column;
        if (op->dtype == NN_FLOAT32) ((float *)dweight)[at] += (float)add;
        else ((double *)dweight)[at] += add;
    }
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (!io->dx && !io->dweight) return NN_OK;
    nn_prelu_args args = {.dx = io->dx, .partial = io->dweight ? io->work : NULL, .x = io->x, .dy = io->dy,
                          .weight = io->weight, .one = op->channels == 1, .count = op->x_count,
                          .width = width_of(op), .rows_a_piece = rows_a_piece(op)};
    nn_parallel(nn_kernel(NN_KERNEL_prelu_backward, op->dtype), &args, rows_of(op), args.rows_a_piece,
                op->x_count * nn_dtype_bytes(op->dtype) * 3);
    if (io->dweight) add_up(op, io->work, io->dweight);
    return NN_OK;
}

const nn_op_class nn_prelu_class = {plan, forward, backward};
