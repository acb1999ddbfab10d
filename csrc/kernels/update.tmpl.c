/*
 * update: one step of an optimiser over all parameters. begin and end count elements of the tensors laid end
 * to end; a piece may begin and end within a tensor. Each element is on its own, so the cuts never show.
 *
 *     sgd    g += weight_decay p;  b = momentum b + (1 - dampening) g, at first b = g
 *            p -= lr (nesterov ? g + momentum b : b);  without momentum p -= lr g
 *     adam   p *= shrink;  g += weight_decay p;  m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
 *            p -= step_size m / (sqrt(v) + eps);  amsgrad takes the largest v so far
 *     rmsprop  g += weight_decay p;  v = beta2 v + (1 - beta2) g^2;  centered: c += (1 - beta2) (g - c)
 *            d = g / (sqrt(v - c^2) + eps);  p -= lr d, or with momentum b = momentum b + d, p -= lr b
 *     adagrad  g += weight_decay p;  v += g^2;  p -= step_size g / (sqrt(v) + eps)
 *     lion   p *= shrink;  p -= lr sign(beta1 m + (1 - beta1) g);  m = beta2 m + (1 - beta2) g
 *
 * where g is the gradient, scaled and bounded first if it is to be clipped.
 * The factors are computed in double and rounded once to the element type, as PyTorch does. Adam's correction of v is in
 * step_size and eps, as its paper has it (Kingma and Ba 2015, end of section 2), which saves a product.
 */
#include "template.h"

#include "update.h"
#include "vmath.h"

enum { OUTER = NN_BITS == 32 }; /* Adam heeds nn_update_args.outer: other rules were slower for it */

/* The part of one tensor that lies in [begin, end). */
typedef struct tensor_part {
    REAL *param, *grad, *state[3];
    int64_t count;
} tensor_part;

/* The part of tensors[0] in the range, which then moves on: begin and end count from the next tensor. */
static inline tensor_part part_of(const nn_update_tensor *t, int64_t *begin, int64_t *end) {
    const int64_t first = nn_max(*begin, 0), last = nn_min(*end, t->count);
    *begin -= t->count;
    *end -= t->count;
    tensor_part part = {.param = (REAL *)t->param + first, .grad = (REAL *)t->grad + first, .count = last - first};
    for (int i = 0; i < 3; i++) part.state[i] = t->state[i] ? (REAL *)t->state[i] + first : NULL;
    return part;
}

/* The factors in the element type, one in every lane, out of reach of stores to parameters: they stay in registers. */
typedef struct factors {
    vec minus_lr, weight_decay, momentum, one_minus_dampening;
    vec beta1, one_minus_beta1, beta2, one_minus_beta2, eps, shrink, minus_step;
    vec grad_scale, max_value;
    vec row; /* outer: its element of dy */
    bool outer, shrinks, decay, velocity, nesterov, first, short_memory, clear_grad, clipped, amsgrad, centered;
} factors;

static inline factors factors_of(const nn_update_args *a) {
    return (factors){
        .minus_lr = vset((REAL)-a->lr), .weight_decay = vset((REAL)a->weight_decay),
        .momentum = vset((REAL)a->momentum), .one_minus_dampening = vset((REAL)a->one_minus_dampening),
        .beta1 = vset((REAL)a->beta1), .one_minus_beta1 = vset((REAL)a->one_minus_beta1),
        .beta2 = vset((REAL)a->beta2), .one_minus_beta2 = vset((REAL)a->one_minus_beta2), .eps = vset((REAL)a->eps),
        .shrink = vset((REAL)a->shrink), .minus_step = vset((REAL)-a->step_size),
        .grad_scale = vset((REAL)a->grad_scale),
        .max_value = vset((REAL)a->max_value),
        .shrinks = a->shrink != 1, .decay = a->decay, .velocity = a->momentum != 0, .nesterov = a->nesterov, .first = a->first,
        .short_memory = a->short_memory, .clear_grad = a->clear_grad, .amsgrad = a->amsgrad,
        .centered = a->centered, .clipped = a->grad_scale != 1 || a->max_value < (double)MATH_LARGEST};
}

