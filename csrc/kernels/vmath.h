/*
 * vmath.h: exp, expm1, log, sigmoid, tanh on vectors, for both element types. What is built of them stands in
 * vmath_gelu.h and vmath_smooth.h.
 *
 * Each is a polynomial on a reduced argument, every lane through the same arithmetic: no branches, no tables.
 * Bounds over every input of the type, in units in the last place of the result (csrc/tests/test_vmath.c):
 * exp, expm1 and log 1.5, sigmoid and tanh 2.5. Results too small for a normal number are right too, and infinities
 * and NaN come out as the limits say.
 */
#ifndef NN_KERNELS_VMATH_H
#define NN_KERNELS_VMATH_H

/* What differs between the types. Polynomials are minimax fits in rising powers. */
#if NN_BITS == 32
enum { MANTISSA_BITS = 23, EXPONENT_BIAS = 127 };
#define MATH_ROUNDER 0x1.8p23f     /* added and taken away again: rounds to an integer */
#define MATH_EXP_LOW (-104.0f)     /* exp rounds to 0 from here down, */
#define MATH_EXP_HIGH 89.0f        /* and to infinity from here up */
#define MATH_SIGMOID_ONE 20.0f     /* 1 / (1 + exp(-x)) rounds to 1 from here up */
#define MATH_EXPM1_ONE (-26.0f)    /* exp(x) - 1 rounds to -1 from here down */
#define MATH_LN2_HIGH 0x1.63p-1f   /* short, so that a product with an exponent is exact without FMA */
#define MATH_LN2_LOW (-0x1.bd0106p-13f)
#define MATH_THREE_QUARTERS 0x3f400000 /* bits */
#define MATH_LARGEST 0x1.fffffep127f
/* (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2; exp within 2^-28 */
static const REAL math_exp_terms[] = {0x1.fffffcp-2f, 0x1.555490p-3f, 0x1.5558f2p-5f, 0x1.123a5cp-7f,
                                      0x1.6a24eep-10f};
/* (log((1 + s) / (1 - s)) / s - 2) / s^2 in powers of s^2, for a number between 3/4 and 3/2 */
static const REAL math_log_terms[] = {0x1.555554p-1f, 0x1.999bdcp-2f, 0x1.23e9bcp-2f, 0x1.ed89aap-3f};
#else
enum { MANTISSA_BITS = 52, EXPONENT_BIAS = 1023 };
#define MATH_ROUNDER 0x1.8p52
#define MATH_EXP_LOW (-746.0)
#define MATH_EXP_HIGH 710.0
#define MATH_SIGMOID_ONE 40.0
#define MATH_EXPM1_ONE (-40.0)
#define MATH_LN2_HIGH 0x1.62e42feep-1
#define MATH_LN2_LOW 0x1.a39ef35793c76p-33
#define MATH_THREE_QUARTERS INT64_C(0x3fe8000000000000)
#define MATH_LARGEST 0x1.fffffffffffffp1023
/* as above; exp within 2^-57 */
static const REAL math_exp_terms[] = {0x1.000000000000ap-1,  0x1.55555555554f9p-3,  0x1.5555555550835p-5,
                                      0x1.1111111127d8cp-7,  0x1.6c16c1843ed2fp-10, 0x1.a01a0129ece08p-13,
                                      0x1.a01999ca1ada8p-16, 0x1.71df25d99804cp-19, 0x1.28adb7685ae02p-22,
                                      0x1.ad7f51d39145ep-26};
static const REAL math_log_terms[] = {0x1.5555555555770p-1, 0x1.99999998f24a9p-2, 0x1.249249b10f469p-2,
                                      0x1.c71c021248621p-3, 0x1.7474c74fb9a2ep-3, 0x1.3854f1bcda048p-3,
                                      0x1.3aae207264344p-3};
#endif

