/*
 * maxpool2d: y (n, c, out_h, out_w) = the largest element of each window of x (n, c, h, w).
 *
 * Saved for backward: the position of each winner in its window, row-major; a byte for windows of up to 255
 * elements, else 2 or 4. Where io->saved is NULL no index is made.
 *
 * With op->relu, ReLU is part of it: y = the largest element after ReLU, dx = the gradient of what ReLU reads. The
 * largest is the same before and after, so ReLU is computed of y alone; and where y is 0 its derivative is, so that the
 * index names no element there, and backward needs to know nothing. Bit for bit the two operations one after the other.
 *
 * Backward, dy (n, c, out_h, out_w): dx (n, c, h, w) = the sum of dy over the windows that an element won. An
 * index that forward did not make gives a wrong dx, but nothing is written outside of it.
 */
#include "../kernels/maxpool2d.h"

#include "../runtime/runtime.h"
#include "op.h"

/* Bytes of x, y and index that a piece touches, about: they and the caller's code fit the second-level cache. */
enum { PIECE_BYTES = 96 * 1024 };

static nn_status plan(nn_op *op, nn_error *error) {
    if (op->x[1] < 1) return nn_fail(error, NN_VALUE_ERROR, "channels", -1, op->x[1], "at least", 1);
    op->y[0] = op->x[0], op->y[1] = op->x[1];
    for (int axis = 0; axis < 2; axis++) {
        const nn_status status = nn_window_output(&op->window, axis, op->x[2 + axis], true, &op->y[2 + axis], error);
        if (status != NN_OK) return status;
    }
    const nn_window window = nn_pool_window(op);
    const int64_t area = window.kernel[0] * window.kernel[1]; /* at most 2^60 */
    const int64_t index_bytes = nn_maxpool2d_index_bytes(area);
    if (index_bytes == 0)
        return nn_fail(error, NN_VALUE_ERROR, "elements of kernel_size", -1, area, "at most", INT32_MAX);
    op->x_count = nn_size_product(op->x, 4);
    op->y_count = nn_size_product(op->y, 4);
    op->saved_bytes = nn_size_mul(op->y_count, index_bytes);
    if (op->x_count < 0 || op->saved_bytes < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    const int64_t flops = nn_size_mul(op->y_count, area); /* with ReLU or without: a comparison each */
    op->flops = flops < 0 ? INT64_MAX : flops;
    op->needs = NN_NEEDS_SAVED;
    return NN_OK;
}

static nn_maxpool2d_args args_of(const nn_op *op) {
    nn_maxpool2d_args args = {.n = op->x[0], .c = op->x[1], .h = op->x[2], .w = op->x[3],
                              .out_h = op->y[2], .out_w = op->y[3], .relu = op->relu};
    const nn_window window = nn_pool_window(op);
    args.adaptive = window.adaptive;
    for (int axis = 0; axis < 2; axis++) {
        args.kernel[axis] = window.kernel[axis];
        args.stride[axis] = window.stride[axis];
        args.padding[axis] = window.padding[axis];
        args.dilation[axis] = args.kernel[axis] > 1 ? window.dilation[axis] : 1; /* else it means nothing */
    }
    args.index_bytes = nn_maxpool2d_index_bytes(args.kernel[0] * args.kernel[1]);
    return args;
}

/* Bytes of one image of x, y and index. */
static int64_t image_bytes(const nn_op *op) {
    const int64_t bytes = nn_dtype_bytes(op->dtype);
    return op->x[1] * (op->x[2] * op->x[3] * bytes + op->y[2] * op->y[3] * (bytes + 1));
}

/* Runs a kernel over `parts` of each image, in pieces fixed by the shape of one image. */
static void run(const nn_op *op, nn_kernel_id kernel, const nn_maxpool2d_args *args, int64_t parts, int64_t flops) {
    const int64_t part_bytes = image_bytes(op) / parts + 1;
    const int64_t piece = part_bytes < PIECE_BYTES ? PIECE_BYTES / part_bytes : 1;
    nn_parallel(nn_kernel(kernel, op->dtype), args, op->x[0] * parts, piece,
                nn_work(flops, op->x[0] * image_bytes(op)));
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_maxpool2d_args args = args_of(op);
    args.y = io->y, args.index = io->saved, args.x = io->x;
    run(op, NN_KERNEL_maxpool2d_forward, &args, args.out_h, op->flops);
    return NN_OK;
}

/* Which form of backward, by the window alone: see maxpool2d_backward.tmpl.c. */
static nn_kernel_id backward_kernel(const nn_maxpool2d_args *a) {
    if (a->adaptive) return NN_KERNEL_maxpool2d_backward_scatter;
    bool dense = true, disjoint = true;
    int64_t holders = 1; /* windows that an element lies in, at most */
    for (int axis = 0; axis < 2; axis++) {
        dense = dense && a->dilation[axis] == 1;
        disjoint = disjoint && a->stride[axis] >= a->kernel[axis];
        holders *= (a->kernel[axis] + a->stride[axis] - 1) / a->stride[axis];
    }
    if (dense && disjoint) return NN_KERNEL_maxpool2d_backward_disjoint;
    /* Gather compares for every window that holds an element, scatter adds once for each window. */
    return dense && holders <= 16 ? NN_KERNEL_maxpool2d_backward_gather : NN_KERNEL_maxpool2d_backward_scatter;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (!io->dx) return NN_OK;
    nn_maxpool2d_args args = args_of(op);
    args.dx = io->dx, args.dy = io->dy, args.index = io->saved;
    const nn_kernel_id kernel = backward_kernel(&args);
    const int64_t parts = kernel == NN_KERNEL_maxpool2d_backward_disjoint ? args.out_h
                          : kernel == NN_KERNEL_maxpool2d_backward_gather ? nn_maxpool2d_bands(&args)
                                                                          : 1;
    run(op, kernel, &args, parts, 0);
    return NN_OK;
}

const nn_op_class nn_maxpool2d_class = {plan, forward, backward};
