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
 * G(a) = exp(a^2 / 2) Phi(-a) = GELU_SCALE up / down for 0 <= a <= GELU_END, where x Phi(x) rounds to 0 beyond
 * -GELU_END. Of each the highest even power has the factor 1, which saves a product; what that leaves, GELU_SCALE, is
 * part of the exponential: gelu_exp_terms are those of -GELU_SCALE exp(-r / 2) MATH_DOWN for |r| <= ln 2.
 *
 * In float GELU_LN2 is ln 2 rounded once: the n that it is multiplied by is nearly -a^2 / (2 ln 2), so that the error
 * is a smooth function of a, which the polynomials were fitted to make good. Their factors were then moved by units in
 * the last place to bring down the largest error of the whole, as it is rounded below, with FMA and without.
 */
#if NN_BITS == 32
#define GELU_END 14.6f
#define GELU_TANH_END 11.2f
#define GELU_SHORT (~(INT)0xfff) /* leaves half of a number's digits */
#define GELU_LN2 0x1.62e430p-1f
#define GELU_LN2_LOW (GELU_LN2 - MATH_LN2_HIGH)
#define GELU_SLOPE 0x1.3a84d4p+3f /* 1 / (sqrt(2 pi) GELU_SCALE) */
static const REAL gelu_up[] = {0x1.ded2d6p+6f, 0x1.a565ep+6f, 0x1.615cccp+5f, 0x1.3a808ap+3f, 1};
static const REAL gelu_down[] = {0x1.36f68ep+3f, 0x1.04e414p+4f, 0x1.7794bp+3f, 0x1.260b0cp+2f, 1, 0x1.a0bc1p-4f};
static const REAL gelu_exp_terms[] = {-0x1.4c8248p-69f, 0x1.4c823ep-70f, -0x1.4c8056p-72f,
                                      0x1.bb5ebcp-75f, -0x1.bdff1cp-78f, 0x1.61279ep-81f};
#else
#define GELU_END 38.7
#define GELU_TANH_END 22.0
#define GELU_SHORT (~(INT)0x7ffffff)
#define GELU_LN2_LOW MATH_LN2_LOW
#define GELU_SLOPE 0x1.f1e305bf43092p+4
static const REAL gelu_up[] = {
    0x1.10534cc328dfep+21, 0x1.c2e9c98688527p+21, 0x1.721ff6132b5fdp+21, 0x1.85384bd6bf6a4p+20, 0x1.1fa465c4d5d21p+19,
    0x1.36c7a65a04156p+17, 0x1.f07ddcfabc721p+14, 0x1.21e1c0b57b579p+12, 0x1.db67428849eefp+8, 0x1.f1e305bf3f578p+4,
    1};
static const REAL gelu_down[] = {
    0x1.bee305d75ba60p+15, 0x1.1220e6e42a021p+17, 0x1.3ab4c10df9873p+17, 0x1.bf2cc12abb70fp+16, 0x1.b5f36526e6a3ep+15,
    0x1.37474b8e630d2p+14, 0x1.48c7a772d3314p+12, 0x1.031600dce6ffap+10, 0x1.2c19510371c1dp+7, 0x1.e9e85712dcf0bp+3,
    1, 0x1.0741b22310775p-5};
static const REAL gelu_exp_terms[] = {
    -0x1.a418c7610974bp-263, 0x1.a418c7610974bp-264, -0x1.a418c7610975cp-266, 0x1.181084eb5b9e6p-268,
    -0x1.181084eb57aeap-271, 0x1.c01a6e4584cd4p-275, -0x1.2abc499766fbfp-278, 0x1.556978356a579p-282,
    -0x1.55692363cf4f8p-286, 0x1.2f7af38a99b88p-290, -0x1.e6d9b83fe53a3p-295, 0x1.60673a57c5f18p-299};
#endif

/*
 * terms[0] + terms[1] a + ... = even + a odd: of the ways to add up these terms, all positive, the one with the least
 * rounding. The highest even one is 1.
 */
typedef struct gelu_sum {
    vec even, odd;
} gelu_sum;

