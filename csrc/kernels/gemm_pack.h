/*
 * gemm_pack.h: panels of b for the tile of gemm.h: (k, GEMM_COLS) row-major, columns beyond `cols` zero.
 */
#ifndef NN_KERNELS_GEMM_PACK_H
#define NN_KERNELS_GEMM_PACK_H

#include "vtranspose.h"

/* panel (k, GEMM_COLS) = b (k, cols), rows of b contiguous and `row` elements apart. */
static inline void gemm_pack_plain(REAL *panel, const REAL *b, int64_t row, int64_t k, int64_t cols) {
    if (cols == GEMM_COLS) {
        for (int64_t p = 0; p < k; p++)
            for (int v = 0; v < GEMM_VECS; v++) vstore(panel + p * GEMM_COLS + v * VL, vload(b + p * row + v * VL));
        return;
    }
    for (int64_t p = 0; p < k; p++)
        for (int v = 0; v < GEMM_VECS; v++) {
            const int64_t some = nn_max(0, nn_min(cols - v * VL, VL));
            vstore(panel + p * GEMM_COLS + v * VL, vload_some(b + p * row + v * VL, some));
        }
}

/* panel (k, GEMM_COLS) = b^T, b (cols, k): rows of b contiguous and `row` elements apart. */
static inline void gemm_pack_transposed(REAL *panel, const REAL *b, int64_t row, int64_t k, int64_t cols) {
    for (int v = 0; v < GEMM_VECS; v++) {
        const int64_t some = nn_max(0, nn_min(cols - v * VL, VL));
        const REAL *from = b + v * VL * row;
        REAL *to = panel + v * VL;
        for (int64_t p = 0; p < k; p += VL) {
            const int64_t depth = nn_min(VL, k - p);
            vec square[VL];
            NN_UNROLL(16) for (int i = 0; i < VL; i++) {
                if (i >= some) square[i] = vset(0);
                else square[i] = depth == VL ? vload(from + i * row + p) : vload_some(from + i * row + p, depth);
            }
            vtranspose(square);
            if (depth == VL) {
                NN_UNROLL(16) for (int i = 0; i < VL; i++) vstore(to + (p + i) * GEMM_COLS, square[i]);
            } else {
                NN_UNROLL(16) for (int i = 0; i < VL; i++)
                    if (i < depth) vstore(to + (p + i) * GEMM_COLS, square[i]);
            }
        }
    }
}

#endif
