/*
 * gemm: the tiles of gemm.h, compiled once for all products of an instruction set and dtype.
 */
#include "template.h"

#include "gemm.h"

/* Pointers to rows 0, 4, 8 of a: from these and one distance the processor's addressing reaches all rows. */
enum { GROUP = 4, GROUPS = (GEMM_ROWS + GROUP - 1) / GROUP };

typedef enum finish { WRITTEN, ADDED, SCALED } finish;

/*
 * c = acc, c += acc or c += scale acc. The last is the same as the second where scale is 1, but adders work beside the
 * units that multiply. A row's vectors may share columns, so both are read before the first is written.
 */
NN_INLINE void finish_tile(const gemm_panel *t, REAL *c, vec acc[GEMM_ROWS][GEMM_VECS], const int64_t column[GEMM_VECS],
                           int rows, int vecs, int64_t some, finish how) {
    const vec scale = vset(how == SCALED ? t->scale : 1);
    NN_UNROLL(16) for (int i = 0; i < rows; i++) {
        NN_UNROLL(8) for (int v = 0; v < vecs; v++) {
            if (how == ADDED) acc[i][v] += load_lanes(c + column[v], some);
            if (how == SCALED) acc[i][v] = vfma(scale, acc[i][v], load_lanes(c + column[v], some));
        }
        NN_UNROLL(8) for (int v = 0; v < vecs; v++) store_lanes(c + column[v], acc[i][v], some);
        c = pkept(c + t->ldc);
    }
}

/*
 * A tile of `vecs` vectors, of which one alone is masked. What is read of b is left in `copy` (k, GEMM_COLS) if wanted:
 * the stores go where no other instruction waits, and rows of b may come from far away, too far apart for the processor
 * to guess them.
 */
NN_INLINE void run_tile(const gemm_panel *t, int64_t from, int rows, int vecs, bool copying) {
    const int64_t ldc = t->ldc, ldb = t->ldb, row = t->row, step = t->step, some = vecs > 1 ? VL : t->cols;
    const int64_t column[GEMM_VECS] = {0, t->cols - VL}; /* of each vector's first */
    const bool adds = NN_BITS == 32 && vecs > 1 && !copying; /* the form is worth its room */
    vec acc[GEMM_ROWS][GEMM_VECS];
    NN_UNROLL(8) for (int v = 0; v < vecs; v++) {
        const vec start = t->start ? vload(t->start + column[v]) : vset(0);
        NN_UNROLL(16) for (int i = 0; i < rows; i++) acc[i][v] = start;
    }
    REAL *const c = t->c + from * ldc;
    /* Its own lines arrive while the tile computes. */
    if (t->accumulate)
        for (int i = 0; i < rows; i++) {
            __builtin_prefetch(c + i * ldc, 1);
            __builtin_prefetch(c + i * ldc + t->cols - 1, 1);
        }
    const REAL *a[GROUPS], *b = t->b;
    NN_UNROLL(4) for (int g = 0; g * GROUP < rows; g++) a[g] = t->a + (from + g * GROUP) * row;
    REAL *copy = t->copy;
    for (int64_t p = t->k; p > 0; p--) {
        vec bv[GEMM_VECS];
        if (copying) { /* braces for clang: an unrolled loop behind looks like its body */
            __builtin_prefetch(b + 16 * ldb);
        }
        NN_UNROLL(8) for (int v = 0; v < vecs; v++) {
            bv[v] = load_lanes(b + column[v], some);
            if (copying) vstore(copy + v * VL, bv[v]);
        }
        NN_UNROLL(16) for (int i = 0; i < rows; i++) {
            const vec av = vset(a[i / GROUP][i % GROUP * row]);
            NN_UNROLL(8) for (int v = 0; v < vecs; v++) acc[i][v] = vfma(av, bv[v], acc[i][v]);
        }
        NN_UNROLL(4) for (int g = 0; g * GROUP < rows; g++) a[g] += step;
        b += ldb;
        if (copying) copy += GEMM_COLS;
    }
    if (!t->accumulate) finish_tile(t, c, acc, column, rows, vecs, some, WRITTEN);
    else if (adds && t->scale == 1) finish_tile(t, c, acc, column, rows, vecs, some, ADDED);
    else finish_tile(t, c, acc, column, rows, vecs, some, SCALED);
}

