/*
 * pair_loss: losses of two arrays x and t, element by element. begin and end count elements.
 *
 *     forward   partial = sum of weight l(x, t) over the piece, and perhaps each of them
 *     backward  dx = l'(x, t) weight scale dy
 *
 * One loop each way, around a formula that is inlined into it.
 */
#include "template.h"

#include "loss.h"
#include "vmath_smooth.h"

enum { CHAINS = 4 }; /* sums side by side, to cover the latency of an addition */

/* What a formula is of: x, t, the weight of the positive answer, and numbers. */
typedef struct pair {
    vec x, t, p;
    vec a, b, c, d;
} pair;
typedef vec formula(pair v);

NN_INLINE vec formula_at(const nn_pair_loss_args *a, int64_t at, int64_t lanes, formula *f) {
    const vec y = f((pair){
        .x = load_lanes((const REAL *)a->x + at, lanes),
        .t = load_lanes((const REAL *)a->target + at, lanes),
        .p = a->positive ? load_lanes((const REAL *)a->positive + at, lanes) : vset(1),
        .a = vset((REAL)a->constant[0]),
        .b = vset((REAL)a->constant[1]),
        .c = vset((REAL)a->constant[2]),
        .d = vset((REAL)a->constant[3]),
    });
    return a->weight ? y * load_lanes((const REAL *)a->weight + at, lanes) : y;
}

NN_INLINE vec loss_at(const nn_pair_loss_args *a, int64_t at, int64_t lanes, formula *f) {
    const vec loss = formula_at(a, at, lanes, f);
    if (a->losses) store_lanes((REAL *)a->losses + at, loss, lanes);
    return loss;
}

/*
 * `light`: a formula of few instructions, worth a loop of its own over whole vectors. The arguments are copied, so that
 * they stay in registers whatever is stored.
 */
