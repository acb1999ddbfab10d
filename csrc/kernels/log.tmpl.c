/*
 * log, the natural logarithm, and its backward from x. begin and end count elements.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"
#include "vmath.h"

/* dx = dy / x */
NN_INLINE vec log_derivative(vec dy, vec x) { return dy / x; }

NN_DEFINE_KERNEL(log_forward) {
    const nn_activation_args *a = args;
    elementwise_unary(a->y, a->x, begin, end, vlog);
}

NN_DEFINE_KERNEL(log_backward) {
    const nn_activation_args *a = args;
    elementwise_binary(a->dx, a->dy, a->kept, begin, end, log_derivative);
}
