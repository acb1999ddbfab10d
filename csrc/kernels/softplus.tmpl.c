/*
 * softplus: y = log(1 + exp(beta x)) / beta, or x itself where beta x > threshold; and its backward from x. begin and
 * end count elements.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"
#include "vmath_smooth.h"

/* a: beta, b: threshold, c: 1 / beta */
NN_INLINE vec softplus(vec x, given g) {
    const vec t = x * g.a;
    return vselect(t > g.b, x, vsoftplus(t) * g.c);
}

/* dx = dy sigmoid(beta x), or dy */
NN_INLINE vec softplus_derivative(vec dy, vec x, given g) {
    const vec t = x * g.a;
    return vselect(t > g.b, dy, dy * vsigmoid(t));
}

static given sharpness_of(const nn_activation_args *a) {
    return (given){vset((REAL)a->parameter[0]), vset((REAL)a->parameter[1]), vset((REAL)(1 / a->parameter[0]))};
}

NN_DEFINE_KERNEL(softplus_forward) {
    const nn_activation_args *a = args;
    elementwise_unary_given(a->y, a->x, begin, end, softplus, sharpness_of(a));
}

NN_DEFINE_KERNEL(softplus_backward) {
    const nn_activation_args *a = args;
    elementwise_binary_given(a->dx, a->dy, a->kept, begin, end, softplus_derivative, sharpness_of(a));
}
