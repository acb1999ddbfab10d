/*
 * elu: y = x where x > 0, else alpha (exp(x) - 1), and its backward from y, or from x where alpha is negative:
 * there y has lost the sign. begin and end count elements.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"
#include "vmath.h"

NN_INLINE vec elu(vec x, given alpha) { return vselect(x > vset(0), x, alpha.a * vexpm1_nonpositive(x)); }

/* dx = dy where y > 0 (or NaN), else dy (y + alpha) */
NN_INLINE vec elu_derivative(vec dy, vec y, given alpha) {
    return vselect(y <= vset(0), dy * (y + alpha.a), dy);
}

/* dx = dy where x > 0 (or NaN), else dy alpha exp(x) */
NN_INLINE vec elu_derivative_of_input(vec dy, vec x, given alpha) {
    return vselect(x <= vset(0), dy * (alpha.a * vexp_nonpositive(vmin(vset(0), x))), dy);
}

static given alpha_of(const nn_activation_args *a) { return (given){.a = vset((REAL)a->parameter[0])}; }

NN_DEFINE_KERNEL(elu_forward) {
    const nn_activation_args *a = args;
    elementwise_unary_given(a->y, a->x, begin, end, elu, alpha_of(a));
}

NN_DEFINE_KERNEL(elu_backward) {
    const nn_activation_args *a = args;
    elementwise_binary_given(a->dx, a->dy, a->kept, begin, end, elu_derivative, alpha_of(a));
}

NN_DEFINE_KERNEL(elu_backward_input) {
    const nn_activation_args *a = args;
    elementwise_binary_given(a->dx, a->dy, a->kept, begin, end, elu_derivative_of_input, alpha_of(a));
}
