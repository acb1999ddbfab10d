/*
 * elu.h: ELU and its kin as one family: y = scale x where x > 0, else bend (exp(inner x) - 1), elementwise.
 */
#ifndef NN_OPS_ELU_H
#define NN_OPS_ELU_H

#include "elementwise.h"

typedef struct nn_elu_shape {
    double scale, bend, inner;
} nn_elu_shape;

static inline nn_status nn_elu_plan(nn_op *op, nn_elu_shape shape, nn_error *error) {
    /* A negative bend makes y positive on both sides. */
    return nn_elementwise_plan(op, 15, shape.bend >= 0 ? NN_NEEDS_Y : NN_NEEDS_X, error);
}

static inline nn_status nn_elu_forward(const nn_op *op, const nn_io *io, nn_elu_shape shape) {
    const double parameter[3] = {shape.scale, shape.bend, shape.inner};
    return nn_elementwise_forward_given(op, io, NN_KERNEL_elu_forward, parameter);
}

static inline nn_status nn_elu_backward(const nn_op *op, const nn_io *io, nn_elu_shape shape) {
    const double parameter[3] = {shape.scale, shape.bend, shape.inner};
    const bool from_y = op->needs & NN_NEEDS_Y;
    return nn_elementwise_backward_given(op, io, from_y ? NN_KERNEL_elu_backward : NN_KERNEL_elu_backward_input,
                                         parameter);
}

/* Defines nn_<name>_class; `shape` is an expression of op. */
#define NN_ELU_CLASS(name, shape)                                                                       \
    static nn_status plan(nn_op *op, nn_error *error) { return nn_elu_plan(op, shape, error); }         \
    static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {                       \
        (void)error;                                                                                    \
        return nn_elu_forward(op, io, shape);                                                           \
    }                                                                                                   \
    static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {                      \
        (void)error;                                                                                    \
        return nn_elu_backward(op, io, shape);                                                          \
    }                                                                                                   \
    const nn_op_class nn_##name##_class = {plan, forward, backward};

#endif
