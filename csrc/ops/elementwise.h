/*
 * elementwise.h: an activation as an operation. x and y (and dy, dx) are dense arrays in the same memory
 * order; backward needs y, or x where the derivative is no function of y.
 */
#ifndef NN_OPS_ELEMENTWISE_H
#define NN_OPS_ELEMENTWISE_H

#include "../kernels/activation.h"
#include "../runtime/runtime.h"
#include "op.h"

static inline nn_status nn_elementwise_plan(nn_op *op, int flops_each, int needs, nn_error *error) {
    for (int i = 0; i < 4; i++) op->y[i] = op->x[i];
    op->x_count = op->y_count = nn_size_product(op->x, 4);
    op->flops = nn_size_mul(op->x_count, flops_each);
    if (op->flops < 0) return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    op->needs = needs;
    op->elementwise = true;
    return NN_OK;
}

/* Flops, or bytes of all arrays, whichever is more; backward is a product or two. */
static inline int64_t nn_elementwise_work(const nn_op *op, int arrays) {
    const int64_t bytes = op->x_count * nn_dtype_bytes(op->dtype) * arrays;
    return arrays == 2 ? nn_work(op->flops, bytes) : bytes;
}

static inline nn_status nn_elementwise_forward_given(const nn_op *op, const nn_io *io, nn_kernel_id kernel,
                                                     const double *parameter) {
    nn_activation_args args = {.y = io->y, .x = io->x, .parameter = {parameter[0], parameter[1], parameter[2]}};
    nn_parallel(nn_kernel(kernel, op->dtype), &args, op->x_count, NN_ACTIVATION_PIECE,
                nn_elementwise_work(op, 2));
    return NN_OK;
}

static inline nn_status nn_elementwise_backward_given(const nn_op *op, const nn_io *io, nn_kernel_id kernel,
                                                      const double *parameter) {
    if (!io->dx) return NN_OK;
    nn_activation_args args = {.dx = io->dx, .dy = io->dy, .kept = op->needs & NN_NEEDS_X ? io->x : io->y,
                               .parameter = {parameter[0], parameter[1], parameter[2]}};
    nn_parallel(nn_kernel(kernel, op->dtype), &args, op->x_count, NN_ACTIVATION_PIECE,
                nn_elementwise_work(op, 3));
    return NN_OK;
}

/* The same with the operation's own parameters. */
static inline nn_status nn_elementwise_forward(const nn_op *op, const nn_io *io, nn_kernel_id kernel) {
    const double parameter[3] = {op->parameter[0], op->parameter[1], 0};
    return nn_elementwise_forward_given(op, io, kernel, parameter);
}

static inline nn_status nn_elementwise_backward(const nn_op *op, const nn_io *io, nn_kernel_id kernel) {
    const double parameter[3] = {op->parameter[0], op->parameter[1], 0};
    return nn_elementwise_backward_given(op, io, kernel, parameter);
}

/* Defines nn_<name>_class over `plan` and the kernels <name>_forward and <name>_backward. */
#define NN_ELEMENTWISE_CLASS(name)                                                  \
    static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {   \
        (void)error;                                                                \
        return nn_elementwise_forward(op, io, NN_KERNEL_##name##_forward);          \
    }                                                                               \
    static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {  \
        (void)error;                                                                \
        return nn_elementwise_backward(op, io, NN_KERNEL_##name##_backward);        \
    }                                                                               \
    const nn_op_class nn_##name##_class = {plan, forward, backward};

/* The same with the plan of an activation that has no parameters. */
#define NN_ELEMENTWISE_OP(name, flops_each, needs)                           \
    static nn_status plan(nn_op *op, nn_error *error) {                      \
        return nn_elementwise_plan(op, flops_each, needs, error);            \
    }                                                                        \
    NN_ELEMENTWISE_CLASS(name)

#endif
