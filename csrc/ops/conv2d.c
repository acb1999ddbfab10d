/*
 * conv2d: y[n,o,p,q] = bias[o] + sum over (c,i,j) of weight[o,c,i,j] x[n, c, p s - pad + i d, q s - pad + j d],
 * over the cells that exist. weight is (out, in / groups, kh, kw); group g of the outputs sees group g of the
 * channels.
 *
 * Backward, dy like y: dx[n,c,.,.] sums weight times dy over the windows with that cell; dweight += dy times
 * the cells; dbias += sums of dy.
 *
 * The kernels read weights packed in workspace, at the start of every run: they are few, and may have changed.
 */
#include "conv2d.h"

#include "../runtime/runtime.h"

/* One channel in, one out per group: vectors run along the channels. */
static bool is_depthwise(const nn_op *op) { return op->groups == op->x[1] && op->channels == op->x[1]; }

/* Elements of the packed weight (or of its gradient), columns in groups. */
static int64_t packed_count(const nn_op *op, int64_t groups, int64_t rows, int64_t columns) {
    const int64_t sizes[] = {groups, rows, nn_conv2d_padded(columns, op->dtype), op->window.kernel[0],
                             op->window.kernel[1]};
    return nn_size_product(sizes, 5);
}

static int64_t forward_count(const nn_op *op) {
    if (is_depthwise(op)) return packed_count(op, 1, 1, op->channels);
    return packed_count(op, op->groups, op->x[1] / op->groups, op->channels / op->groups);
}

static int64_t backward_data_count(const nn_op *op) {
    if (is_depthwise(op)) return packed_count(op, 1, 1, op->channels);
    return packed_count(op, op->groups, op->channels / op->groups, op->x[1] / op->groups);
}

/* One piece's sums: those of the weight, then those of the bias. */
static int64_t sums_count(const nn_op *op) {
    const int64_t groups = is_depthwise(op) ? 1 : op->groups;
    const int64_t bias = nn_size_mul(groups, nn_conv2d_padded(op->channels / groups, op->dtype));
    return nn_size_add(forward_count(op), bias);
}

/* -1 if either is. */
static int64_t larger(int64_t a, int64_t b) { return a < 0 || b < 0 ? -1 : a > b ? a : b; }

static int64_t forward_bytes(const nn_op *op) {
    int64_t most = nn_size_mul(forward_count(op), nn_dtype_bytes(op->dtype));
    if (nn_conv2d_is_winograd(op, NN_CONV2D_FORWARD))
        most = larger(most, nn_conv2d_winograd_bytes(op, op->x[1], op->channels));
    return larger(most, nn_conv2d_paired_forward_bytes(op));
}

/* The two halves of backward run one after the other in the same workspace. */
static int64_t backward_bytes(const nn_op *op) {
    const int64_t data = nn_size_mul(backward_data_count(op), nn_dtype_bytes(op->dtype));
    const int64_t piece = nn_size_mul(sums_count(op), nn_dtype_bytes(op->dtype));
    int64_t most = piece < 0 ? -1 : larger(data, nn_size_mul(nn_conv2d_weight_pieces(op, piece), piece));
    if (nn_conv2d_is_winograd(op, NN_CONV2D_DATA))
        most = larger(most, nn_conv2d_winograd_bytes(op, op->channels, op->x[1]));
    if (nn_conv2d_is_winograd(op, NN_CONV2D_WEIGHT)) most = larger(most, nn_conv2d_winograd_gradient_bytes(op));
    if (nn_conv2d_is_paired(op)) most = larger(most, nn_conv2d_paired_gradient_bytes(op));
    most = larger(most, nn_conv2d_paired_data_bytes(op));
    return most;
}

nn_status nn_conv2d_check_channels(const nn_op *op, nn_error *error) {
    const int64_t in = op->x[1], out = op->channels, groups = op->groups;
    if (in < 1) return nn_fail(error, NN_VALUE_ERROR, "in_channels", -1, in, "at least", 1);
    if (out < 1) return nn_fail(error, NN_VALUE_ERROR, "out_channels", -1, out, "at least", 1);
    if (groups < 1) return nn_fail(error, NN_VALUE_ERROR, "groups", -1, groups, "at least", 1);
    if (in % groups) return nn_fail(error, NN_VALUE_ERROR, "in_channels", -1, in, "a multiple of groups =", groups);
    if (out % groups) return nn_fail(error, NN_VALUE_ERROR, "out_channels", -1, out, "a multiple of groups =", groups);
    return NN_OK;
}

