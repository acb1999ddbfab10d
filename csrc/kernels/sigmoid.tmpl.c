/*
 * sigmoid: y = 1 / (1 + exp(-x)), and its backward from y. begin and end count elements.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"
#include "vmath.h"

/* dx = dy y (1 - y) */
NN_INLINE vec sigmoid_derivative(vec dy, vec y) { return dy * (y * (vset(1) - y)); }

NN_DEFINE_KERNEL(sigmoid_forward) {
    const nn_activation_args *a = args;
    elementwise_unary(a->y, a->x, begin, end, vsigmoid);
}

NN_DEFINE_KERNEL(sigmoid_backward) {
    const nn_activation_args *a = args;
    elementwise_binary(a->dx, a->dy, a->kept, begin, end, sigmoid_derivative);
}
