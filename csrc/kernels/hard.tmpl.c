/*
 * hard: activations of straight pieces. begin and end count elements.
 *
 *     hardtanh     y = min(max(x, a), b)               dx = c dy strictly between a and b, else 0
 *     hardsigmoid  y = min(max(x + 3, 0), 6) / 6       dx by hardtanh's, from x: a = -3, b = 3, c = 1 / 6
 *     hardswish    y = x min(max(x + 3, 0), 6) / 6     dx = dy (x / 3 + 1 / 2) between, 0 to the left, dy to the right
 *
 * NaN goes through forward. Backward takes 0 for it, as PyTorch does, but for hardswish.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"

/* Where x is NaN or a limit itself, x is what both give. */
NN_INLINE vec between(vec x, vec low, vec high) { return vmin(high, vmax(low, x)); }

NN_INLINE vec hardtanh(vec x, given g) { return between(x, g.a, g.b); }

NN_INLINE vec hardtanh_derivative(vec dy, vec kept, given g) {
    const vec x = vkept(kept); /* loaded once */
    return vselect((x > g.a) & (x < g.b), dy * g.c, vset(0));
}

NN_INLINE vec hardsigmoid(vec x) { return between(x + vset(3), vset(0), vset(6)) * vset((REAL)(1 / 6.)); }

NN_INLINE vec hardswish(vec x) { return x * hardsigmoid(x); }

NN_INLINE vec hardswish_derivative(vec dy, vec x) {
    const vec slope = vfma(x, vset((REAL)(1 / 3.)), vset(R(0.5)));
    return dy * vselect(x <= vset(-3), vset(0), vselect(x >= vset(3), vset(1), slope));
}

static given limits_of(const nn_activation_args *a) {
    return (given){vset((REAL)a->parameter[0]), vset((REAL)a->parameter[1]), vset((REAL)a->parameter[2])};
}

NN_DEFINE_KERNEL(hardtanh_forward) {
    const nn_activation_args *a = args;
    elementwise_unary_given(a->y, a->x, begin, end, hardtanh, limits_of(a));
}

NN_DEFINE_KERNEL(hardtanh_backward) {
    const nn_activation_args *a = args;
    elementwise_binary_given(a->dx, a->dy, a->kept, begin, end, hardtanh_derivative, limits_of(a));
}

NN_DEFINE_KERNEL(hardsigmoid_forward) {
    const nn_activation_args *a = args;
    elementwise_unary(a->y, a->x, begin, end, hardsigmoid);
}

NN_DEFINE_KERNEL(hardswish_forward) {
    const nn_activation_args *a = args;
    elementwise_unary(a->y, a->x, begin, end, hardswish);
}

NN_DEFINE_KERNEL(hardswish_backward) {
    const nn_activation_args *a = args;
    elementwise_binary(a->dx, a->dy, a->kept, begin, end, hardswish_derivative);
}
