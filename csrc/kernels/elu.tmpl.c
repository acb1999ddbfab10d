/*
 * elu: y = scale x where x > 0, else bend (exp(inner x) - 1), and its backward from y, or from x where bend is
 * negative: there y has lost the sign. inner is positive. begin and end count elements.
 *
 * ELU has scale = inner = 1; SELU a scale; CELU an inner, 1 / alpha.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"
#include "vmath.h"

/* a: scale, b: bend, c: inner, here and below */
NN_INLINE vec elu(vec x, given g) { return vselect(x > vset(0), x * g.a, g.b * vexpm1_nonpositive(x * g.c)); }

/* dx = dy scale where y > 0 (or NaN), else dy inner (y + bend) */
NN_INLINE vec elu_derivative(vec dy, vec y, given g) {
    return dy * vselect(y <= vset(0), (y + g.b) * g.c, g.a);
}

/* dx = dy scale where x > 0 (or NaN), else dy bend inner exp(inner x) */
NN_INLINE vec elu_derivative_of_input(vec dy, vec x, given g) {
    return dy * vselect(x <= vset(0), g.b * vexp_nonpositive(vmin(vset(0), x) * g.c) * g.c, g.a);
}

static given shape_of(const nn_activation_args *a) {
    return (given){vset((REAL)a->parameter[0]), vset((REAL)a->parameter[1]), vset((REAL)a->parameter[2])};
}

NN_DEFINE_KERNEL(elu_forward) {
    const nn_activation_args *a = args;
    elementwise_unary_given(a->y, a->x, begin, end, elu, shape_of(a));
}

NN_DEFINE_KERNEL(elu_backward) {
    const nn_activation_args *a = args;
    elementwise_binary_given(a->dx, a->dy, a->kept, begin, end, elu_derivative, shape_of(a));
}

NN_DEFINE_KERNEL(elu_backward_input) {
    const nn_activation_args *a = args;
    elementwise_binary_given(a->dx, a->dy, a->kept, begin, end, elu_derivative_of_input, shape_of(a));
}
