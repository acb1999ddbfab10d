/*
 * conv_transpose2d: the gradient of a convolution as a layer. x[n,c,i,j] adds weight[c,o,u,v] x[n,c,i,j] to
 * y[n, o, i s - pad + u d, j s - pad + v d], and bias[o] is added to all; weight is (in, out / groups, kh, kw).
 *
 * Seen from there y is the image, x the gradient of what was convolved. So forward is Conv2d's way to dx, the way
 * to dx is Conv2d's forward over dy, and dweight is Conv2d's with x and dy exchanged: the same kernels, by the
 * operation `mirror` makes. dbias += sums of dy.
 */
#include "conv2d.h"

static nn_op mirror(const nn_op *op) {
    nn_op m = {.kind = NN_OP_CONV2D, .dtype = op->dtype, .channels = op->x[1], .groups = op->groups,
               .window = op->window, .direct = op->direct};
    for (int axis = 0; axis < 4; axis++) m.x[axis] = op->y[axis], m.y[axis] = op->x[axis];
    return m;
}

/* Sums of dy over each image, (n, out, 1, 1): pooling that divides by one. */
static nn_op image_sums(const nn_op *op) {
    return (nn_op){.kind = NN_OP_AVGPOOL2D, .dtype = op->dtype, .divisor = 1,
                   .x = {op->y[0], op->y[1], op->y[2], op->y[3]},
                   .window = {.kernel = {op->y[2], op->y[3]}, .stride = {op->y[2], op->y[3]}}};
}

static nn_status plan(nn_op *op, nn_error *error) {
    nn_status status = nn_conv2d_check_channels(op, error);
    op->y[0] = op->x[0], op->y[1] = op->channels;
    for (int axis = 0; axis < 2; axis++) {
        const nn_window *w = &op->window;
        const int64_t size = op->x[2 + axis];
        if (status == NN_OK) status = nn_window_check(w, axis, size, error);
        if (status != NN_OK) return status;
        const int64_t most = (w->stride[axis] > w->dilation[axis] ? w->stride[axis] : w->dilation[axis]) - 1;
        if (w->extra[axis] > most)
            return nn_fail(error, NN_VALUE_ERROR, "output_padding", axis, w->extra[axis], "at most", most);
        const int64_t full = (size - 1) * w->stride[axis] + w->dilation[axis] * (w->kernel[axis] - 1) + w->extra[axis];
        op->y[2 + axis] = full + 1 - 2 * w->padding[axis];
        if (op->y[2 + axis] < 1)
            return nn_fail(error, NN_VALUE_ERROR, "padding", axis, w->padding[axis], "at most", full / 2);
    }
    nn_op m = mirror(op), sums = image_sums(op);
    status = nn_conv2d_plan_sizes(&m, error);
    if (status == NN_OK) status = nn_op_plan(&sums, error);
    if (status != NN_OK) return status;
    op->x_count = m.y_count, op->y_count = m.x_count;
    op->weight_count = m.weight_count, op->bias_count = op->channels;
    op->flops = m.flops;
    op->forward_bytes = m.backward_bytes;
    op->backward_bytes = m.forward_bytes > m.backward_bytes ? m.forward_bytes : m.backward_bytes;
    const int64_t sums_bytes = sums.y_count * nn_dtype_bytes(op->dtype);
    if (sums_bytes > op->backward_bytes) op->backward_bytes = sums_bytes;
    op->needs = NN_NEEDS_X;
    op->follows = true;
    return NN_OK;
}

static nn_op planned(nn_op op) {
    nn_op_plan(&op, NULL);
    return op;
}

/* The mirror of a planned operation, planned. */
static nn_op planned_mirror(const nn_op *op) {
    nn_op m = mirror(op);
    nn_conv2d_plan_sizes(&m, NULL);
    return m;
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    const nn_op m = planned_mirror(op);
    const nn_io data = {.dx = io->y, .dy = io->x, .weight = io->weight, .work = io->work,
                        .after_dx = io->after_y};
    if (op->x[0] > 0) nn_conv2d_backward_data(&m, &data, io->bias);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    if (op->x[0] == 0) return NN_OK;
    const nn_op m = planned_mirror(op);
    nn_status status = NN_OK;
    if (io->dbias) {
        const nn_op sums = planned(image_sums(op));
        const nn_op fold = {.kind = NN_OP_LINEAR, .dtype = op->dtype, .x = {op->x[0], 0}, .channels = op->channels};
        status = nn_op_forward(&sums, &(nn_io){.y = io->work, .x = io->dy}, error);
        if (status == NN_OK) status = nn_op_backward(&fold, &(nn_io){.dbias = io->dbias, .dy = io->work}, error);
    }
    if (status == NN_OK && io->dweight)
        status = nn_op_backward(&m, &(nn_io){.x = io->dy, .dy = io->x, .dweight = io->dweight, .work = io->work}, error);
    if (status == NN_OK && io->dx)
        status = nn_op_forward(&m, &(nn_io){.y = io->dx, .x = io->dy, .weight = io->weight, .work = io->work,
                                            .after_y = io->after_dx}, error);
    return status;
}

const nn_op_class nn_conv_transpose2d_class = {plan, forward, backward};