#define WHOLE(height) case height: run_tile(t, from, height, GEMM_VECS, false); break;
#if VEC_BYTES == 64
/*
 * A tile of up to half a vector, of half vectors: a processor of 256 bits does two of them while it does a whole one, and
 * one of 512 has as few of its lanes idle.
 */
enum { HALF = VL / 2 };
typedef REAL half __attribute__((vector_size(32)));

NN_INLINE half half_load(const REAL *p, __mmask8 mask) {
#if NN_BITS == 32
    return (half)_mm256_maskz_loadu_ps(mask, p);
#else
    return (half)_mm256_maskz_loadu_pd(mask, p);
#endif
}

NN_INLINE void half_store(REAL *p, half v, __mmask8 mask) {
#if NN_BITS == 32
    _mm256_mask_storeu_ps(p, mask, (__m256)v);
#else
    _mm256_mask_storeu_pd(p, mask, (__m256d)v);
#endif
}

NN_INLINE half half_fma(half a, half b, half c) {
#if NN_BITS == 32
    return (half)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return (half)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#endif
}

NN_INLINE void run_half(const gemm_panel *t, int64_t from, int rows) {
    const int64_t row = t->row, ldb = t->ldb, step = t->step;
    const half scale = t->scale - (half){0};
    for (int64_t j = 0; j < t->cols; j += HALF) {
        const __mmask8 mask = (__mmask8)((1u << nn_min(t->cols - j, HALF)) - 1);
        half acc[GEMM_ROWS];
        const half start = t->start ? half_load(t->start + j, mask) : (half){0};
        NN_UNROLL(16) for (int i = 0; i < rows; i++) acc[i] = start;
        const REAL *a[GROUPS], *b = t->b + j;
        NN_UNROLL(4) for (int g = 0; g * GROUP < rows; g++) a[g] = t->a + (from + g * GROUP) * row;
        for (int64_t p = t->k; p > 0; p--, b += ldb) {
            const half bv = half_load(b, mask);
            NN_UNROLL(16) for (int i = 0; i < rows; i++)
                acc[i] = half_fma(a[i / GROUP][i % GROUP * row] - (half){0}, bv, acc[i]);
            NN_UNROLL(4) for (int g = 0; g * GROUP < rows; g++) a[g] += step;
        }
        REAL *c = t->c + from * t->ldc + j;
        NN_UNROLL(16) for (int i = 0; i < rows; i++) {
            if (t->accumulate) acc[i] = half_fma(scale, acc[i], half_load(c, mask));
            half_store(c, acc[i], mask);
            c = pkept(c + t->ldc);
        }
    }
}

/*
 * Each height's tile is ten times as long as its inner loop, and all of them would be a fortieth of the library: the
 * rarer heights are two tiles or three. They share t and are told where they begin: to copy what was written just now,
 * field by field, takes longer than a small tile.
 */
typedef void run_rows(const gemm_panel *t, int64_t from, int64_t rows);
static NN_NOINLINE void run_parts(run_rows *run, const gemm_panel *t, int64_t from, int64_t rows) {
    const int64_t upper = rows > 8 ? 8 : rows > 6 ? 6 : rows > 4 ? 4 : 2;
    run(t, from, upper);
    run(t, from + upper, rows - upper);
}

static NN_NOINLINE void run_whole_tile(const gemm_panel *t, int64_t from, int64_t rows) {
    switch (rows) {
#if NN_BITS == 32
    WHOLE(10) WHOLE(3)
#endif
    WHOLE(12) WHOLE(8) WHOLE(7) WHOLE(6) WHOLE(4) WHOLE(2) WHOLE(1)
    default: run_parts(run_whole_tile, t, from, rows); break;
    }
}

