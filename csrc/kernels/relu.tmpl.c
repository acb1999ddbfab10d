/*
 * relu: y = max(x, 0), and its backward from y. begin and end count elements.
 *
 * NaN goes through, as in PyTorch: the comparison keeps x unless x <= 0 (false for NaN), so -0 becomes +0.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"

/* y = x <= 0 ? 0 : x */
NN_INLINE vec relu(vec x) { return vselect(x <= vset(0), vset(0), x); }

/* dx = y <= 0 ? 0 : dy; the derivative at 0 is 0 */
NN_INLINE vec relu_derivative(vec dy, vec y) { return vselect(y <= vset(0), vset(0), dy); }

NN_DEFINE_KERNEL(relu_forward) {
    const nn_activation_args *a = args;
    elementwise_unary(a->y, a->x, begin, end, relu);
}

NN_DEFINE_KERNEL(relu_backward) {
    const nn_activation_args *a = args;
    elementwise_binary(a->dx, a->dy, a->kept, begin, end, relu_derivative);
}
