/*
 * dropout: y = x scale where an element is kept, else 0, whatever x is. begin and end count elements; of
 * dropout_channels, samples.
 *
 * Which are kept is a function of (key, nonce, element) alone. 64 elements take the eight blocks 8 w ... 8 w + 7 of the
 * stream (Philox4x32-10, as in runtime/random.c), 16 bits each: first the low two words of all blocks, then the high
 * two. Sixteen bits decide unless they equal the threshold's; then 47 more of another stream do.
 */
#include "template.h"

#include "dropout.h"

/* Blocks side by side, each word in a 64-bit lane: what is above its 32 bits is never read. */
typedef uint64_t wide __attribute__((vector_size(VEC_BYTES)));
enum { WL = VEC_BYTES / 8, BLOCKS = 8 };

/* The product of the low halves. */
NN_INLINE wide times(wide a, uint32_t b) {
    const wide other = (uint64_t)b - (wide){0};
#if defined(__AVX512F__)
    return (wide)_mm512_mul_epu32((__m512i)a, (__m512i)other);
#elif defined(__AVX2__)
    return (wide)_mm256_mul_epu32((__m256i)a, (__m256i)other);
#elif defined(__SSE2__)
    return (wide)_mm_mul_epu32((__m128i)a, (__m128i)other);
#else
    return (a & 0xFFFFFFFFu) * other;
#endif
}

/* What all blocks of a stream begin with, and the keys of the ten rounds, in every lane. */
typedef struct setup {
    wide keys[10][2], number, nonce[2];
} setup;

static setup setup_of(const uint32_t key[2], uint32_t nonce0, uint32_t nonce1) {
    setup s = {.nonce = {(uint64_t)nonce0 - (wide){0}, (uint64_t)nonce1 - (wide){0}}};
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        s.keys[round][0] = (uint64_t)k0 - (wide){0};
        s.keys[round][1] = (uint64_t)k1 - (wide){0};
    }
    for (int i = 0; i < WL; i++) s.number[i] = (uint64_t)i;
    return s;
}

/*
 * Blocks `first` ... of the stream, `vecs` times WL of them: low = words 0 and 1, high = words 2 and 3. All go through
 * a round together, since the rounds of one wait for each other.
 */
NN_INLINE void philox(uint64_t first, const setup *s, int vecs, wide *low, wide *high) {
    wide c0[BLOCKS / WL], c1[BLOCKS / WL], c2[BLOCKS / WL], c3[BLOCKS / WL];
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) {
        c0[v] = s->number + (first + (uint64_t)(v * WL));
        c1[v] = c0[v] >> 32, c2[v] = s->nonce[0], c3[v] = s->nonce[1];
    }
    NN_UNROLL(10) for (int round = 0; round < 10; round++)
        NN_UNROLL(4) for (int v = 0; v < vecs; v++) {
            const wide p0 = times(c0[v], 0xD2511F53u), p1 = times(c2[v], 0xCD9E8D57u);
            c0[v] = (p1 >> 32) ^ (c1[v] ^ s->keys[round][0]);
            c2[v] = (p0 >> 32) ^ (c3[v] ^ s->keys[round][1]);
            c1[v] = p1;
            c3[v] = p0;
        }
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) {
        low[v] = (c0[v] & 0xFFFFFFFFu) | c1[v] << 32;
        high[v] = (c2[v] & 0xFFFFFFFFu) | c3[v] << 32;
    }
}

/* The rest of a number whose first sixteen bits are the threshold's. */
static NN_NOINLINE bool kept_after_all(const nn_dropout_args *a, int64_t element) {
    wide low, high;
    const setup other = setup_of(a->key, a->nonce[0] ^ 0x9E3779B9u, a->nonce[1]);
    philox((uint64_t)element, &other, 1, &low, &high);
    return (low[0] & ((UINT64_C(1) << 47) - 1)) < (a->keep & ((UINT64_C(1) << 47) - 1));
}

/* The bits of elements 64 word ... 64 word + 63. */
NN_INLINE uint64_t bits_of(const nn_dropout_args *a, const setup *s, int64_t word) {
    wide low[BLOCKS / WL], high[BLOCKS / WL];
    philox((uint64_t)word * BLOCKS, s, BLOCKS / WL, low, high);
    const uint32_t threshold = (uint32_t)(a->keep >> 47); /* 0 to 65536 */
    if (threshold > 0xFFFF) return ~UINT64_C(0);
    uint64_t below = 0, equal = 0;
#if VEC_BYTES == 32
    const __m256i flip = _mm256_set1_epi16((short)0x8000), edge = _mm256_set1_epi16((short)(threshold ^ 0x8000));
    NN_UNROLL(2) for (int i = 0; i < 2; i++) {
        const wide *words = i ? high : low;
        const __m256i one = _mm256_xor_si256((__m256i)words[0], flip), two = _mm256_xor_si256((__m256i)words[1], flip);
        const __m256i less = _mm256_packs_epi16(_mm256_cmpgt_epi16(edge, one), _mm256_cmpgt_epi16(edge, two));
        const __m256i same = _mm256_packs_epi16(_mm256_cmpeq_epi16(edge, one), _mm256_cmpeq_epi16(edge, two));
        /* 0xD8: packing went by halves of the register. */
        below |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(less, 0xD8)) << (32 * i);
        if (!_mm256_testz_si256(same, same))
            equal |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(same, 0xD8)) << (32 * i);
    }
