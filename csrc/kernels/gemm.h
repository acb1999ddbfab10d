/*
 * gemm.h: the register tile all matrix products share.
 *
 *     c (rows, cols) = start + a (rows, k) b (k, cols)
 *
 * a is read by two run-time strides (row, step), so that one tile serves a plain, a transposed and a packed
 * matrix; rows of b are contiguous. A tile of GEMM_ROWS x GEMM_VECS vectors keeps 12 accumulators in registers,
 * enough to cover the latency of two FMA units, with 2 + 1 registers left for b and the broadcast of a.
 *
 * Every element is one chain of vfma over k in rising order, from its start value: its bits do not depend on
 * where in a tile it lies, so tiles may be cut and overlapped freely.
 */
#ifndef NN_KERNELS_GEMM_H
#define NN_KERNELS_GEMM_H

enum {
    GEMM_ROWS = 6,
    GEMM_VECS = 2,
    GEMM_COLS = GEMM_VECS * VL,
    GEMM_DEPTH = 256 /* rows of a packed panel of b: 16 KB in AVX2, half the first-level cache */
};

/*
 * acc[i][v] += sum over p < k of a[i * row + p * step] * b[p * ldb + v * VL ...]; `rows` is a constant. What is read
 * of b is left in `copy` (k, GEMM_COLS) unless that is NULL: the stores go where no other instruction waits. `far`:
 * rows of b come from beyond the second-level cache, too far apart for the processor to guess them.
 */
NN_INLINE void gemm_accumulate(vec acc[GEMM_ROWS][GEMM_VECS], int rows, const REAL *a, int64_t row, int64_t step,
                               const REAL *b, int64_t ldb, int64_t k, REAL *copy, bool far) {
    for (int64_t p = 0; p < k; p++) {
        vec bv[GEMM_VECS];
        if (far) __builtin_prefetch(b + (p + 16) * ldb);
        NN_UNROLL(8) for (int v = 0; v < GEMM_VECS; v++) {
            bv[v] = vload(b + p * ldb + v * VL);
            if (copy) vstore(copy + p * GEMM_COLS + v * VL, bv[v]);
        }
        NN_UNROLL(8) for (int i = 0; i < rows; i++) {
            const vec av = vset(a[i * row + p * step]);
            NN_UNROLL(8) for (int v = 0; v < GEMM_VECS; v++) acc[i][v] = vfma(av, bv[v], acc[i][v]);
        }
    }
}

/* One tile of c. b holds GEMM_COLS readable columns, even where fewer are stored. */
typedef struct gemm_tile {
    REAL *c;
    int64_t ldc;
    const REAL *a;
    int64_t row, step;
    const REAL *b;
    int64_t ldb;
    int64_t k;
    int64_t cols;      /* columns stored, 1 to GEMM_COLS */
    const REAL *start; /* GEMM_COLS start values of every row, NULL: zero */
    bool accumulate;   /* start from c itself */
    int64_t next;      /* from a of one tile to that of the tile below where a is packed; 0: rows * row */
    REAL *copy;        /* room for a panel of b, (k, GEMM_COLS), whose rows lie close: NULL where b is one already */
    bool far;          /* b is large and its rows lie far apart */
} gemm_tile;

/* A tile of whole vectors. */
NN_INLINE void gemm_tile_rows(const gemm_tile *t, int rows, REAL *copy, bool far) {
    REAL *const c = t->c;
    const int64_t ldc = t->ldc;
    vec acc[GEMM_ROWS][GEMM_VECS];
    if (t->accumulate) {
        NN_UNROLL(8) for (int i = 0; i < rows; i++)
            NN_UNROLL(8) for (int v = 0; v < GEMM_VECS; v++) acc[i][v] = vload(c + i * ldc + v * VL);
        /* The rows of the tile below: their lines arrive while this one computes. */
        NN_UNROLL(8) for (int i = 0; i < rows; i++) __builtin_prefetch(c + (rows + i) * ldc, 1);
    } else {
        NN_UNROLL(8) for (int v = 0; v < GEMM_VECS; v++) {
            const vec start = t->start ? vload(t->start + v * VL) : vset(0);
            NN_UNROLL(8) for (int i = 0; i < rows; i++) acc[i][v] = start;
        }
    }
    gemm_accumulate(acc, rows, t->a, t->row, t->step, t->b, t->ldb, t->k, copy, far);
    NN_UNROLL(8) for (int i = 0; i < rows; i++)
        NN_UNROLL(8) for (int v = 0; v < GEMM_VECS; v++) vstore(c + i * ldc + v * VL, acc[i][v]);
}

