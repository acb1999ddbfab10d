/*
 * vmath_gelu.h: x times the normal distribution's Phi(x), by way of erfc and in the form with tanh; and the
 * derivatives of both.
 *
 * All digits are kept in the left tail too, where Phi is a difference of nearly equal numbers if it is had from
 * erf: Phi(-a) = exp(-a^2 / 2) G(a), with G a quotient of polynomials whose terms are all positive. The bound
 * of vgelu, in units in the last place, is 6 (float) and 8 (double). vgelu_tanh is as exact as the exponent v below,
 * which is rounded a few times: 6 units from -1 up, and about 2 |v| to the left of it, 250 (float) and 3000 (double)
 * where the tail ends.
 */
#ifndef NN_KERNELS_VMATH_GELU_H
#define NN_KERNELS_VMATH_GELU_H

#include "vmath.h"

/*
 * G(a) = exp(a^2 / 2) Phi(-a) = up / down for 0 <= a <= GELU_END, where x Phi(x) rounds to 0 beyond -GELU_END. Terms 2 i
 * and 2 i + 1 have the factor (-2)^i: gelu_sum reckons with -a^2 / 2.
 */
#if NN_BITS == 32
#define GELU_END 14.6f
#define GELU_TANH_END 11.2f
#define GELU_SHORT (~(INT)0xfff) /* leaves half of a number's digits */
static const REAL gelu_up[] = {
    0.5f, 0x1.c04de4p-2f, -0x1.766f4cp-2f, -0x1.4ba8bep-4f, 0x1.0c1f90p-6f};
static const REAL gelu_down[] = {
    1, 0x1.ac6920p+0f, -0x1.336e12p+1f, -0x1.dfa1a8p-1f, 0x1.9fb318p-2f, 0x1.5009eep-5f};
#else
#define GELU_END 38.7
#define GELU_TANH_END 22.0
#define GELU_SHORT (~(INT)0x7ffffff)
static const REAL gelu_up[] = {
    0.5, 0x1.a7e1c03793638p-1, -0x1.5befc2d53f41bp+0, -0x1.6de30cb7cce01p-1, 0x1.0e66090accee3p-1,
    0x1.2426332ab31c6p-3, -0x1.d2ba590bfcdabp-5, -0x1.108104dd0bb69p-7, 0x1.bee7616b98062p-10, 0x1.d40a1897f8cc5p-14,
    -0x1.e14e7b8383d2cp-18};
static const REAL gelu_down[] = {
    1, 0x1.3a11f4eb1a8b1p+1, -0x1.688f5c469b128p+2, -0x1.002a3cc49b66dp+2, 0x1.f5c30e4a2b800p+1,
    0x1.64a20d5cd7199p+0, -0x1.78af37a397aa3p-1, -0x1.28d5f784d77a5p-3, 0x1.57d3126122d25p-5, 0x1.18a500350485ap-8,
    -0x1.254cdb5ad6742p-11, -0x1.2d9d39f5a1467p-16};
#endif

/*
 * terms[0] + terms[1] a + ... , even and odd powers apart: of the ways to add up these terms, all positive, the one
 * with the least rounding. square = -a^2 / 2, as the exponential needs it; the factors -2 cost no digits.
 */
NN_INLINE vec gelu_sum(vec a, vec square, const REAL *terms, int count) {
    const int last = (count - 1) / 2 * 2, odd = count % 2 ? count - 2 : count - 1;
    vec evens = vset(terms[last]), odds = vset(terms[odd]);
    NN_UNROLL(8) for (int i = last - 2; i >= 0; i -= 2) evens = vfma(evens, square, vset(terms[i]));
    NN_UNROLL(8) for (int i = odd - 2; i > 0; i -= 2) odds = vfma(odds, square, vset(terms[i]));
    return vfma(odds, a, evens);
}
#define GELU_SUM(a, square, terms) gelu_sum(a, square, terms, (int)(sizeof(terms) / sizeof(REAL)))

/*
 * exp(-a^2 / 2) MATH_UP in two parts, 2^n and exp(r) - 1. The square is kept in two numbers: rounded to one, its error
 * in the exponent would cost a hundred units in the tail. Where there is no FMA the first of them is the square of a
 * short number.
 */
