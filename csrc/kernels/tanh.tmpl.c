/*
 * tanh, and its backward from y. begin and end count elements.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"
#include "vmath.h"

/* dx = dy (1 - y^2), as a product: where y is near 1 its square would lose half of what is left */
NN_INLINE vec tanh_derivative(vec dy, vec y) { return dy * ((vset(1) - y) * (vset(1) + y)); }

NN_DEFINE_KERNEL(tanh_forward) {
    const nn_activation_args *a = args;
    elementwise_unary(a->y, a->x, begin, end, vtanh);
}

NN_DEFINE_KERNEL(tanh_backward) {
    const nn_activation_args *a = args;
    elementwise_binary(a->dx, a->dy, a->kept, begin, end, tanh_derivative);
}
