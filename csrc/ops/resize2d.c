/*
 * resize2d: y (n, c, out_h, out_w) = x (n, c, h, w) at other places. Element i along an axis stands for the place
 * i * step of x (nearest, or bilinear with aligned corners), or (i + 1/2) step - 1/2; there it is the cell whose
 * number is that rounded down, or that cell and the next one, weighted by their nearness.
 *
 * Backward: dx (n, c, h, w) = the sum of dy over the elements made of a cell, weighted as they were.
 */
#include "../kernels/resize2d.h"

#include <math.h>

#include "../runtime/runtime.h"
#include "op.h"

/* Bytes of x and y that a piece touches, about: they fit the second-level cache. */
enum { PIECE_BYTES = 96 * 1024 };

static nn_status plan(nn_op *op, nn_error *error) {
    if (op->x[1] < 1) return nn_fail(error, NN_VALUE_ERROR, "channels", -1, op->x[1], "at least", 1);
    if (op->mode < NN_RESIZE_NEAREST || op->mode > NN_RESIZE_ALIGNED)
        return nn_fail(error, NN_VALUE_ERROR, "mode", -1, op->mode, "at most", NN_RESIZE_ALIGNED);
    nn_window window = op->window;
    window.adaptive = true; /* so many elements from any input */
    op->y[0] = op->x[0], op->y[1] = op->x[1];
    for (int axis = 0; axis < 2; axis++) {
        const nn_status status = nn_window_output(&window, axis, op->x[2 + axis], true, &op->y[2 + axis], error);
        if (status != NN_OK) return status;
        if (!(op->parameter[axis] >= 0 && op->parameter[axis] <= 0x1p30))
            return nn_fail(error, NN_VALUE_ERROR, "scale", axis, -1, "at least", 0);
    }
    op->x_count = nn_size_product(op->x, 4);
    op->y_count = nn_size_product(op->y, 4);
    if (op->x_count < 0 || op->y_count < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    op->flops = nn_size_mul(op->y_count, op->mode == NN_RESIZE_NEAREST ? 1 : 6);
    if (op->flops < 0) op->flops = INT64_MAX;
    op->forward_bytes = op->backward_bytes = (op->y[2] + op->y[3]) * (int64_t)sizeof(nn_resize_tap);
    return NN_OK;
}

/* Where element i of `count` comes from, on an axis of `size` cells. */
static nn_resize_tap tap_of(int mode, double step, int64_t i, int64_t count, int64_t size) {
    if (count == size) return (nn_resize_tap){.at = {i, i}, .weight = {1, 0}}; /* whatever the step, as in PyTorch */
    double place = (double)i * step;
    if (mode == NN_RESIZE_BILINEAR) place = fmax(((double)i + 0.5) * step - 0.5, 0);
    if (mode == NN_RESIZE_NEAREST) /* PyTorch's arithmetic: where it is wrong, so are we */
        place = count == 2 * size ? (double)(i / 2) : (double)((float)i * (float)step);
    nn_resize_tap tap = {.weight = {1, 0}};
    tap.at[0] = place < (double)size ? (int64_t)place : size - 1;
    tap.at[1] = tap.at[0] < size - 1 ? tap.at[0] + 1 : tap.at[0];
    if (mode == NN_RESIZE_NEAREST) return tap;
    tap.weight[1] = fmin(place - (double)tap.at[0], 1);
    tap.weight[0] = 1 - tap.weight[1];
    return tap;
}

static nn_resize2d_args args_of(const nn_op *op, void *work) {
    nn_resize_tap *taps = work;
    for (int64_t axis = 0, at = 0; axis < 2; at = op->y[2], axis++)
        for (int64_t i = 0; i < op->y[2 + axis]; i++)
            taps[at + i] = tap_of(op->mode, op->parameter[axis], i, op->y[2 + axis], op->x[2 + axis]);
    return (nn_resize2d_args){.n = op->x[0], .c = op->x[1], .h = op->x[2], .w = op->x[3], .out_h = op->y[2],
                              .out_w = op->y[3], .taps = op->mode == NN_RESIZE_NEAREST ? 1 : 2, .down = taps,
                              .across = taps + op->y[2]};
}

/* Runs a kernel over the rows of y or dx, in pieces fixed by the shape of one image. */
static void run(const nn_op *op, nn_kernel_id kernel, const nn_resize2d_args *args, int64_t rows) {
    const int64_t image_bytes = nn_dtype_bytes(op->dtype) * op->x[1] * (op->x[2] * op->x[3] + op->y[2] * op->y[3]);
    const int64_t row_bytes = image_bytes / rows + 1;
    nn_parallel(nn_kernel(kernel, op->dtype), args, op->x[0] * rows, row_bytes < PIECE_BYTES ? PIECE_BYTES / row_bytes : 1,
                nn_work(op->flops, op->x[0] * image_bytes));
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_resize2d_args args = args_of(op, io->work);
    args.y = io->y, args.x = io->x;
    run(op, NN_KERNEL_resize2d_forward, &args, args.out_h);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (!io->dx) return NN_OK;
    nn_resize2d_args args = args_of(op, io->work);
    args.dx = io->dx, args.dy = io->dy;
    run(op, NN_KERNEL_resize2d_backward, &args, args.h);
    return NN_OK;
}

const nn_op_class nn_resize2d_class = {plan, forward, backward};