NN_INLINE gelu_sum gelu_sum_of(vec square, const REAL *terms, int count) {
    const int last = (count - 1) / 2 * 2, odd = count % 2 ? count - 2 : count - 1;
    gelu_sum sum = {square + vset(terms[last - 2]), vset(terms[odd])};
    NN_UNROLL(8) for (int i = last - 4; i >= 0; i -= 2) sum.even = vfma(sum.even, square, vset(terms[i]));
    NN_UNROLL(8) for (int i = odd - 2; i > 0; i -= 2) sum.odd = vfma(sum.odd, square, vset(terms[i]));
    return sum;
}
#define GELU_SUM(square, terms) gelu_sum_of(square, terms, (int)(sizeof(terms) / sizeof(REAL)))

/*
 * GELU_SCALE exp(-a^2 / 2) in two parts, 2^n and the rest. The square is kept in two numbers: rounded to one, its error
 * in the exponent would cost a hundred units in the tail. Where there is no FMA the first of them is the square of a
 * short number.
 */
typedef struct gelu_bell {
    vec square; /* a^2, rounded once */
    uvec power; /* n + MATH_LIFT where the exponent stands: added to a number's bits it is a product, if that is normal */
    vec rest;   /* -GELU_SCALE exp(r) MATH_DOWN */
} gelu_bell;

NN_INLINE gelu_bell gelu_bell_of(vec a) {
#if NN_HAVE_FMA
    const vec square = a * a, error = vfma(a, a, -square), whole = square;
#else
    const vec head = (vec)((ivec)a & ivset(GELU_SHORT));
    const vec square = head * head, error = (a - head) * (a + head), whole = a * a;
#endif
    const vec rounder = vset(MATH_ROUNDER + (REAL)MATH_LIFT);
    const vec shifted = vfma(whole, vset((REAL)-0x1.71547652b82fep-1), rounder);
    const vec n = shifted - rounder;
#if NN_HAVE_FMA && NN_BITS == 32
    const vec r = vfma(n, vset(2 * GELU_LN2), square) + error;
#else
    const vec r = vfma(n, vset(2 * MATH_LN2_HIGH), square) + vfma(n, vset(2 * GELU_LN2_LOW), error);
#endif
    return (gelu_bell){whole, (uvec)shifted << MANTISSA_BITS, MATH_POLYNOMIAL(r, gelu_exp_terms)};
}

/* |x| held at GELU_END; NaN stays NaN. */
NN_INLINE vec gelu_reach(vec x) { return math_at_most(vabs(x), GELU_END); }

/*
 * x Phi(x) = max(x, 0) - a Phi(-a) with a = |x|; the 0 is negative, so that -0 comes of a tail too small. a is part of
 * the sum above, which saves a rounding; 2^n goes below, that is a normal number for the smallest a too.
 */
NN_INLINE vec vgelu(vec x) {
    const vec a = gelu_reach(x);
    const gelu_bell bell = gelu_bell_of(a);
    const gelu_sum up = GELU_SUM(bell.square, gelu_up), down = GELU_SUM(bell.square, gelu_down);
    const vec below = (vec)((uvec)vfma(a, down.odd, down.even) - bell.power);
    const vec right = vmax(vset(R(-0.0)), x);
#if NN_HAVE_FMA || NN_BITS == 64
    return vfma(vfma(a, up.even, up.odd * bell.square) / below, bell.rest, right);
#else
    /* In double, rounded once: so the bound holds where every product and every sum before is rounded. */
    typedef double wide __attribute__((vector_size(2 * VEC_BYTES)));
#define WIDE(v) __builtin_convertvector(v, wide)
    const wide above = WIDE(a) * (WIDE(up.even) + WIDE(a) * WIDE(up.odd));
    return right + __builtin_convertvector(above * WIDE(bell.rest) / WIDE(below), vec);
#undef WIDE
#endif
}

/* Phi(x) + x phi(x): to the left of 0 exp(-a^2/2) (G(a) - a / sqrt(2 pi)), to the right 1 less that. */
NN_INLINE vec vgelu_derivative(vec x) {
    const vec a = gelu_reach(x);
    const gelu_bell bell = gelu_bell_of(a);
    const gelu_sum up = GELU_SUM(bell.square, gelu_up), down = GELU_SUM(bell.square, gelu_down);
    const vec sum = vfma(a, vset(-GELU_SLOPE), vfma(a, up.odd, up.even) / vfma(a, down.odd, down.even));
    const vec less = sum * (vec)(bell.power + (uvec)vset(1)) * bell.rest;
    return vselect_sign(x, -less, vset(1) + less);
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