/*
 * v, 0 where it is too small for a normal number. The running mean of a gradient that has become 0 shrinks to
 * subnormal numbers and stays there, and arithmetic on them takes a hundred times as long on many CPUs.
 */
NN_INLINE vec without_subnormals(vec v) {
#if defined(__AVX512F__) && NN_BITS == 32
    const __mmask16 normal = _mm512_test_epi32_mask((__m512i)v, _mm512_set1_epi32(0x7f800000));
    return (vec)_mm512_maskz_mov_ps(normal, (__m512)v);
#else
    return vselect(vabs(v) < (vec)ivset((INT)1 << MANTISSA_BITS), vset(0), v);
#endif
}

/*
 * The gradient as the rule shall see it: clipped (NaN stays NaN), with the weight decay that goes through it. Of one
 * sample it is a product, rounded as Linear's backward would.
 */
NN_INLINE vec gradient_at(const factors *f, const tensor_part *t, int64_t i, vec p) {
    vec g = vload(t->grad + i);
    if (f->outer) g = vfma(f->row, g, vset(0));
    if (f->clipped) {
        g = vmax(-f->max_value, vmin(f->max_value, g * f->grad_scale));
    }
    return f->decay ? vfma(f->weight_decay, p, g) : g;
}

/* The new weights, and the gradient cleared where that is asked for. */
NN_INLINE void store_at(const factors *f, const tensor_part *t, int64_t i, vec p) {
    vstore(t->param + i, p);
    if (f->clear_grad) vstore(t->grad + i, vset(0));
}

NN_INLINE void sgd_at(const factors *f, const tensor_part *t, int64_t i) {
    const vec p = vload(t->param + i);
    vec g = gradient_at(f, t, i, p);
    if (f->velocity) {
        vec b = g;
        if (!f->first) b = vfma(f->momentum, vload(t->state[0] + i), f->one_minus_dampening * g);
        b = without_subnormals(b);
        vstore(t->state[0] + i, b);
        g = f->nesterov ? vfma(f->momentum, b, g) : b;
    }
    store_at(f, t, i, vfma(f->minus_lr, g, p));
}

/* Without options: a loop that asks for none at each vector, and is as fast as memory. */
NN_INLINE void plain_sgd_at(const factors *f, const tensor_part *t, int64_t i) {
    store_at(f, t, i, vfma(f->minus_lr, vload(t->grad + i), vload(t->param + i)));
}

NN_INLINE void adam_at(const factors *f, const tensor_part *t, int64_t i) {
    vec p = vload(t->param + i);
    if (f->shrinks) p *= f->shrink;
    const vec g = gradient_at(f, t, i, p);
    vec m = vkept(vload(t->state[0] + i)), v = vkept(vload(t->state[1] + i));
    /* From the nearer end, as PyTorch: with a short memory an old large m leaves no rounding behind. */
    if (f->short_memory) m = vfma(f->beta1, m - g, g);
    else m = vfma(f->one_minus_beta1, g - m, m);
    m = without_subnormals(m);
    v = vfma(f->one_minus_beta2 * g, g, f->beta2 * v);
    vstore(t->state[0] + i, m);
    vstore(t->state[1] + i, v);
    if (f->amsgrad) {
        v = vmax(vload(t->state[2] + i), v);
        vstore(t->state[2] + i, v);
    }
    store_at(f, t, i, vfma(f->minus_step, vquotient(m, vsqrt(v) + f->eps), p));
}

/* Without options, as is usual: the same, and nothing is asked at each vector but where the gradient comes from. */
NN_INLINE void plain_adam_at(const factors *f, const tensor_part *t, int64_t i) {
    const factors plain = {.minus_step = f->minus_step, .one_minus_beta1 = f->one_minus_beta1, .beta2 = f->beta2,
                           .one_minus_beta2 = f->one_minus_beta2, .eps = f->eps, .row = f->row, .outer = f->outer,
                           .clear_grad = f->clear_grad};
    adam_at(&plain, t, i);
}