/* terms[0] + terms[1] x + ... ; count is a constant. */
NN_INLINE vec math_polynomial(vec x, const REAL *terms, int count) {
    vec sum = vset(terms[count - 1]);
    NN_UNROLL(16) for (int i = count - 2; i >= 0; i--) sum = vfma(sum, x, vset(terms[i]));
    return sum;
}
#define MATH_POLYNOMIAL(x, terms) math_polynomial(x, terms, (int)(sizeof(terms) / sizeof(REAL)))

/*
 * The same in pairs, terms[i] + terms[i + 1] x, with square = x^2: an operation more, but a chain of dependent
 * ones half as long. Loops over vectors wait for such chains, since a processor looks ahead a hundred operations
 * or so.
 */
NN_INLINE vec math_polynomial_pairs(vec x, vec square, const REAL *terms, int count) {
    int i = (count - 1) / 2 * 2;
    vec sum = i + 1 < count ? vfma(vset(terms[i + 1]), x, vset(terms[i])) : vset(terms[i]);
    NN_UNROLL(16) for (i -= 2; i >= 0; i -= 2)
        sum = vfma(sum, square, vfma(vset(terms[i + 1]), x, vset(terms[i])));
    return sum;
}
#define MATH_POLYNOMIAL_PAIRS(x, square, terms) \
    math_polynomial_pairs(x, square, terms, (int)(sizeof(terms) / sizeof(REAL)))

NN_INLINE ivec math_sign_bit(void) { return (ivec)vset(-(REAL)0); }
NN_INLINE vec vabs(vec x) { return (vec)((ivec)x & ~math_sign_bit()); }
NN_INLINE vec vnegabs(vec x) { return (vec)((ivec)x | math_sign_bit()); }

/* Lane by lane a where x has its sign bit set, else b: instructions that look at nothing else. */
NN_INLINE vec vselect_sign(vec x, vec a, vec b) {
#if defined(__AVX512F__) && NN_BITS == 32
    return (vec)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)x), (__m512)b, (__m512)a);
#elif defined(__AVX512F__)
    return (vec)_mm512_mask_blend_pd(_mm512_movepi64_mask((__m512i)x), (__m512d)b, (__m512d)a);
#elif defined(__AVX2__) && NN_BITS == 32
    return (vec)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)x);
#elif defined(__AVX2__)
    return (vec)_mm256_blendv_pd((__m256d)b, (__m256d)a, (__m256d)x);
#else
    return vselect((ivec)x < ivset(0), a, b);
#endif
}

/* x held at or below (above) limit; NaN stays NaN. */
NN_INLINE vec math_at_most(vec x, REAL limit) { return vmin(vset(limit), x); }
NN_INLINE vec math_at_least(vec x, REAL limit) { return vmax(vset(limit), x); }

/* exp(x) = 2^n exp(r): n a whole number, |r| <= ln 2 / 2. */
typedef struct math_exp_parts {
    uvec rounded; /* n in the low bits, as the rounder left it */
    vec r;
} math_exp_parts;

NN_INLINE math_exp_parts math_exp_split(vec x) {
    const vec shifted = vfma(x, vset((REAL)0x1.71547652b82fep0), vset(MATH_ROUNDER));
    const vec n = shifted - vset(MATH_ROUNDER);
    return (math_exp_parts){(uvec)shifted, vfma(n, vset(-MATH_LN2_LOW), vfma(n, vset(-MATH_LN2_HIGH), x))};
}

/* exp(r) - 1 */
NN_INLINE vec math_expm1_rest(vec r) {
    const vec square = r * r;
    return vfma(square, MATH_POLYNOMIAL_PAIRS(r, square, math_exp_terms), r);
}

/* 2^(n + lift), a normal number: n moves into the exponent, what the rounder had above it is shifted out. */
NN_INLINE vec math_power(uvec rounded, int lift) {
    return (vec)((rounded << MANTISSA_BITS) + (uvec)ivset((INT)(EXPONENT_BIAS + lift) << MANTISSA_BITS));
}

/*
 * Small results are computed MATH_LIFT powers of two higher, where all are normal numbers, and put down by one
 * product at the end: so one too small for a normal number is rounded once.
 */