typedef struct gelu_bell {
    vec square; /* -a^2 / 2, rounded once */
    uvec power; /* n + MATH_LIFT where the exponent stands: added to a number's bits it is a product, if that is normal */
    vec rest;
} gelu_bell;

NN_INLINE gelu_bell gelu_bell_of(vec a) {
#if NN_HAVE_FMA
    const vec half = a * vset(R(-0.5));
    const vec square = half * a, rest = vfma(half, a, -square), whole = square;
#else
    const vec head = (vec)((ivec)a & ivset(GELU_SHORT));
    const vec square = head * head * vset(R(-0.5)), rest = (a - head) * (a + head) * vset(R(-0.5));
    const vec whole = a * a * vset(R(-0.5));
#endif
    /* As math_exp_split, but with the rest added where it is not waited for. */
    const vec rounder = vset(MATH_ROUNDER + (REAL)MATH_LIFT);
    const vec shifted = vfma(square, vset((REAL)0x1.71547652b82fep0), rounder);
    const vec n = shifted - rounder;
    const vec r = vfma(n, vset(-MATH_LN2_HIGH), square) + vfma(n, vset(-MATH_LN2_LOW), rest);
    return (gelu_bell){whole, (uvec)shifted << MANTISSA_BITS, math_expm1_rest(r)};
}

/* |x| held at GELU_END; NaN stays NaN. */
NN_INLINE vec gelu_reach(vec x) { return math_at_most(vabs(x), GELU_END); }

/* x Phi(x) = max(x, 0) - a Phi(-a) with a = |x|; the 0 is negative, so that -0 comes of a tail too small. */
NN_INLINE vec vgelu(vec x) {
    const vec a = gelu_reach(x);
    const gelu_bell bell = gelu_bell_of(a);
    const vec up = GELU_SUM(a, bell.square, gelu_up), down = GELU_SUM(a, bell.square, gelu_down);
    const vec lifted = a * (vec)((uvec)up + bell.power) / down;
    return vfma(vfma(lifted, bell.rest, lifted), -MATH_DOWN, vmax(vset(R(-0.0)), x));
}

/* Phi(x) + x phi(x): to the left of 0 exp(-a^2/2) (G(a) - a / sqrt(2 pi)), to the right 1 less that. */
NN_INLINE vec vgelu_derivative(vec x) {
    const vec a = gelu_reach(x);
    const gelu_bell bell = gelu_bell_of(a);
    const vec up = GELU_SUM(a, bell.square, gelu_up), down = GELU_SUM(a, bell.square, gelu_down);
    const vec lifted = vfma(a, vset((REAL)-0.39894228040143267794), up / down) * (vec)(bell.power + (uvec)vset(1));
    const vec left = vfma(lifted, bell.rest, lifted) * MATH_DOWN;
    return vselect(x > vset(0), vset(1) - left, left);
}

/* sqrt(8 / pi), and times 0.044715: x (1 + tanh(v / 2)) / 2 = x / (1 + exp(-v)), v = x (first + third x^2). */
#define GELU_FIRST vset((REAL)1.5957691216057307118)
#define GELU_THIRD vset((REAL)0.07135481627260024878)

NN_INLINE vec vgelu_tanh(vec x) {
    const vec held = math_at_least(x, -GELU_TANH_END), left = math_at_least(vnegabs(x), -GELU_TANH_END);
    const vec e = math_exp_lifted(left * vfma(left * left, GELU_THIRD, GELU_FIRST));
    const vec above = vselect_sign(x, e, vset(1)), put = vselect_sign(x, MATH_DOWN, vset(1));
    return held * above / vfma(e, MATH_DOWN, vset(1)) * put;
}

/* s (1 + x (1 - s) v'(x)), s = 1 / (1 + exp(-v)). */
NN_INLINE vec vgelu_tanh_derivative(vec x) {
    const vec held = math_at_most(math_at_least(x, -GELU_TANH_END), GELU_TANH_END), square = held * held;
    const vec e = math_exp_lifted(vnegabs(held) * vfma(square, GELU_THIRD, GELU_FIRST)) * MATH_DOWN;
    const vec right = vset(1) / (e + vset(1)), left = e * right;
    const vec s = vselect_sign(x, left, right), other = vselect_sign(x, right, left);
    return s * vfma(held * vfma(square, vset(3) * GELU_THIRD, GELU_FIRST), other, vset(1));
}

#endif
