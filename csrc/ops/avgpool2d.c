/*
 * avgpool2d: y (n, c, out_h, out_w) = the mean of each window of x (n, c, h, w): its sum over the cells inside the
 * input, divided by op->divisor or else by their number, with count_include_pad that of the padded input.
 *
 * Backward, dy (n, c, out_h, out_w): dx (n, c, h, w) = the sum of dy over the windows that hold an element, each
 * divided as it was.
 */
#include "../kernels/avgpool2d.h"

#include "../runtime/runtime.h"
#include "op.h"

/* Bytes of x and y that a piece touches, about: they fit the second-level cache. */
enum { PIECE_BYTES = 96 * 1024 };

static nn_status plan(nn_op *op, nn_error *error) {
    if (op->x[1] < 1) return nn_fail(error, NN_VALUE_ERROR, "channels", -1, op->x[1], "at least", 1);
    if (op->divisor < 0) return nn_fail(error, NN_VALUE_ERROR, "divisor_override", -1, op->divisor, "at least", 0);
    nn_window window = op->window;
    window.dilation[0] = window.dilation[1] = 1; /* it has none */
    op->y[0] = op->x[0], op->y[1] = op->x[1];
    for (int axis = 0; axis < 2; axis++) {
        const nn_status status = nn_window_output(&window, axis, op->x[2 + axis], true, &op->y[2 + axis], error);
        if (status != NN_OK) return status;
    }
    op->x_count = nn_size_product(op->x, 4);
    op->y_count = nn_size_product(op->y, 4);
    if (op->x_count < 0 || op->y_count < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    window = nn_pool_window(op);
    const int64_t flops = nn_size_mul(op->y_count, window.kernel[0] * window.kernel[1]); /* kernels: at most 2^60 */
    op->flops = flops < 0 ? INT64_MAX : flops;
    if (op->x_count > 0)
        op->backward_bytes = nn_size_mul(nn_size_add(op->y[2], op->y[3]), (int64_t)sizeof(nn_extent));
    return NN_OK;
}

static nn_avgpool2d_args args_of(const nn_op *op) {
    nn_avgpool2d_args args = {.n = op->x[0], .c = op->x[1], .h = op->x[2], .w = op->x[3],
                              .out_h = op->y[2], .out_w = op->y[3],
                              .count_include_pad = op->count_include_pad, .divisor = op->divisor};
    const nn_window window = nn_pool_window(op);
    args.adaptive = window.adaptive;
    for (int axis = 0; axis < 2; axis++) {
        args.kernel[axis] = window.kernel[axis];
        args.stride[axis] = window.stride[axis];
        args.padding[axis] = window.padding[axis];
    }
    return args;
}

/* Runs a kernel over `parts` of each image, in pieces fixed by the shape of one image. */
static void run(const nn_op *op, nn_kernel_id kernel, const nn_avgpool2d_args *args, int64_t parts) {
    const int64_t image_bytes = nn_dtype_bytes(op->dtype) * op->x[1] * (op->x[2] * op->x[3] + op->y[2] * op->y[3]);
    const int64_t part_bytes = image_bytes / parts + 1;
    const int64_t piece = part_bytes < PIECE_BYTES ? PIECE_BYTES / part_bytes : 1;
    nn_parallel(nn_kernel(kernel, op->dtype), args, op->x[0] * parts, piece,
                nn_work(op->flops, op->x[0] * image_bytes));
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_avgpool2d_args args = args_of(op);
    args.y = io->y, args.x = io->x;
    run(op, NN_KERNEL_avgpool2d_forward, &args, args.out_h);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (!io->dx || op->x_count == 0) return NN_OK;
    nn_avgpool2d_args args = args_of(op);
    args.dx = io->dx, args.dy = io->dy;
    nn_extent *windows = io->work;
    for (int axis = 0; axis < 2; axis++) {
        args.windows[axis] = windows;
        for (int64_t i = 0; i < op->y[2 + axis]; i++) *windows++ = nn_extent_of(&args, axis, i, op->x[2 + axis]);
    }
    run(op, NN_KERNEL_avgpool2d_backward, &args, args.h);
    return NN_OK;
}

const nn_op_class nn_avgpool2d_class = {plan, forward, backward};
