/*
 * loss.h: what the losses share: one double as the result, summed over pieces and folded in their order.
 */
#ifndef NN_OPS_LOSS_H
#define NN_OPS_LOSS_H

#include "../kernels/loss.h"
#include "../runtime/runtime.h"
#include "op.h"

/*
 * Counts x, says that y is one number and the target an array like x, and asks for a partial sum a piece. `piece`
 * counts units of `total`. A loss whose target is another says so afterwards.
 */
static inline nn_status nn_loss_plan(nn_op *op, int64_t total, int64_t piece, int flops_each, nn_error *error) {
    for (int i = 0; i < 4; i++) op->y[i] = 1, op->target[i] = op->x[i];
    op->loss = true;
    op->y_count = 1;
    op->x_count = op->target_count = nn_size_product(op->x, 4);
    op->flops = nn_size_mul(op->x_count, flops_each);
    if (op->flops < 0) return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    op->forward_bytes = (total / piece + (total % piece > 0)) * (int64_t)sizeof(double);
    return NN_OK;
}

/* The target is one label a sample. */
static inline void nn_loss_reads_labels(nn_op *op) {
    op->reads_labels = true;
    op->target_count = op->target[0] = op->x[0];
    op->target[1] = op->target[2] = op->target[3] = 1;
}

/* y = sum of the partial sums / count; 0 / 0 is NaN, as PyTorch has it for an empty batch. */
static inline void nn_loss_fold(double *y, const double *partial, const nn_op *op, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < op->forward_bytes / (int64_t)sizeof(double); i++) sum += partial[i];
    *y = sum / (double)count;
}

/* The factor on a loss's gradient. */
static inline double nn_loss_factor(const nn_io *io) { return io->dy ? *(const double *)io->dy : 1; }

static inline int64_t nn_loss_work(const nn_op *op, int arrays) {
    return nn_work(op->flops, op->x_count * nn_dtype_bytes(op->dtype) * arrays);
}

#endif
