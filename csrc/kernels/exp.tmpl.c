/*
 * exp, and its backward from y. begin and end count elements.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"
#include "vmath.h"

/* dx = dy y */
NN_INLINE vec exp_derivative(vec dy, vec y) { return dy * y; }

NN_DEFINE_KERNEL(exp_forward) {
    const nn_activation_args *a = args;
    elementwise_unary(a->y, a->x, begin, end, vexp);
}

NN_DEFINE_KERNEL(exp_backward) {
    const nn_activation_args *a = args;
    elementwise_binary(a->dx, a->dy, a->kept, begin, end, exp_derivative);
}