NN_INLINE void forward(const nn_pair_loss_args *args, int64_t begin, int64_t end, formula *f, bool light) {
    const nn_pair_loss_args a = *args;
    vec sum[CHAINS] = {{0}};
    int64_t i = begin;
    for (; light && i + CHAINS * VL <= end; i += CHAINS * VL)
        NN_UNROLL(4) for (int c = 0; c < CHAINS; c++) sum[c] += loss_at(&a, i + c * VL, VL, f);
    for (; i < end; i += VL) {
        const int64_t lanes = nn_min(VL, end - i);
        sum[0] += vselect(vmask(lanes), loss_at(&a, i, lanes, f), vset(0));
    }
    if (a.partial) a.partial[begin / NN_PAIR_LOSS_PIECE] = vsum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

NN_INLINE void slope_at(const nn_pair_loss_args *a, int64_t at, int64_t lanes, formula *f) {
    const vec slope = formula_at(a, at, lanes, f) * vset((REAL)a->scale);
    store_lanes((REAL *)a->dx + at, a->dy ? slope * load_lanes((const REAL *)a->dy + at, lanes) : slope, lanes);
}

NN_INLINE void backward(const nn_pair_loss_args *args, int64_t begin, int64_t end, formula *f, bool light) {
    const nn_pair_loss_args a = *args;
    int64_t i = begin;
    for (; light && i + VL <= end; i += VL) slope_at(&a, i, VL, f);
    for (; i < end; i += VL) slope_at(&a, i, nn_min(VL, end - i), f);
}

/* (x - t)^2 */
NN_INLINE vec mse_loss(pair v) {
    return (v.x - v.t) * (v.x - v.t);
}
NN_INLINE vec mse_slope(pair v) {
    return (v.x - v.t) + (v.x - v.t);
}
NN_DEFINE_KERNEL(mse_forward) { forward(args, begin, end, mse_loss, true); }
NN_DEFINE_KERNEL(mse_backward) { backward(args, begin, end, mse_slope, true); }

/*
 * With z = |x - t|: b z^2 below a, c z - d from there up. The least a there is is the least number above 0, so that
 * the slope at 0 is 0 whatever a is.
 */
#define LEAST vset(NN_BITS == 32 ? (REAL)0x1p-149 : (REAL)0x1p-1074)
NN_INLINE vec huber_loss(pair v) {
    const vec z = vabs(v.x - v.t);
    return vselect(z < vmax(LEAST, v.a), v.b * z * z, v.c * z - v.d);
}
NN_INLINE vec huber_slope(pair v) {
    const vec difference = v.x - v.t;
    return vselect(vabs(difference) >= vmax(LEAST, v.a), vselect_sign(difference, -v.c, v.c),
                   (v.b + v.b) * difference);
}
NN_DEFINE_KERNEL(huber_forward) { forward(args, begin, end, huber_loss, false); }
NN_DEFINE_KERNEL(huber_backward) { backward(args, begin, end, huber_slope, false); }

/* max(0, a - t x), the slope at the kink 0 */
NN_INLINE vec hinge_loss(pair v) {
    const vec short_of = v.a - v.t * v.x;
    return vselect(short_of <= vset(0), vset(0), short_of);
}
NN_INLINE vec hinge_slope(pair v) {
    return vselect(v.a - v.t * v.x <= vset(0), vset(0), -v.t);
}
NN_DEFINE_KERNEL(hinge_forward) { forward(args, begin, end, hinge_loss, false); }
NN_DEFINE_KERNEL(hinge_backward) { backward(args, begin, end, hinge_slope, false); }

/* -(t log x + (1 - t) log(1 - x)), the logarithms held at -100 */
NN_INLINE vec bce_loss(pair v) {
    return (v.t - vset(1)) * math_at_least(vlog1p(-v.x), -100) - v.t * math_at_least(vlog(v.x), -100);
}
/* (x - t) / (x (1 - x)), the product held at 1e-12 */
NN_INLINE vec bce_slope(pair v) {
    return (v.x - v.t) / math_at_least((vset(1) - v.x) * v.x, (REAL)1e-12);
}
NN_DEFINE_KERNEL(bce_forward) { forward(args, begin, end, bce_loss, false); }
NN_DEFINE_KERNEL(bce_backward) { backward(args, begin, end, bce_slope, false); }

/*
 * -(p t log s + (1 - t) log(1 - s)), s = sigmoid(x), as (1 - t) x or -p t x, by the sign of x, and
 * (p t + 1 - t) log(1 + exp(-|x|)): nothing is taken from anything as large.
 */
NN_INLINE vec bce_with_logits_loss(pair v) {
    const vec rest = vset(1) - v.t, line = vselect_sign(v.x, -(v.p * v.t), rest) * v.x;
    return vfma(vfma(v.p, v.t, rest), vsoftplus(vnegabs(v.x)), line);
}
/* (1 - t) s - p t (1 - s), each of s and 1 - s with all its digits */
NN_INLINE vec bce_with_logits_slope(pair v) {
    const vec e = math_exp_lifted(math_at_least(vnegabs(v.x), MATH_EXP_LOW)) * MATH_DOWN;
    const vec right = vset(1) / (e + vset(1)), left = e * right;
    const vec s = vselect_sign(v.x, left, right), other = vselect_sign(v.x, right, left);
    return (vset(1) - v.t) * s - v.p * v.t * other;
}
NN_DEFINE_KERNEL(bce_with_logits_forward) { forward(args, begin, end, bce_with_logits_loss, false); }
NN_DEFINE_KERNEL(bce_with_logits_backward) { backward(args, begin, end, bce_with_logits_slope, false); }

/* t (log t - x), for t = 0 its limit */
NN_INLINE vec kl_div_loss(pair v) {
    return vselect(v.t == vset(0), v.t, v.t * vlog(v.t)) - v.t * v.x;
}
NN_INLINE vec kl_div_slope(pair v) {
    return -v.t;
}
NN_DEFINE_KERNEL(kl_div_forward) { forward(args, begin, end, kl_div_loss, false); }
NN_DEFINE_KERNEL(kl_div_backward) { backward(args, begin, end, kl_div_slope, false); }

/* The same with log t for t. */
NN_INLINE vec kl_div_log_loss(pair v) {
    return vexp(v.t) * (v.t - v.x);
}
NN_INLINE vec kl_div_log_slope(pair v) {
    return -vexp(v.t);
}
NN_DEFINE_KERNEL(kl_div_log_forward) { forward(args, begin, end, kl_div_log_loss, false); }
NN_DEFINE_KERNEL(kl_div_log_backward) { backward(args, begin, end, kl_div_log_slope, false); }
