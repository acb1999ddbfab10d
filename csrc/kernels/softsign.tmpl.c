/*
 * softsign: y = x / (1 + |x|), and its backward from x. begin and end count elements.
 */
#include "template.h"

#include "activation.h"
#include "elementwise.h"
#include "vmath.h"

NN_INLINE vec softsign(vec x) { return x / (vabs(x) + vset(1)); }

/* dx = dy / (1 + |x|)^2 */
NN_INLINE vec softsign_derivative(vec dy, vec x) {
    const vec part = vset(1) / (vabs(x) + vset(1));
    return dy * (part * part);
}

NN_DEFINE_KERNEL(softsign_forward) {
    const nn_activation_args *a = args;
    elementwise_unary(a->y, a->x, begin, end, softsign);
}

NN_DEFINE_KERNEL(softsign_backward) {
    const nn_activation_args *a = args;
    elementwise_binary(a->dx, a->dy, a->kept, begin, end, softsign_derivative);
}
