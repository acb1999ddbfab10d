/*
 * vec.h: the vector type of the unit being compiled, and every operation on it that needs care.
 *
 * `vec` holds VL elements of REAL. Arithmetic (+ - * /) and comparisons are the compiler's own on vector types.
 * What is here and nowhere else: loads and stores of any alignment, partial ones for tails, fused
 * multiply-add, selection by mask.
 *
 * Rounding is ours: the build forbids contraction, so a product is fused with a sum only where vfma or sfma
 * says so. The baseline of x86-64 has no FMA instruction (a libm call would be a hundred times slower): there
 * both round twice, in vector and scalar alike.
 */
#ifndef NN_VEC_H
#define NN_VEC_H

#if defined(__AVX512F__)
#define VEC_BYTES 64
#elif defined(__AVX2__)
#define VEC_BYTES 32
#else
#define VEC_BYTES 16
#endif

#if defined(__FMA__) || defined(__aarch64__)
#define NN_HAVE_FMA 1
#else
#define NN_HAVE_FMA 0
#endif

#if defined(__SSE2__)
#include <immintrin.h> /* masked loads and stores, minimum and maximum: what vector types cannot say */
#endif
#include <stdbool.h>
#include <string.h>

enum { VL = VEC_BYTES / (NN_BITS / 8) };

typedef REAL vec __attribute__((vector_size(VEC_BYTES)));
typedef INT ivec __attribute__((vector_size(VEC_BYTES)));
typedef UINT uvec __attribute__((vector_size(VEC_BYTES)));
typedef REAL vec_at __attribute__((vector_size(VEC_BYTES), aligned(NN_BITS / 8), may_alias));
typedef INT ivec_at __attribute__((vector_size(VEC_BYTES), aligned(NN_BITS / 8), may_alias));

#if defined(NN_SMALL)
#define NN_INLINE static inline /* one function for all constants, where one for each would be faster and larger */
#else
#define NN_INLINE static inline __attribute__((always_inline))
#endif
#define NN_NOINLINE __attribute__((noinline)) /* keeps a rare path from costing the hot loop its registers */

/*
 * Before a loop of at most n turns, their number known once it is inlined: written out in full, so that small
 * arrays of vectors lie in registers. Checked code (NN_SANITIZED) is not for speed, and is compiled sooner without;
 * neither is what the build wants small (NN_SMALL).
 */
#define NN_PRAGMA(words) _Pragma(#words)
#if defined(NN_SANITIZED) || defined(NN_SMALL)
#define NN_UNROLL(n)
#elif defined(__clang__)
#define NN_UNROLL(n) NN_PRAGMA(clang loop unroll(full))
#else
#define NN_UNROLL(n) NN_PRAGMA(GCC unroll n)
#endif

NN_INLINE vec vload(const REAL *p) { return *(const vec_at *)p; }
NN_INLINE void vstore(REAL *p, vec v) { *(vec_at *)p = v; }

/* v, held in a register: GCC 12 may otherwise load it from memory once more for each of its uses. */
NN_INLINE vec vkept(vec v) {
#if defined(__SSE2__)
    __asm__("" : "+v"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#endif
    return v;
}

/* p, in one register: GCC may otherwise work out the pointers to all rows of an unrolled loop before the first. */
NN_INLINE REAL *pkept(REAL *p) {
    __asm__("" : "+r"(p));
    return p;
}

NN_INLINE vec vset(REAL a) { return a - (vec){0}; }
NN_INLINE ivec ivset(INT a) { return a - (ivec){0}; }

/* 0, 1, 2, ... */
NN_INLINE ivec viota(void) {
    ivec lane;
    for (int i = 0; i < VL; i++) lane[i] = i;
    return lane;
}

/* All bits set in the first `count` lanes. */
NN_INLINE ivec vmask(int64_t count) { return viota() < ivset((INT)count); }

/* The first `count` (0 to VL) elements at p, zeros behind; touches no byte beyond them. */
NN_INLINE vec vload_some(const REAL *p, int64_t count) {
#if defined(__AVX512F__) && NN_BITS == 32
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
#elif defined(__AVX512F__)
    return (vec)_mm512_maskz_loadu_pd((__mmask8)((1u << count) - 1), p);
#elif defined(__AVX2__) && NN_BITS == 32
    return (vec)_mm256_maskload_ps(p, (__m256i)vmask(count));
#elif defined(__AVX2__)
    return (vec)_mm256_maskload_pd(p, (__m256i)vmask(count));
#else
    vec v = {0};
    for (int i = 0; i < VL; i++)
        if (i < count) v[i] = p[i];
    return v;
#endif
}

/*
 * Stores the first `count` (0 to VL) lanes; touches no byte beyond them. AVX2's masked store costs a dozen
 * cycles on AMD's processors, so there the halves are stored that the bits of count name.
 */
NN_INLINE void vstore_some(REAL *p, vec v, int64_t count) {
#if defined(__AVX512F__) && NN_BITS == 32
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)v);
#elif defined(__AVX512F__)
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << count) - 1), (__m512d)v);
#else
    if (count >= VL) {
        vstore(p, v);
        return;
    }