nn_status nn_conv2d_plan_sizes(nn_op *op, nn_error *error) {
    const int64_t n = op->x[0], in = op->x[1], out = op->channels, groups = op->groups;
    op->x_count = nn_size_product(op->x, 4);
    op->y_count = nn_size_product(op->y, 4);

    const int64_t per_output[] = {op->y_count, in / groups, op->window.kernel[0], op->window.kernel[1], 2};
    const int64_t weight[] = {out, in / groups, op->window.kernel[0], op->window.kernel[1]};
    op->flops = nn_size_product(per_output, 5);
    op->weight_count = nn_size_product(weight, 4);
    op->bias_count = out;
    if (op->x_count < 0 || op->y_count < 0 || op->flops < 0 || op->weight_count < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, n, "small enough to count in", INT64_MAX);
    /* With Winograd's or without, whichever is more: a compiled step runs a smaller batch, for which the other
       way may be chosen, in the same workspace. */
    op->forward_bytes = forward_bytes(op);
    op->backward_bytes = backward_bytes(op);
    if (op->forward_bytes < 0 || op->backward_bytes < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, n, "small enough to count in", INT64_MAX);
    op->needs = NN_NEEDS_X;
    op->follows = true;
    return NN_OK;
}

static nn_status plan(nn_op *op, nn_error *error) {
    nn_status status = nn_conv2d_check_channels(op, error);
    op->y[0] = op->x[0], op->y[1] = op->channels;
    for (int axis = 0; status == NN_OK && axis < 2; axis++)
        status = nn_window_output(&op->window, axis, op->x[2 + axis], false, &op->y[2 + axis], error);
    return status == NN_OK ? nn_conv2d_plan_sizes(op, error) : status;
}

/* Elements i of y along an axis; tap t of the kernel is over x[i * stride - padding + t * dilation]. */
static nn_conv_axis forward_axis(const nn_op *op, int axis) {
    const nn_window *w = &op->window;
    return (nn_conv_axis){
        .source = op->x[2 + axis], .dest = op->y[2 + axis],
        .count = op->y[2 + axis], .first = 0, .stride = 1,
        .origin = -w->padding[axis], .step = w->stride[axis], .tap_step = w->dilation[axis],
        .taps = w->kernel[axis], .kernel = 0, .kernel_step = 1,
    };
}

static int64_t greatest_common_divisor(int64_t a, int64_t b) {
    while (b) {
        const int64_t rest = a % b;
        a = b, b = rest;
    }
    return a;
}

/*
 * Elements phase, phase + stride, ... of dx along an axis. Tap t of the kernel moves element i of y onto
 * position i * stride - padding + t * dilation. The taps that reach this phase are every (stride / g)-th one,
 * g = gcd(stride, dilation); taken from the last to the first, each looks dilation / g further in dy.
 */
static nn_conv_axis backward_axis(const nn_op *op, int axis, int64_t phase) {
    const nn_window *w = &op->window;
    const int64_t stride = w->stride[axis], dilation = w->dilation[axis], kernel = w->kernel[axis];
    const int64_t divisor = greatest_common_divisor(stride, dilation), every = stride / divisor;
    const int64_t at = phase + w->padding[axis];
    nn_conv_axis a = {
        .source = op->y[2 + axis], .dest = op->x[2 + axis],
        .count = (op->x[2 + axis] - 1 - phase) / stride + 1, .first = phase, .stride = stride,
        .step = 1, .tap_step = dilation / divisor, .kernel_step = -every,
    };
    int64_t tap = 0;
    while (tap < every && tap < kernel && (at - tap * dilation) % stride) tap++;
    if (tap == every || tap == kernel) return a; /* no tap reaches this phase */
    a.taps = (kernel - 1 - tap) / every + 1;
    a.kernel = tap + (a.taps - 1) * every;
    a.origin = (at - a.kernel * dilation) / stride;
    return a;
}

/* The weight's strides for groups of `columns` by `rows`. */
static void set_weight(nn_conv2d_args *args, const nn_op *op, bool columns_are_outputs) {
    const int64_t taps = op->window.kernel[0] * op->window.kernel[1];
    const int64_t in = op->x[1] / op->groups, out = op->channels / op->groups;
    args->kernel_width = op->window.kernel[1];
    if (is_depthwise(op)) {
        args->groups = args->rows = 1;
        args->columns = op->channels;
        args->column_stride = taps;
        return;
    }
    args->groups = op->groups;
    args->group_stride = out * in * taps;
    args->rows = columns_are_outputs ? in : out;
    args->columns = columns_are_outputs ? out : in;
    args->row_stride = columns_are_outputs ? taps : in * taps;
    args->column_stride = columns_are_outputs ? in * taps : taps;
}

/* Packs the weight and correlates, in pieces of about 256 KB of source and dest. */
static void correlate(const nn_op *op, nn_conv2d_args *args, int64_t work) {
    const int64_t piece_bytes = INT64_C(256) << 10;
    const int64_t image_bytes = (op->x_count + op->y_count) / op->x[0] * nn_dtype_bytes(op->dtype);
    const int64_t count = args->axis[0].count;
    args->images = piece_bytes / image_bytes;
    if (args->images > 8) args->images = 8;
    if (args->images < 1) args->images = 1;
    args->bands = image_bytes / piece_bytes;
    if (args->bands > count) args->bands = count;
    if (args->bands < 1) args->bands = 1;
    args->band = (count + args->bands - 1) / args->bands;
    args->bands = (count + args->band - 1) / args->band;
    const int64_t pieces = (args->n + args->images - 1) / args->images * args->bands;
    nn_parallel(nn_kernel(NN_KERNEL_conv2d_pack, op->dtype), args, args->groups * args->axis[0].taps, 1,
                op->forward_bytes);
    nn_parallel(nn_kernel(is_depthwise(op) ? NN_KERNEL_conv2d_depthwise : NN_KERNEL_conv2d_correlate, op->dtype),
                args, pieces, 1, work);
}