#define MATH_UP vset((REAL)(NN_BITS == 32 ? 0x1p64 : 0x1p256))
#define MATH_DOWN vset((REAL)(NN_BITS == 32 ? 0x1p-64 : 0x1p-256))
enum { MATH_LIFT = NN_BITS == 32 ? 64 : 256 };

/*
 * exp(x). 2^n is applied as two factors, neither of which leaves the range of normal numbers: MATH_UP or
 * MATH_DOWN by the sign of x, and the rest of it. So a result that overflows is infinity. AVX-512 has an instruction
 * for it.
 */
NN_INLINE vec vexp(vec x) {
    const vec held = math_at_most(math_at_least(x, MATH_EXP_LOW), MATH_EXP_HIGH);
    const math_exp_parts e = math_exp_split(held);
#if defined(__AVX512F__) && NN_BITS == 32
    const vec n = (vec)e.rounded - vset(MATH_ROUNDER);
    return (vec)_mm512_scalef_ps((__m512)(math_expm1_rest(e.r) + vset(1)), (__m512)n); /* times 2^n, rounded once */
#else
    const ivec negative = (ivec)held >> (NN_BITS - 1), swing = (ivec)MATH_UP - (ivec)MATH_DOWN;
    const uvec outer = (uvec)((ivec)MATH_DOWN + (~negative & swing));
    const uvec inner = (e.rounded << MANTISSA_BITS) + ((uvec)vset(1) + (uvec)vset(1) - outer); /* 2^n / outer */
    return vfma((vec)inner, math_expm1_rest(e.r), (vec)inner) * (vec)outer;
#endif
}

/* exp(x) MATH_UP for x <= 0 (or NaN), not so low that even this is too small for a normal number. */
NN_INLINE vec math_exp_lifted(vec x) {
    const math_exp_parts e = math_exp_split(x);
    const vec power = math_power(e.rounded, MATH_LIFT);
    return vfma(power, math_expm1_rest(e.r), power);
}

/* exp(x) for x <= 0 (or NaN), in fewer instructions. */
NN_INLINE vec vexp_nonpositive(vec x) { return math_exp_lifted(math_at_least(x, MATH_EXP_LOW)) * MATH_DOWN; }

/*
 * 1 / (1 + exp(-x)) = DOWN / (DOWN + exp(-x) DOWN): so far down exp(-x) does not overflow where the result is small but
 * not 0, and the quotient is rounded once, where it is too small for a normal number too. With s = -r = x + n ln 2 the
 * signs are those of the fused products.
 */
NN_INLINE vec vsigmoid(vec x) {
    const vec held = math_at_most(math_at_least(x, MATH_EXP_LOW), MATH_SIGMOID_ONE);
    const vec shifted = vfma(held, vset((REAL)-0x1.71547652b82fep0), vset(MATH_ROUNDER - (REAL)MATH_LIFT));
    const vec n = shifted - vset(MATH_ROUNDER - (REAL)MATH_LIFT);
    const vec s = vfma(n, vset(MATH_LN2_LOW), vfma(n, vset(MATH_LN2_HIGH), held)), square = s * s;
    const vec power = math_power((uvec)shifted, 0);
    const vec rest = vfma(square, MATH_POLYNOMIAL_PAIRS(-s, square, math_exp_terms), -s);
    return MATH_DOWN / (vfma(power, rest, power) + MATH_DOWN);
}

/* exp(x) - 1 for x <= 0 (or NaN): 2^n - 1 is exact or far above the rest. */
NN_INLINE vec vexpm1_nonpositive(vec x) {
    const math_exp_parts e = math_exp_split(math_at_least(x, MATH_EXPM1_ONE));
    const vec power = math_power(e.rounded, 0);
    return vfma(power, math_expm1_rest(e.r), power - vset(1));
}

