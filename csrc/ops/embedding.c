/*
 * embedding: y (n, length * channels) = rows of weight (entries, channels), x (n, length) int64 says which: y[i] =
 * weight[x[i]]. Every x is looked at before anything is written.
 *
 * Backward: dweight[x[i]] += dy[i], but for the padding entry. x itself has no gradient.
 */
#include "../kernels/embedding.h"

#include "../kernels/batch.h"
#include "../runtime/runtime.h"
#include "op.h"

enum { PIECE_BYTES = 32 * 1024 };

static nn_status plan(nn_op *op, nn_error *error) {
    if (op->entries < 0) return nn_fail(error, NN_VALUE_ERROR, "num_embeddings", -1, op->entries, "at least", 0);
    if (op->channels < 0) return nn_fail(error, NN_VALUE_ERROR, "embedding_dim", -1, op->channels, "at least", 0);
    op->x_count = nn_size_product(op->x, 4);
    op->y[0] = op->x[0];
    op->y[1] = nn_size_mul(nn_size_product(op->x + 1, 3), op->channels);
    op->y[2] = op->y[3] = 1;
    op->y_count = nn_size_mul(op->x_count, op->channels);
    op->weight_count = nn_size_mul(op->entries, op->channels);
    if (op->x_count < 0 || op->y[1] < 0 || op->y_count < 0 || op->weight_count < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    op->flops = op->y_count;
    op->needs = NN_NEEDS_X;
    op->indices = true;
    return NN_OK;
}

nn_status nn_indices_check(const nn_op *op, const int64_t *x, nn_error *error) {
    for (int64_t i = 0; i < op->x_count; i++) {
        if ((uint64_t)x[i] < (uint64_t)op->entries) continue;
        if (x[i] < 0) return nn_fail(error, NN_INDEX_ERROR, "x", i, x[i], "at least", 0);
        return nn_fail(error, NN_INDEX_ERROR, "x", i, x[i], "below", op->entries);
    }
    return NN_OK;
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    const nn_status status = nn_indices_check(op, io->x, error);
    if (status != NN_OK || op->channels == 0) return status;
    const nn_gather_args args = {.rows = io->y, .source = io->weight, .order = io->x, .channels = op->channels,
                                 .pixels = 1};
    const int64_t bytes = op->channels * nn_dtype_bytes(op->dtype);
    nn_parallel(nn_kernel(NN_KERNEL_gather, op->dtype), &args, op->x_count,
                bytes < PIECE_BYTES ? PIECE_BYTES / bytes : 1, 2 * op->x_count * bytes);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    const nn_status status = nn_indices_check(op, io->x, error);
    if (status != NN_OK || !io->dweight) return status;
    const nn_embedding_args args = {.dweight = io->dweight, .dy = io->dy, .indices = io->x, .count = op->x_count,
                                    .size = op->channels, .padding_entry = op->padding_entry};
    nn_parallel(nn_kernel(NN_KERNEL_embedding_backward, op->dtype), &args, op->channels, NN_EMBEDDING_PIECE,
                2 * op->y_count * nn_dtype_bytes(op->dtype));
    return NN_OK;
}

const nn_op_class nn_embedding_class = {plan, forward, backward};