#else
    uint16_t halves[64];
    memcpy(halves, low, sizeof low);
    memcpy(halves + 32, high, sizeof high);
#if defined(__SSE2__)
    const __m128i flip = _mm_set1_epi16((short)0x8000), edge = _mm_set1_epi16((short)(threshold ^ 0x8000));
    for (int i = 0; i < 4; i++) {
        __m128i less[2], same[2];
        for (int k = 0; k < 2; k++) {
            const __m128i half = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(halves + 16 * i + 8 * k)), flip);
            less[k] = _mm_cmplt_epi16(half, edge);
            same[k] = _mm_cmpeq_epi16(half, edge);
        }
        below |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_packs_epi16(less[0], less[1])) << (16 * i);
        equal |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_packs_epi16(same[0], same[1])) << (16 * i);
    }
#else
    for (int i = 0; i < 64; i++) {
        below |= (uint64_t)(halves[i] < threshold) << i;
        equal |= (uint64_t)(halves[i] == threshold) << i;
    }
#endif
#endif
    for (; equal; equal &= equal - 1) {
        const int i = __builtin_ctzll(equal);
        if (kept_after_all(a, 64 * word + i)) below |= UINT64_C(1) << i;
    }
    return below;
}

/* x where the lane's bit, shifted to the sign, is set, else 0 */
NN_INLINE vec where(vec x, ivec bits, ivec shift) { return (vec)((ivec)x & ((bits << shift) >> (NN_BITS - 1))); }

/* How far lane 0's bit is from the sign, then lane 1's, ... */
NN_INLINE ivec shifts(void) { return ivset(NN_BITS - 1) - viota(); }

/* y = x scale where the bit is set, for the first `count` of 64 elements */
NN_INLINE void keep(REAL *y, const REAL *x, uint64_t bits, int64_t count, vec scale) {
    for (int64_t i = 0; i < count; i += VL, bits >>= VL) {
        const int64_t some = nn_min(VL, count - i);
        store_lanes(y + i, where(load_lanes(x + i, some) * scale, ivset((INT)bits), shifts()), some);
    }
}

/* For all 64: a word of bits goes to all lanes once. */
NN_INLINE void keep_word(REAL *y, const REAL *x, uint64_t bits, vec scale) {
    const ivec shift = shifts();
    for (int half = 0; half < 64; half += NN_BITS) {
        const ivec word = ivset((INT)(bits >> half));
        NN_UNROLL(16) for (int i = 0; i < NN_BITS; i += VL)
            vstore(y + half + i, where(vload(x + half + i) * scale, word, shift - ivset(i)));
    }
}

NN_INLINE void keep_all(const nn_dropout_args *a, int64_t begin, int64_t end, bool draw) {
    const vec scale = vset((REAL)a->scale);
    const setup s = setup_of(a->key, a->nonce[0], a->nonce[1]);
    for (int64_t i = begin; i < end; i += 64) {
        const uint64_t bits = draw ? bits_of(a, &s, i / 64) : a->bits[i / 64];
        if (draw && a->bits) a->bits[i / 64] = bits;
        if (!a->y) continue;
        if (end - i >= 64) keep_word((REAL *)a->y + i, (const REAL *)a->x + i, bits, scale);
        else keep((REAL *)a->y + i, (const REAL *)a->x + i, bits, end - i, scale);
    }
}

NN_DEFINE_KERNEL(dropout_forward) { keep_all(args, begin, end, true); }

NN_DEFINE_KERNEL(dropout_backward) { keep_all(args, begin, end, false); }

/* Up to 64 bits from bit `first`. */
NN_INLINE uint64_t bits_from(const uint64_t *bits, int64_t first, int64_t count) {
    const int shift = (int)(first % 64);
    uint64_t word = bits[first / 64] >> shift;
    if (shift > 0 && shift + count > 64) word |= bits[first / 64 + 1] << (64 - shift);
    return word;
}

NN_DEFINE_KERNEL(dropout_channels) {
    const nn_dropout_args *a = args;
    const vec scale = vset((REAL)a->scale);
    /* A lone channel's pixels lie side by side and share their bit. */
    const int64_t step = a->channels == 1 ? 64 : 1;
    for (int64_t n = begin; n < end; n++)
        for (int64_t c = 0; c < a->channels; c += 64) {
            const int64_t some = nn_min(64, a->channels - c);
            uint64_t bits = bits_from(a->bits, n * a->channels + c, some);
            if (step > 1) bits = bits & 1 ? ~UINT64_C(0) : 0;
            for (int64_t p = 0; p < a->pixels; p += step) {
                const int64_t at = (n * a->pixels + p) * a->channels + c;
                keep((REAL *)a->y + at, (const REAL *)a->x + at, bits, step > 1 ? nn_min(step, a->pixels - p) : some,
                     scale);
            }
        }
}
