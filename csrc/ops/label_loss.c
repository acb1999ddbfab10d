/*
 * label_loss.c: losses of rows of classes: x (n, classes), or images (n, classes, h, w), whose rows of classes lie one
 * after the other in memory. labels int64 (n) or (n, h, w).
 */
#include "loss.h"

/* Depends on the number of classes alone. */
int64_t nn_rows_a_piece(int64_t classes) {
    const int64_t rows = NN_SOFTMAX_PIECE / classes;
    return rows >= 64 ? rows / 64 * 64 : rows > 0 ? rows : 1;
}

static int64_t rows_of(const nn_op *op) { return op->x[0] * op->x[2] * op->x[3]; }

nn_status nn_label_loss_plan(nn_op *op, bool labels, int flops_each, nn_error *error) {
    const int64_t classes = op->x[1];
    if (classes < 1) return nn_fail(error, NN_VALUE_ERROR, "classes", -1, classes, "at least", 1);
    const int64_t rows = nn_size_mul(nn_size_mul(op->x[0], op->x[2]), op->x[3]);
    if (rows < 0) return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    nn_status status = nn_loss_plan(op, rows, nn_rows_a_piece(classes), flops_each, error);
    if (status != NN_OK) return status;
    op->weight_count = classes;
    op->needs = NN_NEEDS_TARGET;
    op->reads_labels = labels;
    const int64_t each[4] = {op->x[0], op->x[2], op->x[3], 1};
    if (labels) op->target_count = rows;
    for (int i = 0; i < 4; i++) {
        if (labels) op->target[i] = each[i];
        if (op->reduction == NN_NONE) op->y[i] = each[i];
    }
    if (op->reduction == NN_NONE) op->y_count = rows;
    return NN_OK;
}

static bool is_ignored(const nn_op *op, int64_t label) { return op->ignores && label == op->ignore_index; }

static bool are_classes(const nn_op *op, const int64_t *labels, int64_t n) {
    bool outside = false;
    for (int64_t i = 0; i < n; i++) outside |= (uint64_t)labels[i] >= (uint64_t)op->x[1]; /* -1 is huge */
    return !outside;
}

/* All of them, before anything is written. */
nn_status nn_labels_check(const nn_op *op, const int64_t *labels, nn_error *error) {
    const int64_t n = rows_of(op), classes = op->x[1];
    if (are_classes(op, labels, n)) return NN_OK;
    for (int64_t row = 0; row < n; row++) {
        if ((uint64_t)labels[row] < (uint64_t)classes || is_ignored(op, labels[row])) continue;
        if (labels[row] < 0) return nn_fail(error, NN_INDEX_ERROR, "target", row, labels[row], "at least", 0);
        return nn_fail(error, NN_INDEX_ERROR, "target", row, labels[row], "below", classes);
    }
    return NN_OK;
}

static double weight_at(const nn_op *op, const void *weight, int64_t label) {
    if (!weight) return 1;
    return op->dtype == NN_FLOAT32 ? (double)((const float *)weight)[label] : ((const double *)weight)[label];
}

/* What the rows count for in the mean: each as much as its label's weight. */
static double count_of(const nn_op *op, const nn_io *io) {
    const int64_t n = rows_of(op), *labels = io->target;
    double count = 0;
    for (int64_t i = 0; i < n; i++)
        if (!is_ignored(op, labels[i])) count += weight_at(op, io->weight, labels[i]);
    return count;
}

nn_status nn_label_loss_begin(const nn_op *op, const nn_io *io, nn_softmax_args *args, double *divisor,
                              nn_error *error) {
    bool all_alike = !op->reads_labels; /* every row counts, as much as any other */
    if (op->reads_labels) {
        const bool classes_alone = are_classes(op, io->target, rows_of(op));
        nn_status status = classes_alone ? NN_OK : nn_labels_check(op, io->target, error);
        if (status != NN_OK) return status;
        all_alike = classes_alone && !io->weight && !(op->ignores && are_classes(op, &op->ignore_index, 1));
    }
    const double smoothing = op->parameter[0];
    const double count = op->reduction != NN_MEAN ? 0 : all_alike ? (double)rows_of(op) : count_of(op, io);
    *divisor = nn_loss_divisor(op, count);
    *args = (nn_softmax_args){.x = io->x,
                              .saved = io->saved,
                              .labels = op->reads_labels ? io->target : NULL,
                              .target = op->reads_labels ? NULL : io->target,
                              .weight = io->weight,
                              .scale = nn_loss_factor(op, io) / *divisor,
                              .kept = 1 - smoothing,
                              .spread = smoothing / (double)op->x[1],
                              .ignored = op->ignores ? op->ignore_index : INT64_MIN,
                              .classes = op->x[1],
                              .rows_a_piece = nn_rows_a_piece(op->x[1])};
    for (int64_t j = 0; smoothing != 0 && j < op->x[1]; j++) args->all += weight_at(op, io->weight, j);
    return NN_OK;
}

nn_status nn_label_loss_forward(const nn_op *op, const nn_io *io, nn_kernel_id kernel, nn_error *error) {
    nn_softmax_args args;
    double divisor;
    nn_status status = nn_label_loss_begin(op, io, &args, &divisor, error);
    if (status != NN_OK) return status;
    const bool whole = op->reduction == NN_NONE;
    args.losses = whole ? io->y : NULL;
    args.partial = whole ? NULL : io->work;
    args.probabilities = io->saved;
    nn_parallel(nn_kernel(kernel, op->dtype), &args, rows_of(op), args.rows_a_piece, nn_loss_work(op, 2));
    if (!whole) nn_loss_fold(io->y, io->work, op, divisor);
    return NN_OK;
}

nn_status nn_label_loss_backward(const nn_op *op, const nn_io *io, nn_kernel_id kernel, nn_error *error) {
    nn_softmax_args args;
    double divisor;
    nn_status status = nn_label_loss_begin(op, io, &args, &divisor, error);
    if (status != NN_OK || !io->dx) return status;
    args.dx = io->dx;
    args.dy = op->reduction == NN_NONE ? io->dy : NULL;
    nn_parallel(nn_kernel(kernel, op->dtype), &args, rows_of(op), args.rows_a_piece,
                op->x_count * nn_dtype_bytes(op->dtype) * 2);
    return NN_OK;
}
