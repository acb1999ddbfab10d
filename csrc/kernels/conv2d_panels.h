/*
 * conv2d_panels.h: what all convolution kernels agree on: how columns are cut into panels, and which elements
 * along an axis meet the same taps.
 */
#ifndef NN_KERNELS_CONV2D_PANELS_H
#define NN_KERNELS_CONV2D_PANELS_H

#include "conv2d.h"

/*
 * Columns of a group in panels of 2 vectors, one of 3 where their number is odd, of 1 where it is 1. The last
 * vector may be partly filled: the lanes beyond are computed and never stored.
 */
enum { CONV_MAX_VECS = 3 };

static inline int64_t conv_vecs(int64_t columns) { return (columns + VL - 1) / VL; }

static inline int conv_panel_vecs(int64_t columns_left) {
    const int64_t vecs = conv_vecs(columns_left);
    return vecs == 1 || vecs == 3 ? (int)vecs : 2;
}

/* Columns of a panel by pairs of elements: forward, where they are lanes, and backward_data, where images are. */
enum { PAIR_VECS = 2, PAIR_COLUMNS = PAIR_VECS * VL, PAIR_DATA_COLUMNS = 6 };

/* Most rows of a register tile: 12 accumulators. Fewer than half of it cannot hide the latency of an FMA. */
static inline int64_t conv_tile_rows(int vecs) { return 12 / vecs; }

/*
 * A last panel of a vector and a half of columns: two rows of a tile share the vector of the other half, of which each
 * has one half, so that no lane is empty. A tile has as many accumulators as others.
 */
enum { CONV_HALF_ROWS = 8 };
#if VEC_BYTES == 32 && NN_BITS == 32 && !defined(NN_SMALL)
#define CONV_HAS_HALVES 1

static inline bool conv_is_half(int64_t columns_left) { return columns_left > VL && columns_left <= VL / 2 * 3; }

/* The half at p in both halves. */
NN_INLINE vec vload_twice(const REAL *p) { return (vec)_mm256_broadcast_ps((const __m128 *)p); }

/* The lower half of a, the upper half of b; and each of them where it belongs. */
NN_INLINE vec vhalves(vec a, vec b) { return (vec)_mm256_blend_ps((__m256)a, (__m256)b, 0xf0); }
NN_INLINE void vstore_halves(REAL *lower, REAL *upper, vec v) {
    _mm_storeu_ps(lower, _mm256_castps256_ps128((__m256)v));
    _mm_storeu_ps(upper, _mm256_extractf128_ps((__m256)v, 1));
}
#else
#define CONV_HAS_HALVES 0
#endif

/* The weight's gradient by pairs: of three rows a tile takes two panels at once, to have as many sums as others. */
enum { CONV_WIDE_ROWS = 3 };

/* A run of elements begin to end along an axis whose taps inside the source are tap_begin to tap_end. */
typedef struct conv_run {
    int64_t begin, end, tap_begin, tap_end;
} conv_run;

static inline void conv_taps(const nn_conv_axis *a, int64_t i, int64_t *tap_begin, int64_t *tap_end) {
    const int64_t at = a->origin + i * a->step;
    const int64_t begin = at >= 0 ? 0 : (-at + a->tap_step - 1) / a->tap_step;
    const int64_t end = at >= a->source ? 0 : (a->source - 1 - at) / a->tap_step + 1;
    *tap_begin = begin;
    *tap_end = nn_min(end, a->taps);
    if (*tap_end <= begin) *tap_begin = *tap_end = 0;
}

/* The run that starts at `begin`, cut at `limit`. */
static inline conv_run conv_next_run(const nn_conv_axis *a, int64_t begin, int64_t limit) {
    conv_run run = {.begin = begin, .end = begin + 1};
    if (a->taps == 0) {
        run.end = limit;
        return run;
    }
    conv_taps(a, begin, &run.tap_begin, &run.tap_end);
    if (run.tap_begin == 0 && run.tap_end == a->taps) {
        /* All taps inside: until the last of them leaves the source. */
        run.end = nn_min(limit, (a->source - 1 - (a->taps - 1) * a->tap_step - a->origin) / a->step + 1);
        return run;
    }
    for (; run.end < limit; run.end++) {
        int64_t tap_begin, tap_end;
        conv_taps(a, run.end, &tap_begin, &tap_end);
        if (tap_begin != run.tap_begin || tap_end != run.tap_end) break;
    }
    return run;
}

/* The elements whose tap t is inside the source: begin to end. */
static inline void conv_elements(const nn_conv_axis *a, int64_t tap, int64_t *begin, int64_t *end) {
    const int64_t at = a->origin + tap * a->tap_step;
    *begin = at >= 0 ? 0 : (-at + a->step - 1) / a->step;
    *end = at >= a->source ? 0 : nn_min(a->count, (a->source - 1 - at) / a->step + 1);
}

/* `count` in tiles of at most `most`, as equal as can be: `tiles` of them, the first `longer` one longer. */
typedef struct conv_cut {
    int64_t tiles, rows, longer;
} conv_cut;

static inline conv_cut conv_cut_evenly(int64_t count, int64_t most) {
    const int64_t tiles = (count + most - 1) / most;
    if (tiles == 0) return (conv_cut){0, 0, 0};
    return (conv_cut){tiles, count / tiles, count % tiles};
}

/* The size of equal steps over `count`, at most `most`. */
static inline int64_t conv_even_step(int64_t count, int64_t most) {
    const int64_t steps = (count + most - 1) / most;
    return (count + steps - 1) / steps;
}

/* The table of all tiles: entry [vecs][rows] is body(tile, rows, vecs) with both constant. */
enum { CONV_MAX_ROWS = 12 };
#define CONV_TILE(body, tile, vecs, rows) \
    static void body##_##vecs##x##rows(const tile *t) { body(t, rows, vecs); }
#define CONV_TILES(body, tile)                                                                             \
    CONV_TILE(body, tile, 1, 1) CONV_TILE(body, tile, 1, 2) CONV_TILE(body, tile, 1, 3)                    \
    CONV_TILE(body, tile, 1, 4) CONV_TILE(body, tile, 1, 5) CONV_TILE(body, tile, 1, 6)                    \
    CONV_TILE(body, tile, 1, 7) CONV_TILE(body, tile, 1, 8) CONV_TILE(body, tile, 1, 9)                    \
    CONV_TILE(body, tile, 1, 10) CONV_TILE(body, tile, 1, 11) CONV_TILE(body, tile, 1, 12)                 \
    CONV_TILE(body, tile, 2, 1) CONV_TILE(body, tile, 2, 2) CONV_TILE(body, tile, 2, 3)                    \
    CONV_TILE(body, tile, 2, 4) CONV_TILE(body, tile, 2, 5) CONV_TILE(body, tile, 2, 6)                    \
    CONV_TILE(body, tile, 3, 1) CONV_TILE(body, tile, 3, 2) CONV_TILE(body, tile, 3, 3)                    \
    CONV_TILE(body, tile, 3, 4)                                                                            \
    static tile##_fn *const body##_table[CONV_MAX_VECS + 1][CONV_MAX_ROWS + 1] = {                         \
        [1] = {0, body##_1x1, body##_1x2, body##_1x3, body##_1x4, body##_1x5, body##_1x6, body##_1x7,      \
               body##_1x8, body##_1x9, body##_1x10, body##_1x11, body##_1x12},                             \
        [2] = {0, body##_2x1, body##_2x2, body##_2x3, body##_2x4, body##_2x5, body##_2x6},                 \
        [3] = {0, body##_3x1, body##_3x2, body##_3x3, body##_3x4},                                         \
    };

#endif