NN_INLINE void rmsprop_at(const factors *f, const tensor_part *t, int64_t i) {
    const vec p = vload(t->param + i), g = gradient_at(f, t, i, p);
    vec v = vfma(f->one_minus_beta2 * g, g, f->beta2 * vload(t->state[0] + i));
    vstore(t->state[0] + i, v);
    if (f->centered) {
        REAL *at = (f->velocity ? t->state[2] : t->state[1]) + i;
        vec mean = vload(at);
        mean = without_subnormals(vfma(f->one_minus_beta2, g - mean, mean));
        vstore(at, mean);
        v = vfma(-mean, mean, v);
    }
    vec d = g / (vsqrt(v) + f->eps);
    if (f->velocity) {
        d = without_subnormals(vfma(f->momentum, vload(t->state[1] + i), d));
        vstore(t->state[1] + i, d);
    }
    store_at(f, t, i, vfma(f->minus_lr, d, p));
}

NN_INLINE void adagrad_at(const factors *f, const tensor_part *t, int64_t i) {
    const vec p = vload(t->param + i), g = gradient_at(f, t, i, p);
    const vec v = vfma(g, g, vload(t->state[0] + i));
    vstore(t->state[0] + i, v);
    store_at(f, t, i, vfma(f->minus_step, g / (vsqrt(v) + f->eps), p));
}

NN_INLINE void lion_at(const factors *f, const tensor_part *t, int64_t i) {
    const vec p = vload(t->param + i) * f->shrink, g = gradient_at(f, t, i, p);
    const vec m = vload(t->state[0] + i);
    const vec c = vfma(f->one_minus_beta1, g, f->beta1 * m), one = vset(1);
    const vec sign = vselect(c > 0, one, vselect(c < 0, -one, c)); /* of 0 it is 0, of NaN NaN */
    vstore(t->state[0] + i, without_subnormals(vfma(f->one_minus_beta2, g, f->beta2 * m)));
    store_at(f, t, i, vfma(f->minus_lr, sign, p));
}

/*
 * Elements at `at`, fewer than a vector, to `tail` or back: there they are a vector, with zeros behind, so that each rule
 * is one piece of code.
 */
static NN_NOINLINE void move_tail(const nn_update_tensor *t, int64_t at, int64_t count, REAL tail[5][VL], bool back) {
    void *const arrays[5] = {t->param, t->grad, t->state[0], t->state[1], t->state[2]};
    for (int i = 0; i < 5; i++) {
        if (!arrays[i]) continue;
        REAL *from = (REAL *)arrays[i] + at;
        if (back) vstore_some(from, vload(tail[i]), count);
        else vstore(tail[i], vload_some(from, count));
    }
}

/*
 * The rule over all tensors: of each part the whole vectors where they lie, then its tail. plain_rule is the rule without
 * options, for the usual step.
 */
#define UPDATE_ALL(rule) UPDATE_WITH(rule, rule, false)
#define UPDATE_WITH(rule, plain_rule, plain)                                                  \
    for (int64_t k = 0; k < a->tensor_count && end > 0; k++) {                                \
        const nn_update_tensor *t = &a->tensors[k];                                           \
        const int64_t last = nn_min(end, t->count);                                           \
        tensor_part now = part_of(t, &begin, &end);                                           \
        const int64_t rest = now.count > 0 ? now.count % VL : 0;                              \
        now.count -= rest;                                                                    \
        for (int pass = 0; pass < (rest ? 2 : 1); pass++) {                                   \
            if (pass) {                                                                       \
                move_tail(t, last - rest, rest, tail, false);                                 \
                now = (tensor_part){tail[0], tail[1], {tail[2], tail[3], tail[4]}, rest};     \
            }                                                                                 \
            EACH_VECTOR(rule, plain_rule, plain, 0, now.count)                                \
        }                                                                                     \
        if (rest) move_tail(t, last - rest, rest, tail, true);                                \
    }