/*
 * -e / (2 + e), e = exp(-2|x|) - 1, with the sign of x; tiny x comes back as it is. From exp(2|x|) it would be as
 * short, but 2 + e would lose more: here it lies below 2, and e is hardly larger than twice the result.
 */
NN_INLINE vec vtanh(vec x) {
    const vec down = vnegabs(x), e = vexpm1_nonpositive(down + down);
    const vec size = vabs(e / (e + vset(2)));
    return (vec)((ivec)size | ((ivec)x & math_sign_bit()));
}

/*
 * log(x) = n ln 2 + log(1 + f), 1 + f in [3/4, 3/2); with s = f / (2 + f),
 * log(1 + f) = f - (f^2/2 - s (f^2/2 + s^2 terms(s^2))), which is exact to first order where f is small.
 */
NN_INLINE vec math_log_sum(vec n, vec f) {
#if NN_HAVE_FMA && NN_BITS == 32
    const REAL high = 0x1.62e42ep-1f, low = 0x1.efa39ep-25f; /* both positive: n may be an infinity */
#else
    const REAL high = MATH_LN2_HIGH, low = MATH_LN2_LOW;
#endif
    const vec s = f / (f + vset(2)), z = s * s, square = f * f * vset(R(0.5));
    const vec tail = vfma(s, square + z * MATH_POLYNOMIAL(z, math_log_terms), n * vset(low));
    return vfma(n, vset(high), f - (square - tail));
}

NN_INLINE vec vlog(vec x) {
#if defined(__AVX512F__) && NN_BITS == 32
    /*
     * Its own instructions take x apart, subnormal numbers too. n is an infinity for 0 and infinity; m is NaN for a
     * negative x, and 1 for -0.
     */
#define MATH_MANTISSA_SIGN ((_MM_MANTISSA_SIGN_ENUM)(_MM_MANT_SIGN_zero | _MM_MANT_SIGN_nan))
    const __m512 m = _mm512_getmant_ps((__m512)x, _MM_MANT_NORM_p75_1p5, MATH_MANTISSA_SIGN);
    const vec n = (vec)_mm512_getexp_ps((__m512)x) - (vec)_mm512_getexp_ps(m);
    return math_log_sum(n, (vec)m - vset(1));
#else
    const vec smallest = (vec)ivset((INT)1 << MANTISSA_BITS), inf = vset((REAL)__builtin_inf());
    const ivec subnormal = x < smallest;
    const vec lift = (vec)ivset((INT)(EXPONENT_BIAS + MANTISSA_BITS) << MANTISSA_BITS); /* 2^MANTISSA_BITS */
    const ivec one = (ivec)vset(1), least = ivset(MATH_THREE_QUARTERS);
    const uvec bits = (uvec)vselect(subnormal, x * lift, x) + (uvec)(one - least); /* may wrap: infinity, NaN */
    const vec f = (vec)((ivec)(bits & (uvec)ivset(((INT)1 << MANTISSA_BITS) - 1)) + least) - vset(1);
    /* The exponent as a number, by way of the rounder: there is no packed conversion from int64 before AVX-512. */
    const vec n = (vec)((ivec)(bits >> MANTISSA_BITS) + (ivec)vset(MATH_ROUNDER)) -
                  (vset(MATH_ROUNDER) + vselect(subnormal, vset(EXPONENT_BIAS + MANTISSA_BITS), vset(EXPONENT_BIAS)));
    const vec log = math_log_sum(n, f);
    vec result = vselect(x < inf, log, x); /* infinity and NaN are their own logarithm */
    result = vselect(x == vset(0), -inf, result);
    return vselect(x < vset(0), vset((REAL)__builtin_nan("")), result);
#endif
}

/*
 * log(1 + x) for x from -1 to 0, from log(u), u = 1 + x rounded: times x / (u - 1), what rounding took from u comes back.
 * Within 3 units.
 */
NN_INLINE vec vlog1p(vec x) {
    const vec u = x + vset(1), rest = u - vset(1);
    return vselect(rest == vset(0), x, vlog(u) * (x / rest));
}

#endif
