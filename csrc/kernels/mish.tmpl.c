/*
 * mish: y = x tanh(log(1 + exp(x))), and its backward from x. begin and end count elements.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"
#include "vmath_smooth.h"

NN_INLINE vec mish_derivative(vec dy, vec x) { return dy * vmish_derivative(x); }

NN_DEFINE_KERNEL(mish_forward) {
    const nn_activation_args *a = args;
    elementwise_unary(a->y, a->x, begin, end, vmish);
}

NN_DEFINE_KERNEL(mish_backward) {
    const nn_activation_args *a = args;
    elementwise_binary(a->dx, a->dy, a->kept, begin, end, mish_derivative);
}
