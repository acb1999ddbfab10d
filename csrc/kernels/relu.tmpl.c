/*
 * relu: y = max(x, 0), and its backward from y. begin and end count elements.
 *
 * NaN goes through, as in PyTorch: the comparison keeps x unless x <= 0 (false for NaN), so -0 becomes +0.
 */
#include "template.h"

#include "activation.h"

/* y[i] = x[i] <= 0 ? 0 : x[i] */
NN_INLINE vec relu(vec x) { return vselect(x <= vset(0), vset(0), x); }

/* dx[i] = y[i] <= 0 ? 0 : dy[i]; the derivative at 0 is 0 */
NN_INLINE vec relu_derivative(vec dy, vec y) { return vselect(y <= vset(0), vset(0), dy); }

NN_DEFINE_KERNEL(relu_forward) {
    const nn_activation_args *a = args;
    REAL *y = a->y;
    const REAL *x = a->x;
    int64_t i = begin;
    for (; i + VL <= end; i += VL) vstore(y + i, relu(vload(x + i)));
    if (i < end) vstore_some(y + i, relu(vload_some(x + i, end - i)), end - i);
}

NN_DEFINE_KERNEL(relu_backward) {
    const nn_activation_args *a = args;
    REAL *dx = a->dx;
    const REAL *dy = a->dy, *y = a->out;
    int64_t i = begin;
    for (; i + VL <= end; i += VL) vstore(dx + i, relu_derivative(vload(dy + i), vload(y + i)));
    if (i < end) {
        int64_t rest = end - i;
        vstore_some(dx + i, relu_derivative(vload_some(dy + i, rest), vload_some(y + i, rest)), rest);
    }
}
