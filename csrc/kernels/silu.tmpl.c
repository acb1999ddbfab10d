/*
 * silu: y = x sigmoid(x), and its backward from x. begin and end count elements.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"
#include "vmath_smooth.h"

/* dx = dy s (1 + x (1 - s)), s = sigmoid(x) */
NN_INLINE vec silu_derivative(vec dy, vec x) { return dy * vsilu_derivative(x); }

NN_DEFINE_KERNEL(silu_forward) {
    const nn_activation_args *a = args;
    elementwise_unary(a->y, a->x, begin, end, vsilu);
}

NN_DEFINE_KERNEL(silu_backward) {
    const nn_activation_args *a = args;
    elementwise_binary(a->dx, a->dy, a->kept, begin, end, silu_derivative);
}
