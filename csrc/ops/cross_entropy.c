/*
 * cross_entropy: the mean over rows of -log softmax(x)[label], x (n, classes), labels int64 (n).
 *
 * Saved: the probabilities (n, classes). Backward: dx = (probabilities - onehot) * factor / n.
 */
#include "loss.h"

/* Whole rows, several vectors of them where there are enough; depends on the number of classes alone. */
static int64_t rows_a_piece(const nn_op *op) {
    const int64_t rows = NN_CROSS_ENTROPY_PIECE / op->x[1];
    return rows >= 64 ? rows / 64 * 64 : rows > 0 ? rows : 1;
}

static nn_status plan(nn_op *op, nn_error *error) {
    if (op->x[1] < 1) return nn_fail(error, NN_VALUE_ERROR, "classes", -1, op->x[1], "at least", 1);
    nn_status status = nn_loss_plan(op, op->x[0], rows_a_piece(op), 25, error);
    if (status != NN_OK) return status;
    op->saved_bytes = nn_size_mul(op->x_count, nn_dtype_bytes(op->dtype));
    op->needs = NN_NEEDS_SAVED | NN_NEEDS_TARGET;
    nn_loss_reads_labels(op);
    return NN_OK;
}

/* All of them, before anything is written. */
nn_status nn_labels_check(const int64_t *labels, int64_t n, int64_t classes, nn_error *error) {
    bool outside = false;
    for (int64_t i = 0; i < n; i++) outside |= (uint64_t)labels[i] >= (uint64_t)classes; /* -1 is huge */
    if (!outside) return NN_OK;
    int64_t row = 0;
    while ((uint64_t)labels[row] < (uint64_t)classes) row++;
    if (labels[row] < 0) return nn_fail(error, NN_INDEX_ERROR, "target", row, labels[row], "at least", 0);
    return nn_fail(error, NN_INDEX_ERROR, "target", row, labels[row], "below", classes);
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    nn_status status = nn_labels_check(io->target, op->x[0], op->x[1], error);
    if (status != NN_OK) return status;
    nn_cross_entropy_args args = {.partial = io->work, .probabilities = io->saved, .x = io->x, .labels = io->target,
                                  .classes = op->x[1], .rows_a_piece = rows_a_piece(op)};
    nn_parallel(nn_kernel(NN_KERNEL_cross_entropy_forward, op->dtype), &args, op->x[0], args.rows_a_piece,
                nn_loss_work(op, 2));
    nn_loss_fold(io->y, io->work, op, op->x[0]);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    nn_status status = nn_labels_check(io->target, op->x[0], op->x[1], error);
    if (status != NN_OK || !io->dx) return status;
    nn_cross_entropy_args args = {.dx = io->dx, .saved = io->saved, .labels = io->target, .classes = op->x[1],
                                  .scale = nn_loss_factor(io) / (double)op->x[0]};
    nn_parallel(nn_kernel(NN_KERNEL_cross_entropy_backward, op->dtype), &args, op->x[0], rows_a_piece(op),
                op->x_count * nn_dtype_bytes(op->dtype) * 2);
    return NN_OK;
}

const nn_op_class nn_cross_entropy_class = {plan, forward, backward};
