/*
 * arithmetic.c: how the second operand of a sum or a product lies beside the first.
 */
#include "arithmetic.h"

/* x as (groups, repeat, width), the second operand as (groups, width). */
typedef struct broadcast {
    int64_t groups, repeat, width;
} broadcast;

/* Of the axes in memory, those that are kept, then those that are repeated, then those that are kept. */
static bool lay_out(const nn_op *op, broadcast *b) {
    const int64_t *x = op->x, *y = op->more[0];
    const int64_t sizes[3] = {x[0], x[2] * x[3], x[1]}, kept[3] = {y[0], y[2] * y[3], y[1]};
    bool repeated = false;
    *b = (broadcast){1, 1, 1};
    for (int axis = 0; axis < 3; axis++) {
        if (sizes[axis] == 1) continue;
        if (kept[axis] == sizes[axis]) {
            *(repeated ? &b->width : &b->groups) *= sizes[axis];
        } else {
            if (b->width != 1) return false;
            b->repeat *= sizes[axis];
            repeated = true;
        }
    }
    if (!repeated) *b = (broadcast){1, 1, b->groups};
    return true;
}

/* A weight (1, c, h, w) lies in logical order, x in channels-last memory. */
static bool turned(const nn_op *op) {
    return op->more_count == 0 && op->more[0][1] > 1 && op->more[0][2] * op->more[0][3] > 1;
}

nn_status nn_arithmetic_plan(nn_op *op, nn_error *error) {
    const bool array = op->more_count > 0;
    op->inputs = array ? 2 : 1;
    for (int i = 0; i < 4; i++) op->y[i] = op->x[i];
    op->x_count = op->y_count = op->flops = nn_size_product(op->x, 4);
    if (op->x_count < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    for (int i = 0; i < 4; i++) {
        const int64_t size = op->more[0][i], wanted = i == 0 && !array ? 1 : op->x[i];
        const bool fits = size == wanted || (size == 1 && (i > 0 || !array));
        if (!fits) return nn_fail(error, NN_VALUE_ERROR, "other.shape", i, size, "1 or", wanted);
    }
    broadcast b;
    const bool half = (op->more[0][2] == op->x[2]) != (op->more[0][3] == op->x[3]) && op->x[2] * op->x[3] > 1;
    if ((half && op->more[0][2] * op->more[0][3] > 1) || !lay_out(op, &b))
        return nn_fail(error, NN_VALUE_ERROR, "other.shape", 1, op->more[0][1], "equal to", op->x[1]);
    if (!array) op->weight_count = nn_size_product(op->more[0], 4); /* at most x_count, or x is empty */
    if (op->weight_count < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "other", -1, op->x[1], "small enough to count in", INT64_MAX);
    op->overwrites = !array;
    if (turned(op)) {
        op->forward_bytes = nn_size_mul(op->weight_count, nn_dtype_bytes(op->dtype));
        op->backward_bytes = nn_size_mul(2, op->forward_bytes);
    }
    return NN_OK;
}

static int64_t work_of(const nn_op *op) { return 3 * op->x_count * nn_dtype_bytes(op->dtype); }

void nn_arithmetic_forward(const nn_op *op, const nn_io *io, nn_kernel_id kernel, double factor) {
    broadcast b;
    lay_out(op, &b);
    nn_arithmetic_args args = {.z = io->y, .x = io->x, .y = op->more_count ? io->more[0] : io->weight,
                               .factor = factor, .repeat = b.repeat, .width = b.width};
    if (turned(op)) {
        nn_transpose(io->work, io->weight, op->dtype, 1, op->x[1], op->x[2] * op->x[3]);
        args.y = io->work;
    }
    nn_parallel(nn_kernel(kernel, op->dtype), &args, op->x_count, NN_ARITHMETIC_PIECE, work_of(op));
}

void nn_arithmetic_scale(const nn_op *op, void *z, const void *a, double factor, double summand) {
    const nn_arithmetic_args args = {.z = z, .x = a, .factor = factor, .summand = summand};
    nn_parallel(nn_kernel(NN_KERNEL_scale, op->dtype), &args, op->x_count, NN_ARITHMETIC_PIECE, work_of(op));
}

void nn_arithmetic_second(const nn_op *op, const nn_io *io, const void *other, double factor) {
    void *z = op->more_count ? io->dmore[0] : io->dweight;
    broadcast b;
    if (!z) return;
    lay_out(op, &b);
    nn_arithmetic_args args = {.z = turned(op) ? io->work : z, .x = io->dy, .y = other, .factor = factor,
                               .repeat = b.repeat, .width = b.width,
                               .overwrite = op->more_count || io->overwrite || turned(op)};
    const bool whole = b.groups == 1 && b.repeat == 1 && args.overwrite;
    if (whole && other)
        nn_parallel(nn_kernel(NN_KERNEL_multiply, op->dtype), &args, op->x_count, NN_ARITHMETIC_PIECE, work_of(op));
    else if (whole)
        nn_arithmetic_scale(op, args.z, io->dy, factor, 0);
    else
        nn_parallel(nn_kernel(NN_KERNEL_broadcast_sum, op->dtype), &args, b.groups * nn_broadcast_pieces(b.width), 1,
                    work_of(op));
    if (!turned(op)) return;
    void *logical = (char *)io->work + op->forward_bytes;
    nn_transpose(logical, io->work, op->dtype, 1, op->x[2] * op->x[3], op->x[1]);
    args = (nn_arithmetic_args){.z = z, .x = io->overwrite ? logical : z, .y = logical, .factor = 1, .repeat = 1,
                                .width = op->weight_count};
    nn_parallel(nn_kernel(io->overwrite ? NN_KERNEL_scale : NN_KERNEL_add, op->dtype), &args, op->weight_count,
                NN_ARITHMETIC_PIECE, 3 * op->forward_bytes);
}