#define HALF_WIDE(height) case height: run_half(t, from, height); break;
static NN_NOINLINE void run_half_tile(const gemm_panel *t, int64_t from, int64_t rows) {
    switch (rows) {
    HALF_WIDE(12) HALF_WIDE(7) HALF_WIDE(6) HALF_WIDE(4) HALF_WIDE(2) HALF_WIDE(1)
    default: run_parts(run_half_tile, t, from, rows); break;
    }
}

#if NN_BITS == 32
#define VECTOR_WIDE(height) case height: run_tile(t, from, height, 1, false); break;
static NN_NOINLINE void run_vector_tile(const gemm_panel *t, int64_t from, int64_t rows) {
    switch (rows) {
    VECTOR_WIDE(12) VECTOR_WIDE(8) VECTOR_WIDE(6) VECTOR_WIDE(4) VECTOR_WIDE(2) VECTOR_WIDE(1)
    default: run_parts(run_vector_tile, t, from, rows); break;
    }
}

static void run_narrow_tile(const gemm_panel *t, int64_t from, int64_t rows) {
    if (t->cols > HALF) run_vector_tile(t, from, rows);
    else run_half_tile(t, from, rows);
}
#else
#define run_narrow_tile run_half_tile
#endif
#else
static NN_NOINLINE void run_whole_tile(const gemm_panel *t, int64_t from, int64_t rows) {
    switch (rows) {
    WHOLE(6) WHOLE(5) WHOLE(4) WHOLE(3) WHOLE(2)
    default: run_tile(t, from, 1, GEMM_VECS, false); break;
    }
}

/* A tile of up to a vector: computed whole beside c, of which only its columns are read and written. */
static NN_NOINLINE void run_narrow_tile(const gemm_panel *t, int64_t from, int64_t rows) {
    REAL whole[GEMM_ROWS * GEMM_COLS];
    const vec scale = vset(t->scale);
    gemm_panel inner = *t;
    inner.c = whole;
    inner.ldc = inner.cols = GEMM_COLS;
    inner.accumulate = false;
    run_whole_tile(&inner, from, rows);
    for (int64_t i = 0; i < rows; i++) {
        REAL *c = t->c + i * t->ldc;
        const vec sum = vload(whole + i * GEMM_COLS);
        vstore_some(c, t->accumulate ? vfma(scale, sum, vload_some(c, t->cols)) : sum, t->cols);
    }
}
#endif

enum { LOW_ROWS = 6, PAGE = 4096 / sizeof(REAL) };

/* Of LOW_ROWS or GEMM_ROWS. */
static NN_NOINLINE void run_copying_tile(const gemm_panel *t, int64_t rows) {
    if (rows == LOW_ROWS) run_tile(t, 0, LOW_ROWS, GEMM_VECS, true);
    else run_tile(t, 0, GEMM_ROWS, GEMM_VECS, true);
}

void gemm_run_panel(gemm_panel *t, int64_t m) {
    const bool whole = t->cols > VL;
    /* Rows of a that lie pages apart share one set of the first-level cache, which holds eight lines. */
    const int64_t most = t->next || t->row % PAGE ? GEMM_ROWS : LOW_ROWS;
    for (int64_t rows; m > 0; m -= rows) {
        rows = gemm_next_rows(m, most);
        if (t->copy && rows == most) {
            run_copying_tile(t, rows);
            t->b = t->copy;
            t->ldb = GEMM_COLS;
            t->copy = NULL;
        } else if (whole) {
            run_whole_tile(t, 0, rows);
        } else {
            run_narrow_tile(t, 0, rows);
        }
        t->c += rows * t->ldc;
        t->a += t->next ? t->next : rows * t->row;
    }
}
