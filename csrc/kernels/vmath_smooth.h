/*
 * vmath_smooth.h: x sigmoid(x), x tanh(log(1 + exp(x))), their derivatives, and log(1 + exp(x)).
 *
 * Bounds in units in the last place: vsilu 3.5, vmish 5, vsoftplus 4, over all numbers, small results included.
 */
#ifndef NN_KERNELS_VMATH_SMOOTH_H
#define NN_KERNELS_VMATH_SMOOTH_H

#include "vmath.h"

#if NN_BITS == 32
#define SILU_END 110.0f /* x sigmoid(x) and its derivative round to 0 from -SILU_END down */
/* (log((1 + s) / (1 - s)) / s - 2) / s^2 in powers of s^2, for s <= 1/3 */
static const REAL log1p_terms[] = {0x1.555556p-1f, 0x1.9997bap-2f, 0x1.24fde6p-2f, 0x1.b65c6cp-3f, 0x1.f8577ap-3f};
#else
#define SILU_END 755.0
static const REAL log1p_terms[] = {0x1.5555555555555p-1, 0x1.999999999a406p-2, 0x1.24924923d1dc6p-2,
                                   0x1.c71c727307bc3p-3, 0x1.745cf05ebc1d4p-3, 0x1.3b18baf37dc3ap-3,
                                   0x1.10abf5a9b064fp-3, 0x1.eb994e5cf3416p-4, 0x1.684f7115e82f4p-4,
                                   0x1.4b353936070afp-3};
#endif

/* x / (1 + exp(-x)); to the left of 0 x e / (1 + e), e = exp(x). */
NN_INLINE vec vsilu(vec x) {
    const vec held = math_at_least(x, -SILU_END), e = math_exp_lifted(math_at_least(vnegabs(x), -SILU_END));
    const vec above = vselect_sign(x, e, vset(1)), put = vselect_sign(x, MATH_DOWN, vset(1));
    return held * above / vfma(e, MATH_DOWN, vset(1)) * put;
}

/* s (1 + x (1 - s)), s = sigmoid(x). */
NN_INLINE vec vsilu_derivative(vec x) {
    const vec held = math_at_most(math_at_least(x, -SILU_END), SILU_END);
    const vec e = math_exp_lifted(vnegabs(held)) * MATH_DOWN;
    const vec right = vset(1) / (e + vset(1)), left = e * right;
    const vec s = vselect_sign(x, left, right), other = vselect_sign(x, right, left);
    return s * vfma(held, other, vset(1));
}

/*
 * tanh(log(1 + E)) = ((1 + E)^2 - 1) / ((1 + E)^2 + 1) with E = exp(x); so with e = exp(-|x|) it is up / down,
 * to the left of 0 e (e + 2) / (e (e + 2) + 2), to the right (1 + 2 e) / (1 + 2 e (1 + e)).
 */
NN_INLINE vec vmish(vec x) {
    const vec held = math_at_least(x, -SILU_END), lifted = math_exp_lifted(math_at_least(vnegabs(x), -SILU_END));
    const vec e = lifted * MATH_DOWN, more = e + vset(2);
    const vec up = vselect_sign(x, lifted * more, vfma(e, vset(2), vset(1)));
    const vec down = vfma(e, vselect_sign(x, more, more + e), vselect_sign(x, vset(2), vset(1)));
    return held * up / down * vselect_sign(x, MATH_DOWN, vset(1));
}

/* tanh + x sigmoid(x) (1 - tanh^2) = up / down + 4 x e (1 + e) / down^2, to the right e^2 for e. */
NN_INLINE vec vmish_derivative(vec x) {
    const vec held = math_at_most(math_at_least(x, -SILU_END), SILU_END);
    const vec e = math_exp_lifted(vnegabs(held)) * MATH_DOWN, more = e + vset(2);
    const vec up = vselect_sign(x, e * more, vfma(e, vset(2), vset(1)));
    const vec part = vset(1) / vfma(e, vselect_sign(x, more, more + e), vselect_sign(x, vset(2), vset(1)));
    const vec bend = vset(4) * held * e * (e + vset(1)) * vselect_sign(x, vset(1), e);
    return vfma(bend * part, part, up * part);
}

/*
 * log(1 + exp(x)) = max(x, 0) + log(1 + e), e = exp(-|x|) <= 1; with s = e / (2 + e) the logarithm is
 * s (2 + s^2 terms(s^2)). e and s are lifted, so that a small e counts with all its digits.
 */
NN_INLINE vec vsoftplus(vec x) {
    const vec e = math_exp_lifted(math_at_least(vnegabs(x), MATH_EXP_LOW));
    const vec lifted = e / vfma(e, MATH_DOWN, vset(2)), s = lifted * MATH_DOWN, z = s * s;
    const vec factor = vfma(z, MATH_POLYNOMIAL_PAIRS(z, z * z, log1p_terms), vset(2));
    return vfma(lifted, factor * MATH_DOWN, vmax(vset(0), x));
}

#endif
