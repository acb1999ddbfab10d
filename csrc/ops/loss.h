/*
 * loss.h: what the losses share. Reduced, the result is one double, summed over pieces and folded in their order; else
 * it is an array of the losses.
 */
#ifndef NN_OPS_LOSS_H
#define NN_OPS_LOSS_H

#include "../kernels/loss.h"
#include "../runtime/runtime.h"
#include "op.h"

/*
 * Counts x, and says that y is one number and the target an array like x; asks for a partial sum for each `piece` of
 * `total`. A loss whose y or target is another says so afterwards.
 */
static inline nn_status nn_loss_plan(nn_op *op, int64_t total, int64_t piece, int flops_each, nn_error *error) {
    if ((int)op->reduction < NN_MEAN || op->reduction > NN_NONE)
        return nn_fail(error, NN_VALUE_ERROR, "reduction", -1, op->reduction, "at most", NN_NONE);
    for (int i = 0; i < 4; i++) op->y[i] = 1, op->target[i] = op->x[i];
    op->loss = true;
    op->y_count = 1;
    op->x_count = op->target_count = nn_size_product(op->x, 4);
    op->flops = nn_size_mul(op->x_count, flops_each);
    if (op->flops < 0) return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    if (op->reduction != NN_NONE)
        op->forward_bytes = (total / piece + (total % piece > 0)) * (int64_t)sizeof(double);
    return NN_OK;
}

/* What the sum of the losses is divided by; `count`: what they count for in the mean. */
static inline double nn_loss_divisor(const nn_op *op, double count) {
    return op->reduction == NN_MEAN ? count : op->reduction == NN_BATCHMEAN ? (double)op->x[0] : 1;
}

/* y = sum of the partial sums / divisor; 0 / 0 is NaN, as PyTorch has it for an empty batch. */
static inline void nn_loss_fold(double *y, const double *partial, const nn_op *op, double divisor) {
    double sum = 0;
    for (int64_t i = 0; i < op->forward_bytes / (int64_t)sizeof(double); i++) sum += partial[i];
    *y = sum / divisor;
}

/* The factor on a loss's gradient: of one that is not reduced dy is an array. */
static inline double nn_loss_factor(const nn_op *op, const nn_io *io) {
    return op->reduction != NN_NONE && io->dy ? *(const double *)io->dy : 1;
}

static inline int64_t nn_loss_work(const nn_op *op, int arrays) {
    return nn_work(op->flops, op->x_count * nn_dtype_bytes(op->dtype) * arrays);
}

/* ---- losses of two arrays, element by element: pair_loss.c ------------------------------------------- */

typedef struct nn_pair_loss {
    nn_kernel_id forward, backward;
    double constant[4]; /* as its kernel says */
} nn_pair_loss;

nn_status nn_pair_loss_plan(nn_op *op, int flops_each, nn_error *error);
nn_status nn_pair_loss_forward(const nn_op *op, const nn_io *io, const nn_pair_loss *loss);
nn_status nn_pair_loss_backward(const nn_op *op, const nn_io *io, const nn_pair_loss *loss);

/* Defines nn_<name>_class over the kernels <kernel>_forward and <kernel>_backward; `...`: an operation's constants. */
#define NN_PAIR_LOSS_OP(name, kernel, flops_each, ...)                                                            \
    static nn_pair_loss loss_of(const nn_op *op) {                                                                \
        (void)op;                                                                                                 \
        return (nn_pair_loss){NN_KERNEL_##kernel##_forward, NN_KERNEL_##kernel##_backward, {__VA_ARGS__}};        \
    }                                                                                                             \
    static nn_status plan(nn_op *op, nn_error *error) { return nn_pair_loss_plan(op, flops_each, error); }        \
    static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {                                 \
        (void)error;                                                                                              \
        const nn_pair_loss loss = loss_of(op);                                                                    \
        return nn_pair_loss_forward(op, io, &loss);                                                               \
    }                                                                                                             \
    static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {                                \
        (void)error;                                                                                              \
        const nn_pair_loss loss = loss_of(op);                                                                    \
        return nn_pair_loss_backward(op, io, &loss);                                                              \
    }                                                                                                             \
    const nn_op_class nn_##name##_class = {plan, forward, backward};

/* ---- losses of rows of classes: label_loss.c ---------------------------------------------------------- */

/* Whole rows of so many elements a piece, several vectors of them where there are enough. */
int64_t nn_rows_a_piece(int64_t classes);

nn_status nn_label_loss_plan(nn_op *op, bool labels, int flops_each, nn_error *error);
/* The kernels' arguments, and what the losses are divided by; labels are looked at before anything is written. */
nn_status nn_label_loss_begin(const nn_op *op, const nn_io *io, nn_softmax_args *args, double *divisor,
                              nn_error *error);
nn_status nn_label_loss_forward(const nn_op *op, const nn_io *io, nn_kernel_id kernel, nn_error *error);
nn_status nn_label_loss_backward(const nn_op *op, const nn_io *io, nn_kernel_id kernel, nn_error *error);

#endif
