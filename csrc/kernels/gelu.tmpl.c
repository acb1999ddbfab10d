/*
 * gelu: y = x Phi(x), Phi the normal distribution, and gelu_tanh, which has
 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 in its place; their backwards from x. begin and end count elements.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"
#include "vmath_gelu.h"

/* dx = dy (Phi(x) + x phi(x)) */
NN_INLINE vec gelu_derivative(vec dy, vec x) { return dy * vgelu_derivative(x); }
NN_INLINE vec gelu_tanh_derivative(vec dy, vec x) { return dy * vgelu_tanh_derivative(x); }

NN_DEFINE_KERNEL(gelu_forward) {
    const nn_activation_args *a = args;
    elementwise_unary(a->y, a->x, begin, end, vgelu);
}

NN_DEFINE_KERNEL(gelu_backward) {
    const nn_activation_args *a = args;
    elementwise_binary(a->dx, a->dy, a->kept, begin, end, gelu_derivative);
}

NN_DEFINE_KERNEL(gelu_tanh_forward) {
    const nn_activation_args *a = args;
    elementwise_unary(a->y, a->x, begin, end, vgelu_tanh);
}

NN_DEFINE_KERNEL(gelu_tanh_backward) {
    const nn_activation_args *a = args;
    elementwise_binary(a->dx, a->dy, a->kept, begin, end, gelu_tanh_derivative);
}
