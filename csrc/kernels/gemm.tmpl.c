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
NN_INLINE void finish_tile(const gemm_panel *t, vec acc[GEMM_ROWS][GEMM_VECS], const int64_t column[GEMM_VECS],
                           int rows, int vecs, int64_t some, finish how) {
    const vec scale = vset(how == SCALED ? t->scale : 1);
    REAL *c = t->c;
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
NN_INLINE void run_tile(const gemm_panel *t, int rows, int vecs, bool copying) {
    const int64_t ldc = t->ldc, ldb = t->ldb, row = t->row, step = t->step, some = vecs > 1 ? VL : t->cols;
    const int64_t column[GEMM_VECS] = {0, t->cols - VL}; /* of each vector's first */
    vec acc[GEMM_ROWS][GEMM_VECS];
    NN_UNROLL(8) for (int v = 0; v < vecs; v++) {
        const vec start = t->start ? vload(t->start + column[v]) : vset(0);
        NN_UNROLL(16) for (int i = 0; i < rows; i++) acc[i][v] = start;
    }
    /* Its own lines arrive while the tile computes. */
    if (t->accumulate)
        for (int i = 0; i < rows; i++) {
            __builtin_prefetch(t->c + i * ldc, 1);
            __builtin_prefetch(t->c + i * ldc + t->cols - 1, 1);
        }
    const REAL *a[GROUPS], *b = t->b;
    NN_UNROLL(4) for (int g = 0; g * GROUP < rows; g++) a[g] = t->a + g * GROUP * row;
    REAL *copy = t->copy;
    for (int64_t p = t->k; p > 0; p--) {
        vec bv[GEMM_VECS];
        if (copying) {
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
    if (!t->accumulate) finish_tile(t, acc, column, rows, vecs, some, WRITTEN);
    else if (vecs > 1 && t->scale == 1) finish_tile(t, acc, column, rows, vecs, some, ADDED);
    else finish_tile(t, acc, column, rows, vecs, some, SCALED);
}

/* One compiled tile for each height. */
#define TILE(height) case height: run_tile(t, height, GEMM_VECS, false); break;
static NN_NOINLINE void run_whole_tile(const gemm_panel *t, int64_t rows) {
    switch (rows) {
#if VEC_BYTES == 64
    TILE(12) TILE(11) TILE(10) TILE(9) TILE(8) TILE(7)
#endif
    TILE(6) TILE(5) TILE(4) TILE(3) TILE(2)
    default: run_tile(t, 1, GEMM_VECS, false); break;
    }
}
#undef TILE

#if VEC_BYTES == 64
#define TILE(height) case height: run_tile(t, height, 1, false); break;
static NN_NOINLINE void run_narrow_tile(const gemm_panel *t, int64_t rows) {
    switch (rows) {
    TILE(12) TILE(11) TILE(10) TILE(9) TILE(8) TILE(7) TILE(6) TILE(5) TILE(4) TILE(3) TILE(2)
    default: run_tile(t, 1, 1, false); break;
    }
}
#undef TILE
#else
/* A tile of up to a vector: computed whole beside c, of which only its columns are read and written. */
static NN_NOINLINE void run_narrow_tile(const gemm_panel *t, int64_t rows) {
    REAL whole[GEMM_ROWS * GEMM_COLS];
    const vec scale = vset(t->scale);
    gemm_panel inner = *t;
    inner.c = whole;
    inner.ldc = inner.cols = GEMM_COLS;
    inner.accumulate = false;
    run_whole_tile(&inner, rows);
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
    if (rows == LOW_ROWS) run_tile(t, LOW_ROWS, GEMM_VECS, true);
    else run_tile(t, GEMM_ROWS, GEMM_VECS, true);
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
            run_whole_tile(t, rows);
        } else {
            run_narrow_tile(t, rows);
        }
        t->c += rows * t->ldc;
        t->a += t->next ? t->next : rows * t->row;
    }
}