static inline void gemm_run_tile(const gemm_tile *t, int64_t rows);

/* A tile at the right edge: computed whole beside c, of which only its columns are read and written. */
static void gemm_edge_tile(const gemm_tile *t, int64_t rows) {
    REAL whole[GEMM_ROWS * GEMM_COLS];
    gemm_tile inner = *t;
    inner.c = whole;
    inner.ldc = inner.cols = GEMM_COLS;
    if (t->accumulate)
        for (int64_t i = 0; i < rows; i++)
            for (int v = 0; v < GEMM_VECS; v++)
                vstore(whole + i * GEMM_COLS + v * VL,
                       vload_some(t->c + i * t->ldc + v * VL, nn_max(0, nn_min(t->cols - v * VL, VL))));
    gemm_run_tile(&inner, rows);
    for (int64_t i = 0; i < rows; i++)
        for (int v = 0; v < GEMM_VECS; v++)
            vstore_some(t->c + i * t->ldc + v * VL, vload(whole + i * GEMM_COLS + v * VL),
                        nn_max(0, nn_min(t->cols - v * VL, VL)));
}

/* `rows` of t, 1 to GEMM_ROWS: one compiled tile for each height. */
static inline void gemm_run_tile(const gemm_tile *t, int64_t rows) {
    if (t->cols < GEMM_COLS) {
        gemm_edge_tile(t, rows);
        return;
    }
    switch (rows) {
    case 6: gemm_tile_rows(t, 6, NULL, false); break;
    case 5: gemm_tile_rows(t, 5, NULL, false); break;
    case 4: gemm_tile_rows(t, 4, NULL, false); break;
    case 3: gemm_tile_rows(t, 3, NULL, false); break;
    case 2: gemm_tile_rows(t, 2, NULL, false); break;
    default: gemm_tile_rows(t, 1, NULL, false); break;
    }
}

/* The first tile of a panel: leaves a copy of b for the tiles below. */
static NN_NOINLINE void gemm_copying_tile(const gemm_tile *t) { gemm_tile_rows(t, GEMM_ROWS, t->copy, false); }
static NN_NOINLINE void gemm_copying_far_tile(const gemm_tile *t) { gemm_tile_rows(t, GEMM_ROWS, t->copy, true); }

/* Rows of the next tile where `m` are left: 6, the last two balanced. */
NN_INLINE int64_t gemm_next_rows(int64_t m) {
    return m >= 2 * GEMM_ROWS || m <= GEMM_ROWS ? nn_min(m, GEMM_ROWS) : (m + 1) / 2;
}

/* A panel of one tile's columns: c (m, cols) from a (m, k), tile by tile. */
static inline void gemm_run_panel(gemm_tile t, int64_t m) {
    while (m > 0) {
        const int64_t rows = gemm_next_rows(m);
        if (t.copy && rows == GEMM_ROWS) {
            if (t.far) gemm_copying_far_tile(&t);
            else gemm_copying_tile(&t);
            t.b = t.copy;
            t.ldb = GEMM_COLS;
            t.copy = NULL;
        } else {
            gemm_run_tile(&t, rows);
        }
        t.c += rows * t.ldc;
        t.a += t.next ? t.next : rows * t.row;
        m -= rows;
    }
}

#endif