static void set_after(const nn_op *op, nn_conv2d_args *args, const nn_after *after) {
    if (!after) return;
    args->after = nn_kernel(after->kernel, op->dtype);
    args->after_args = &after->args;
}

/* A pass of its own over dx, where it is not written row by row. */
static void run_after(const nn_op *op, const nn_after *after) {
    if (after)
        nn_parallel(nn_kernel(after->kernel, op->dtype), &after->args, op->x_count, NN_ACTIVATION_PIECE,
                    3 * op->x_count * nn_dtype_bytes(op->dtype));
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (op->x[0] == 0) return NN_OK;
    nn_conv2d_args args = {.dest = io->y, .source = io->x, .weight = io->weight, .bias = io->bias,
                           .packed = io->work, .n = op->x[0],
                           .axis = {forward_axis(op, 0), forward_axis(op, 1)}};
    set_weight(&args, op, true);
    set_after(op, &args, io->after_y);
    if (nn_conv2d_is_winograd(op, NN_CONV2D_FORWARD)) nn_conv2d_winograd(op, &args);
    else if (nn_conv2d_is_paired_forward(op)) nn_conv2d_paired_forward(op, &args);
    else correlate(op, &args, op->flops);
    return NN_OK;
}

void nn_conv2d_backward_data(const nn_op *op, const nn_io *io, const void *bias) {
    nn_conv2d_args args = {.dest = io->dx, .source = io->dy, .weight = io->weight, .bias = bias, .packed = io->work,
                           .n = op->x[0]};
    set_weight(&args, op, false);
    int64_t phases[2];
    for (int axis = 0; axis < 2; axis++) {
        args.axis[axis] = backward_axis(op, axis, 0);
        phases[axis] = op->window.stride[axis];
        if (phases[axis] > op->x[2 + axis]) phases[axis] = op->x[2 + axis];
    }
    const bool by_rows = phases[0] == 1 && phases[1] == 1;
    if (by_rows) set_after(op, &args, io->after_dx);
    if (nn_conv2d_is_winograd(op, NN_CONV2D_DATA)) {
        nn_conv2d_winograd(op, &args);
        return;
    }
    if (nn_conv2d_is_paired_data(op)) {
        nn_conv2d_paired_data(op, &args);
        return;
    }
    for (int64_t h = 0; h < phases[0]; h++) {
        args.axis[0] = backward_axis(op, 0, h);
        for (int64_t w = 0; w < phases[1]; w++) {
            args.axis[1] = backward_axis(op, 1, w);
            correlate(op, &args, op->flops / phases[0] / phases[1]);
        }
    }
    if (!by_rows) run_after(op, io->after_dx);
}

/* Of the weight and the bias; and that of x, where it is joint. */
static void backward_weight(const nn_op *op, const nn_io *io) {
    nn_conv2d_args args = {.source = io->x, .dy = io->dy, .dweight = io->dweight, .dbias = io->dbias,
                           .partial = io->work, .n = op->x[0], .partial_size = sums_count(op),
                           .axis = {forward_axis(op, 0), forward_axis(op, 1)}};
    set_weight(&args, op, true);
    if (nn_conv2d_is_joint(op)) args.dest = io->dx, args.weight = io->weight;
    if (nn_conv2d_is_winograd(op, NN_CONV2D_WEIGHT)) {
        nn_conv2d_winograd_gradient(op, &args);
        return;
    }
    if (nn_conv2d_is_paired(op)) nn_conv2d_set_pairs(op, &args);
    const int64_t partial_bytes = args.partial_size * nn_dtype_bytes(op->dtype);
    const int64_t most = nn_conv2d_weight_pieces(op, partial_bytes);
    args.piece_images = (args.n + most - 1) / most;
    const int64_t pieces = (args.n + args.piece_images - 1) / args.piece_images;
    nn_parallel(nn_kernel(is_depthwise(op) ? NN_KERNEL_conv2d_depthwise_weight : NN_KERNEL_conv2d_backward_weight,
                          op->dtype), &args, pieces, 1, op->flops);
    nn_parallel(nn_kernel(NN_KERNEL_conv2d_fold, op->dtype), &args, args.groups * args.axis[0].taps, 1,
                pieces * partial_bytes);
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (op->x[0] == 0) return NN_OK;
    const bool joint = nn_conv2d_is_joint(op);
    if (io->dweight || io->dbias || (joint && io->dx)) backward_weight(op, io);
    if (io->dx && !joint) nn_conv2d_backward_data(op, io, NULL);
    if (io->dx && joint) run_after(op, io->after_dx);
    return NN_OK;
}

const nn_op_class nn_conv2d_class = {plan, forward, backward};