#define EACH_VECTOR(rule, plain_rule, plain, first, stop)                                     \
    if (plain)                                                                                \
        for (int64_t i = first; i < (stop); i += VL) plain_rule(&f, &now, i);                 \
    else                                                                                      \
        for (int64_t i = first; i < (stop); i += VL) rule(&f, &now, i);

#define WITH_FACTORS                 \
    const nn_update_args *a = args;  \
    factors f = factors_of(a);       \
    REAL tail[5][VL];

NN_DEFINE_KERNEL(sgd_update) {
    WITH_FACTORS
    const bool plain = !(f.velocity || f.decay || f.clipped);
    UPDATE_WITH(sgd_at, plain_sgd_at, plain)
}

NN_DEFINE_KERNEL(adam_update) {
    WITH_FACTORS
    const bool plain = !(f.shrinks || f.decay || f.clipped || f.short_memory || f.amsgrad);
    f.outer = OUTER && a->outer;
    if (f.outer) {
        /* Rows of whole vectors, of one tensor: each reads the same vector x. */
        const REAL *dy = (const REAL *)a->outer + begin, *x = a->tensors->grad;
        begin *= a->in, end *= a->in;
        tensor_part now = part_of(a->tensors, &begin, &end);
        for (int64_t at = 0; at < now.count; at += a->in) {
            now.grad = (REAL *)((uintptr_t)x - (uintptr_t)at * sizeof(REAL));
            f.row = vset(*dy++);
            EACH_VECTOR(adam_at, plain_adam_at, plain, at, at + a->in)
        }
        return;
    }
    UPDATE_WITH(adam_at, plain_adam_at, plain)
}

NN_DEFINE_KERNEL(rmsprop_update) { WITH_FACTORS UPDATE_ALL(rmsprop_at) }
NN_DEFINE_KERNEL(adagrad_update) { WITH_FACTORS UPDATE_ALL(adagrad_at) }
NN_DEFINE_KERNEL(lion_update) { WITH_FACTORS UPDATE_ALL(lion_at) }

/*
 * The sum of the squares of the gradients in [begin, end), in double: squares of float32 numbers neither overflow nor
 * vanish there. Four vectors of sums, so that none waits for another: element i of a tensor's part goes to lane i, modulo
 * their number, of all of them.
 */
enum { SUMS = 4, SUM_LANES = VEC_BYTES / sizeof(double), SUMMED = SUMS * SUM_LANES };
typedef double wide __attribute__((vector_size(VEC_BYTES)));
typedef REAL narrow_at __attribute__((vector_size(SUM_LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

NN_INLINE void add_squares(wide sums[SUMS], const REAL *g) {
    NN_UNROLL(4) for (int s = 0; s < SUMS; s++) {
        const wide part = __builtin_convertvector(*(const narrow_at *)(g + s * SUM_LANES), wide);
        sums[s] += part * part;
    }
}

NN_DEFINE_KERNEL(update_squares) {
    const nn_update_args *a = args;
    double *sum = &a->sums[begin / a->piece];
    wide sums[SUMS] = {{0}};
    for (int64_t k = 0; k < a->tensor_count && end > 0; k++) {
        const tensor_part t = part_of(&a->tensors[k], &begin, &end);
        int64_t i = 0;
        for (; i + SUMMED <= t.count; i += SUMMED) add_squares(sums, t.grad + i);
        if (i >= t.count) continue;
        REAL rest[SUMMED] = {0};
        for (int64_t at = i; at < t.count; at++) rest[at - i] = t.grad[at];
        add_squares(sums, rest);
    }
    *sum = 0;
    for (int s = 0; s < SUMS; s++)
        for (int lane = 0; lane < SUM_LANES; lane++) *sum += sums[s][lane];
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
