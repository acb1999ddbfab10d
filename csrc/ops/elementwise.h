/*
 * elementwise.h: an activation as an operation. x and y (and dy, dx) are dense arrays in the same memory
 * order; backward needs y, or x where the derivative is no function of y.
 */
#ifndef NN_OPS_ELEMENTWISE_H
#define NN_OPS_ELEMENTWISE_H

#include "op.h"

nn_status nn_elementwise_plan(nn_op *op, int flops_each, int needs, nn_error *error);

/* With parameters that the operation has not as they are. */
nn_status nn_elementwise_forward_given(const nn_op *op, const nn_io *io, nn_kernel_id kernel, const double parameter[3]);
nn_status nn_elementwise_backward_given(const nn_op *op, const nn_io *io, nn_kernel_id kernel, const double parameter[3]);

/* With its own. */
nn_status nn_elementwise_forward(const nn_op *op, const nn_io *io, nn_kernel_id kernel);
nn_status nn_elementwise_backward(const nn_op *op, const nn_io *io, nn_kernel_id kernel);

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
