/*
 * dropout: in training y = x / (1 - p) with a chance of 1 - p, else 0; otherwise y = x. parameter: p.
 *
 * Which elements are kept is a function of op->stream, io->call and the number of the element (in memory, so of an
 * image in the order n, h, w, c). Saved: a bit for each. Backward: dx = dy / (1 - p) where kept, else 0.
 */
#include "dropout.h"

#include <string.h>

#include "../runtime/runtime.h"

nn_status nn_dropout_plan(nn_op *op, int64_t drawn, nn_error *error) {
    const double p = op->parameter[0];
    if (!(p >= 0 && p <= 1)) return nn_fail(error, NN_VALUE_ERROR, "p", -1, p > 1 ? 2 : -1, "a chance, 0 to", 1);
    for (int i = 0; i < 4; i++) op->y[i] = op->x[i];
    op->x_count = op->y_count = nn_size_product(op->x, 4);
    op->flops = nn_size_mul(op->x_count, 4);
    if (op->flops < 0 || drawn < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    op->saved_bytes = op->training ? (drawn / 64 + (drawn % 64 > 0)) * (int64_t)sizeof(uint64_t) : 0;
    op->needs = op->training ? NN_NEEDS_SAVED : 0;
    return NN_OK;
}

nn_dropout_args nn_dropout_args_of(const nn_op *op, const nn_io *io) {
    const nn_stream stream = nn_stream_of_call(&op->stream, io->call);
    const double kept = 1 - op->parameter[0];
    return (nn_dropout_args){.bits = io->saved, .key = {stream.key[0], stream.key[1]},
                             .nonce = {stream.nonce[0], stream.nonce[1]}, .keep = (uint64_t)(kept * 0x1p63),
                             .scale = kept > 0 ? 1 / kept : 0, .count = op->x_count};
}

void nn_dropout_copy(const nn_op *op, void *to, const void *from) {
    if (to != from && op->x_count > 0) memcpy(to, from, (size_t)(op->x_count * nn_dtype_bytes(op->dtype)));
}

static nn_status plan(nn_op *op, nn_error *error) { return nn_dropout_plan(op, nn_size_product(op->x, 4), error); }

static nn_status run(const nn_op *op, const nn_io *io, nn_kernel_id kernel, void *to, const void *from) {
    nn_dropout_args args = nn_dropout_args_of(op, io);
    args.y = to, args.x = from;
    nn_parallel(nn_kernel(kernel, op->dtype), &args, args.count, NN_DROPOUT_PIECE,
                nn_work(op->flops, 2 * op->x_count * nn_dtype_bytes(op->dtype)));
    return NN_OK;
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (nn_dropout_acts(op, io)) return run(op, io, NN_KERNEL_dropout_forward, io->y, io->x);
    nn_dropout_copy(op, io->y, io->x);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (!io->dx) return NN_OK;
    if (nn_dropout_acts(op, io)) return run(op, io, NN_KERNEL_dropout_backward, io->dx, io->dy);
    nn_dropout_copy(op, io->dx, io->dy);
    return NN_OK;
}

const nn_op_class nn_dropout_class = {plan, forward, backward};
