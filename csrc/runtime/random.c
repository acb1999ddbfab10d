/*
 * random.c: the random stream. Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", 2011): four 32-bit words are a function of a 64-bit key and a 128-bit counter, so that element i of a
 * stream depends on the stream and on i alone, whoever computes it and when.
 *
 * The counter's low half is the number of the block, its high half the nonce. Key and nonce come from (seed, name,
 * call): the seed and a hash of the name make the key, the hash's rest and the call the nonce.
 */
#include <math.h>

#include "random.h"

/*
 * `count` blocks side by side, counters in, words out: the products of one wait for each other, those of several
 * fill the gaps.
 */
enum { LANES = 16 };
typedef struct lanes {
    uint32_t word[4][LANES];
} lanes;

static inline void philox(lanes *blocks, int count, const uint32_t key[2]) {
    uint32_t *c0 = blocks->word[0], *c1 = blocks->word[1], *c2 = blocks->word[2], *c3 = blocks->word[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < count; i++) {
            const uint64_t p0 = (uint64_t)c0[i] * 0xD2511F53u, p1 = (uint64_t)c2[i] * 0xCD9E8D57u;
            const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c0[i] = n0, c1[i] = (uint32_t)p1, c2[i] = n2, c3[i] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
}

void nn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    lanes one;
    for (int w = 0; w < 4; w++) one.word[w][0] = counter[w];
    philox(&one, 1, key);
    for (int w = 0; w < 4; w++) out[w] = one.word[w][0];
}

/* ---- streams ----------------------------------------------------------------------------------------- */

/* Steele, Lea, Flood (2014): every bit of the result depends on every bit of x. */
static uint64_t mix(uint64_t x) {
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

nn_stream nn_stream_make(uint64_t seed, const char *name, uint64_t call) {
    uint64_t hash = UINT64_C(0xCBF29CE484222325); /* FNV-1a */
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001B3);
    const uint64_t key = mix(mix(seed) ^ hash);
    const nn_stream any = {.key = {(uint32_t)key, (uint32_t)(key >> 32)}, .hash = hash};
    return nn_stream_of_call(&any, call);
}

nn_stream nn_stream_of_call(const nn_stream *stream, uint64_t call) {
    const uint64_t nonce = mix(mix(stream->hash) ^ call);
    nn_stream other = *stream;
    other.nonce[0] = (uint32_t)nonce, other.nonce[1] = (uint32_t)(nonce >> 32);
    return other;
}

void nn_stream_bits(const nn_stream *stream, uint64_t block, uint32_t out[4]) {
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), stream->nonce[0], stream->nonce[1]};
    nn_philox(counter, stream->key, out);
}

enum { CHUNK = 2 * LANES }; /* elements of LANES blocks: each is half of one, 64 bits */

/* Elements first, first + 1, ... (first is even). */
static void elements(const nn_stream *stream, int64_t first, uint64_t out[CHUNK]) {
    lanes blocks;
    for (int i = 0; i < LANES; i++) {
        const uint64_t number = (uint64_t)first / 2 + (uint64_t)i;
        blocks.word[0][i] = (uint32_t)number;
        blocks.word[1][i] = (uint32_t)(number >> 32);
        blocks.word[2][i] = stream->nonce[0];
        blocks.word[3][i] = stream->nonce[1];
    }
    philox(&blocks, LANES, stream->key);
    for (int i = 0; i < LANES; i++)
        for (int half = 0; half < 2; half++)
            out[2 * i + half] = (uint64_t)blocks.word[2 * half + 1][i] << 32 | blocks.word[2 * half][i];
}

/* The same as numbers in [0, 1), 53 bits. */
static void units(const nn_stream *stream, int64_t first, double out[CHUNK]) {
    uint64_t bits[CHUNK];
    elements(stream, first, bits);
    for (int i = 0; i < CHUNK; i++) out[i] = (double)(bits[i] >> 11) * 0x1p-53;
}

/* ---- distributions ----------------------------------------------------------------------------------- */

/*
 * low + (high - low) u in [low, high): drawn in double for both dtypes, so that a float32 model begins where the
 * float64 one does; a sum that rounds up to high becomes the number below it.
 */
void nn_stream_uniform(const nn_stream *stream, nn_dtype dtype, void *out, int64_t count, double low, double high) {
    double u[CHUNK];
    const float narrow_low = (float)low, narrow_high = (float)high;
    const float narrow_top = narrow_high > narrow_low ? nextafterf(narrow_high, narrow_low) : narrow_high;
    const double top = high > low ? nextafter(high, low) : high;
    for (int64_t first = 0; first < count; first += CHUNK) {
        const int64_t some = count - first < CHUNK ? count - first : CHUNK;
        units(stream, first, u);
        for (int64_t i = 0; i < some; i++) u[i] = low + (high - low) * u[i];
        if (dtype == NN_FLOAT32) {
            float *to = (float *)out + first;
            for (int64_t i = 0; i < some; i++) to[i] = (float)u[i] >= narrow_high ? narrow_top : (float)u[i];
        } else {
            double *to = (double *)out + first;
            for (int64_t i = 0; i < some; i++) to[i] = u[i] >= high ? top : u[i];
        }
    }
}

/* Box and Muller (1958); element i takes block i for its two uniforms, and only the cosine. */
void nn_stream_normal(const nn_stream *stream, nn_dtype dtype, void *out, int64_t count, double mean, double std) {
    const double two_pi = 6.283185307179586;
    double u[CHUNK];
    for (int64_t i = 0; i < count; i++) {
        const double *pair = u + 2 * (i % LANES);
        if (i % LANES == 0) units(stream, 2 * i, u);
        const double radius = sqrt(-2 * log(1 - pair[0])); /* 1 - u is in (0, 1]: its logarithm is finite */
        const double value = mean + std * radius * cos(two_pi * pair[1]);
        if (dtype == NN_FLOAT32) ((float *)out)[i] = (float)value;
        else ((double *)out)[i] = value;
    }
}

/* The elements of a stream one after the other, drawn a chunk at a time. */
typedef struct draws {
    const nn_stream *stream;
    int64_t done;
    uint64_t chunk[CHUNK];
} draws;

static uint64_t draw(draws *d) {
    if (d->done % CHUNK == 0) elements(d->stream, d->done, d->chunk);
    return d->chunk[d->done++ % CHUNK];
}

/* A whole number below `bound`, every one as likely (Lemire, 2019): the division is rarely needed. */
static int64_t below(draws *d, uint64_t bound) {
    for (;;) {
        const unsigned __int128 product = (unsigned __int128)draw(d) * bound;
        const uint64_t low = (uint64_t)product;
        if (low >= bound || low >= -bound % bound) return (int64_t)(product >> 64);
    }
}

/* Fisher and Yates. */
void nn_stream_permutation(const nn_stream *stream, int64_t *out, int64_t count) {
    for (int64_t i = 0; i < count; i++) out[i] = i;
    draws d = {.stream = stream};
    for (int64_t i = count - 1; i > 0; i--) {
        const int64_t j = below(&d, (uint64_t)i + 1), kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
}
