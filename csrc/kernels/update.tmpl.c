/*
 * update: one step of an optimiser over all parameters. begin and end count elements of the tensors laid end
 * to end; a piece may begin and end within a tensor. Each element is on its own, so the cuts never show.
 *
 *     sgd    g += weight_decay p;  b = momentum b + (1 - dampening) g, at first b = g
 *            p -= lr (nesterov ? g + momentum b : b);  without momentum p -= lr g
 *     adam   p *= shrink;  g += weight_decay p;  m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
 *            p -= step_size m / (sqrt(v) root_scale + eps)
 *
 * The factors are computed in double and rounded once to the element type, as PyTorch does.
 */
#include "template.h"

#include "update.h"
#include "vmath.h"

/* The part of one tensor that lies in [begin, end). */
typedef struct tensor_part {
    REAL *param, *grad, *state[2];
    int64_t count;
} tensor_part;

/* The part of tensors[0] in the range, which then moves on: begin and end count from the next tensor. */
static inline tensor_part part_of(const nn_update_tensor *t, int64_t *begin, int64_t *end) {
    const int64_t first = nn_max(*begin, 0), last = nn_min(*end, t->count);
    *begin -= t->count;
    *end -= t->count;
    return (tensor_part){(REAL *)t->param + first, (REAL *)t->grad + first,
                         {t->state[0] ? (REAL *)t->state[0] + first : NULL,
                          t->state[1] ? (REAL *)t->state[1] + first : NULL}, last - first};
}

/* Loads and stores of a whole vector, or of its first `some` lanes: one formula for body and tail. */
NN_INLINE vec take(const REAL *p, int64_t some) { return some == VL ? vload(p) : vload_some(p, some); }
NN_INLINE void give(REAL *p, vec v, int64_t some) {
    if (some == VL) vstore(p, v);
    else vstore_some(p, v, some);
}

/* The factors in the element type, out of reach of stores to parameters: they stay in registers. */
typedef struct factors {
    REAL lr, weight_decay, momentum, one_minus_dampening;
    REAL beta1, one_minus_beta1, beta2, one_minus_beta2, eps, shrink, step_size, root_scale;
    bool decay, velocity, nesterov, first, short_memory, clear_grad;
} factors;

static inline factors factors_of(const nn_update_args *a) {
    return (factors){
        .lr = (REAL)a->lr, .weight_decay = (REAL)a->weight_decay, .momentum = (REAL)a->momentum,
        .one_minus_dampening = (REAL)a->one_minus_dampening, .beta1 = (REAL)a->beta1,
        .one_minus_beta1 = (REAL)a->one_minus_beta1, .beta2 = (REAL)a->beta2,
        .one_minus_beta2 = (REAL)a->one_minus_beta2, .eps = (REAL)a->eps, .shrink = (REAL)a->shrink,
        .step_size = (REAL)a->step_size, .root_scale = (REAL)a->root_scale,
        .decay = a->weight_decay != 0, .velocity = a->momentum != 0, .nesterov = a->nesterov, .first = a->first,
        .short_memory = a->one_minus_beta1 >= 0.5, .clear_grad = a->clear_grad};
}

/*
 * v, 0 where it is too small for a normal number. The running mean of a gradient that has become 0 shrinks to
 * subnormal numbers and stays there, and arithmetic on them takes a hundred times as long on many CPUs.
 */
NN_INLINE vec without_subnormals(vec v) {
    return vselect(vabs(v) < (vec)ivset((INT)1 << MANTISSA_BITS), vset(0), v);
}

NN_INLINE void sgd_at(const factors *f, const tensor_part *t, int64_t i, int64_t some) {
    const vec p = take(t->param + i, some);
    vec g = take(t->grad + i, some);
    if (f->decay) g = vfma(vset(f->weight_decay), p, g);
    if (f->velocity) {
        const vec momentum = vset(f->momentum);
        vec b = g;
        if (!f->first) b = vfma(momentum, take(t->state[0] + i, some), vset(f->one_minus_dampening) * g);
        b = without_subnormals(b);
        give(t->state[0] + i, b, some);
        g = f->nesterov ? vfma(momentum, b, g) : b;
    }
    give(t->param + i, vfma(vset(-f->lr), g, p), some);
    if (f->clear_grad) give(t->grad + i, vset(0), some);
}

NN_INLINE void adam_at(const factors *f, const tensor_part *t, int64_t i, int64_t some) {
    const vec p = take(t->param + i, some) * vset(f->shrink);
    vec g = take(t->grad + i, some), m = take(t->state[0] + i, some), v = take(t->state[1] + i, some);
    if (f->decay) g = vfma(vset(f->weight_decay), p, g);
    /* From the nearer end, as PyTorch: with a short memory an old large m leaves no rounding behind. */
    if (f->short_memory) m = vfma(vset(f->beta1), m - g, g);
    else m = vfma(vset(f->one_minus_beta1), g - m, m);
    m = without_subnormals(m);
    v = vfma(vset(f->one_minus_beta2) * g, g, vset(f->beta2) * v);
    give(t->state[0] + i, m, some);
    give(t->state[1] + i, v, some);
    const vec root = vfma(vsqrt(v), vset(f->root_scale), vset(f->eps));
    give(t->param + i, vfma(vset(-f->step_size), m / root, p), some);
    if (f->clear_grad) give(t->grad + i, vset(0), some);
}

NN_DEFINE_KERNEL(sgd_update) {
    const nn_update_args *a = args;
    const factors f = factors_of(a);
    for (int64_t k = 0; k < a->tensor_count && end > 0; k++) {
        const tensor_part t = part_of(&a->tensors[k], &begin, &end);
        int64_t i = 0;
        for (; i + VL <= t.count; i += VL) sgd_at(&f, &t, i, VL);
        if (i < t.count) sgd_at(&f, &t, i, t.count - i);
    }
}

NN_DEFINE_KERNEL(adam_update) {
    const nn_update_args *a = args;
    const factors f = factors_of(a);
    for (int64_t k = 0; k < a->tensor_count && end > 0; k++) {
        const tensor_part t = part_of(&a->tensors[k], &begin, &end);
        int64_t i = 0;
        for (; i + VL <= t.count; i += VL) adam_at(&f, &t, i, VL);
        if (i < t.count) adam_at(&f, &t, i, t.count - i);
    }
}

/* Are all gradients finite? If not, *nonfinite = 1: the same value from every piece, so any order will do. */
NN_DEFINE_KERNEL(update_finite) {
    const nn_update_args *a = args;
    const vec largest = vset(MATH_LARGEST);
    ivec finite = ~(ivec){0};
    for (int64_t k = 0; k < a->tensor_count && end > 0; k++) {
        const tensor_part t = part_of(&a->tensors[k], &begin, &end);
        int64_t i = 0;
        for (; i + VL <= t.count; i += VL) finite &= vabs(vload(t.grad + i)) <= largest;
        if (i < t.count) finite &= vabs(vload_some(t.grad + i, t.count - i)) <= largest;
    }
    for (int lane = 0; lane < VL; lane++)
        if (!finite[lane]) __atomic_store_n(a->nonfinite, 1, __ATOMIC_RELAXED);
}
