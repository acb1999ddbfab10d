/*
 * concatenate: y = x and the arrays after it, side by side along axis 1, features or channels; all other sizes agree.
 *
 * Backward: each gets its part of dy.
 */
#include "../kernels/arithmetic.h"

#include "../runtime/runtime.h"
#include "op.h"

_Static_assert((int)NN_JOIN_MAX == (int)NN_INPUTS_MAX, "a join takes all inputs");

static nn_status plan(nn_op *op, nn_error *error) {
    if (op->more_count < 1)
        return nn_fail(error, NN_VALUE_ERROR, "inputs", -1, op->more_count + 1, "at least", 2);
    op->inputs = 1 + op->more_count;
    for (int i = 0; i < 4; i++) op->y[i] = op->x[i];
    for (int k = 0; k < op->more_count; k++) {
        for (int i = 0; i < 4; i++)
            if (i != 1 && op->more[k][i] != op->x[i])
                return nn_fail(error, NN_VALUE_ERROR, "other.shape", i, op->more[k][i], "equal to", op->x[i]);
        op->y[1] = nn_size_add(op->y[1], op->more[k][1]);
    }
    op->x_count = nn_size_product(op->x, 4);
    op->y_count = op->y[1] < 0 ? -1 : nn_size_product(op->y, 4);
    if (op->x_count < 0 || op->y_count < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    return NN_OK;
}

/* Between `whole` and the arrays, the first of which is `first`. */
static void run(const nn_op *op, void *whole, void *first, void *const *more, bool split) {
    nn_join_args args = {.parts = {first}, .whole = whole, .widths = {op->x[1]}, .count = op->inputs, .split = split};
    for (int k = 0; k < op->more_count; k++) args.parts[1 + k] = more[k], args.widths[1 + k] = op->more[k][1];
    if (op->y_count > 0)
        nn_parallel(nn_kernel(NN_KERNEL_join, op->dtype), &args, op->x[0] * op->x[2] * op->x[3],
                    NN_ARITHMETIC_PIECE / op->y[1] + 1, 2 * op->y_count * nn_dtype_bytes(op->dtype));
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    void *more[NN_INPUTS_MAX - 1];
    for (int k = 0; k < op->more_count; k++) more[k] = (void *)io->more[k]; /* read alone */
    run(op, io->y, (void *)io->x, more, false);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    run(op, (void *)io->dy, io->dx, io->dmore, true);
    return NN_OK;
}

const nn_op_class nn_concatenate_class = {plan, forward, backward};