#if defined(__AVX2__) && NN_BITS == 32
    __m128 part = _mm256_castps256_ps128((__m256)v);
    if (count & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps((__m256)v, 1);
        p += 4;
    }
    if (count & 2) {
        _mm_storel_pi((__m64 *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (count & 1) _mm_store_ss(p, part);
#elif defined(__AVX2__)
    __m128d part = _mm256_castpd256_pd128((__m256d)v);
    if (count & 2) {
        _mm_storeu_pd(p, part);
        part = _mm256_extractf128_pd((__m256d)v, 1);
        p += 2;
    }
    if (count & 1) _mm_store_sd(p, part);
#else
    for (int i = 0; i < VL; i++)
        if (i < count) p[i] = v[i];
#endif
#endif
}

/* `count` elements, 1 to VL; where the compiler knows that it is VL, a plain load or store. */
NN_INLINE vec load_lanes(const REAL *p, int64_t count) { return count == VL ? vload(p) : vload_some(p, count); }
NN_INLINE void store_lanes(REAL *p, vec v, int64_t count) {
    if (count == VL) vstore(p, v);
    else vstore_some(p, v, count);
}

/* a * b + c, rounded once where the instruction set can. */
NN_INLINE vec vfma(vec a, vec b, vec c) {
#if NN_HAVE_FMA
    vec r;
    for (int i = 0; i < VL; i++)
#if NN_BITS == 32
        r[i] = __builtin_fmaf(a[i], b[i], c[i]);
#else
        r[i] = __builtin_fma(a[i], b[i], c[i]);
#endif
    return r;
#else
    return a * b + c;
#endif
}

/* The scalar twin of vfma: same rounding. */
NN_INLINE REAL sfma(REAL a, REAL b, REAL c) {
#if NN_HAVE_FMA && NN_BITS == 32
    return __builtin_fmaf(a, b, c);
#elif NN_HAVE_FMA
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

/* Correctly rounded, like division: the instruction, never its estimate. */
NN_INLINE vec vsqrt(vec v) {
    vec r;
    for (int i = 0; i < VL; i++)
#if NN_BITS == 32
        r[i] = __builtin_sqrtf(v[i]);
#else
        r[i] = __builtin_sqrt(v[i]);
#endif
    return r;
}

/*
 * a / b for b that is normal, infinite or NaN and not negative, where a unit in the last place does not matter and the
 * divider is busy: with AVX-512 by an estimate of 1 / b and one correction. With b infinite that is NaN, which the
 * minimum replaces; of a subnormal b the estimate would be infinite.
 */
NN_INLINE vec vquotient(vec a, vec b) {
#if defined(__AVX512F__) && NN_BITS == 32
    const vec inverse = (vec)_mm512_rcp14_ps((__m512)b), quotient = a * inverse;
    const vec error = (vec)_mm512_min_ps((__m512)vfma(-b, quotient, a), _mm512_set1_ps(0x1p127f));
    return vfma(error, inverse, quotient);
#else
    return a / b;
#endif
}

/* Lane by lane: mask ? a : b; the mask is a comparison's result (all bits or none). */
NN_INLINE vec vselect(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }

/* Lane by lane: all bits set where a or b is NaN. */
NN_INLINE ivec vunordered(vec a, vec b) {
#if defined(__AVX512F__) && NN_BITS == 32
    return (ivec)_mm512_movm_epi32(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_UNORD_Q));
#elif defined(__AVX512F__)
    return (ivec)_mm512_movm_epi64(_mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_UNORD_Q));
#elif defined(__AVX2__) && NN_BITS == 32
    return (ivec)_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_UNORD_Q);
#elif defined(__AVX2__)
    return (ivec)_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_UNORD_Q);
#elif defined(__SSE2__) && NN_BITS == 32
    return (ivec)_mm_cmpunord_ps((__m128)a, (__m128)b);
#elif defined(__SSE2__)
    return (ivec)_mm_cmpunord_pd((__m128d)a, (__m128d)b);
#else
    return (a != a) | (b != b);
#endif
}

/* Whether any bit of any lane is set. */
NN_INLINE bool vany(ivec mask) {
    INT lane[VL], any = 0;
    memcpy(lane, &mask, sizeof lane);
    for (int i = 0; i < VL; i++) any |= lane[i];
    return any != 0;
}

/*
 * Lane by lane a > b ? a : b, and a < b ? a : b: b where they are equal or either is NaN. One instruction where
 * there is one.
 */
NN_INLINE vec vmax(vec a, vec b) {
#if defined(__AVX512F__) && NN_BITS == 32
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX512F__)
    return (vec)_mm512_max_pd((__m512d)a, (__m512d)b);
#elif defined(__AVX2__) && NN_BITS == 32
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__AVX2__)
    return (vec)_mm256_max_pd((__m256d)a, (__m256d)b);
#elif defined(__SSE2__) && NN_BITS == 32
    return (vec)_mm_max_ps((__m128)a, (__m128)b);
#elif defined(__SSE2__)
    return (vec)_mm_max_pd((__m128d)a, (__m128d)b);
#else
    return vselect(a > b, a, b);
#endif
}

NN_INLINE vec vmin(vec a, vec b) {
#if defined(__AVX512F__) && NN_BITS == 32
    return (vec)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX512F__)
    return (vec)_mm512_min_pd((__m512d)a, (__m512d)b);
#elif defined(__AVX2__) && NN_BITS == 32
    return (vec)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__AVX2__)
    return (vec)_mm256_min_pd((__m256d)a, (__m256d)b);
#elif defined(__SSE2__) && NN_BITS == 32
    return (vec)_mm_min_ps((__m128)a, (__m128)b);
#elif defined(__SSE2__)
    return (vec)_mm_min_pd((__m128d)a, (__m128d)b);
#else
    return vselect(a < b, a, b);
#endif
}

/* Sum of the lanes in a fixed order: halves folded onto each other. By shuffles where a network spends its time. */
NN_INLINE REAL vsum(vec v) {
#if VEC_BYTES == 32 && NN_BITS == 32
    const __m128 half = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
    const __m128 two = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
#else
    REAL lane[VL];
    memcpy(lane, &v, sizeof lane);
    for (int width = VL / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lane[i] += lane[i + width];
    return lane[0];
#endif
}

#endif
