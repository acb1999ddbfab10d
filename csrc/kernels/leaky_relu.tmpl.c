/*
 * leaky_relu: y = x where x > 0, else slope x, and its backward from y, or from x where the slope is negative: there
 * y has lost the sign. begin and end count elements.
 *
 * NaN goes through forward; backward takes the slope for it, as PyTorch does.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"

NN_INLINE vec leaky(vec x, given slope) { return vselect(x > vset(0), x, slope.a * x); }

/* dx = dy where x > 0, else slope dy; kept is y or x, of one sign */
NN_INLINE vec leaky_derivative(vec dy, vec kept, given slope) {
    return vselect(kept > vset(0), dy, slope.a * dy);
}

static given slope_of(const nn_activation_args *a) { return (given){.a = vset((REAL)a->parameter[0])}; }

NN_DEFINE_KERNEL(leaky_relu_forward) {
    const nn_activation_args *a = args;
    elementwise_unary_given(a->y, a->x, begin, end, leaky, slope_of(a));
}

NN_DEFINE_KERNEL(leaky_relu_backward) {
    const nn_activation_args *a = args;
    elementwise_binary_given(a->dx, a->dy, a->kept, begin, end, leaky_derivative, slope_of(a));
}
