/*
 * conv2d_plane.h: tiles of a source with one channel, the first layer of a network on grey images.
 *
 * With one channel the elements of a row lie side by side, so a vector is a run of dest elements, and a weight
 * is broadcast to all of them: no lane is empty, however few columns there are. The finished tile, columns by
 * elements, is transposed on its way out.
 *
 * Rectangles are at least a vector wide; the last tile of a row ends with the row, and computes a second time
 * what it shares with the one before.
 */
#ifndef NN_KERNELS_CONV2D_PLANE_H
#define NN_KERNELS_CONV2D_PLANE_H

#include "conv2d_panels.h"
#include "vtranspose.h"

enum { PLANE_COLUMNS = 6, PLANE_VECS = 4 };

/* One tile: up to 6 columns by up to 4 vectors of elements, 12 accumulators at most. */
typedef struct conv_plane_tile {
    REAL *dest;
    int64_t dest_row;
    const REAL *source;
    int64_t taps_h, source_h, taps_w, source_w;
    const REAL *weight; /* as PyTorch stores it */
    int64_t weight_h, weight_w, weight_column;
    const REAL *bias; /* or NULL */
} conv_plane_tile;

NN_INLINE void conv_plane(const conv_plane_tile *t, int columns, int vecs) {
    vec acc[PLANE_COLUMNS][PLANE_VECS];
    NN_UNROLL(6) for (int j = 0; j < columns; j++) {
        const vec start = vset(t->bias ? t->bias[j] : 0);
        NN_UNROLL(4) for (int v = 0; v < vecs; v++) acc[j][v] = start;
    }
    const int64_t weight_column = t->weight_column;
    for (int64_t h = 0; h < t->taps_h; h++) {
        const REAL *x = t->source + h * t->source_h, *w = t->weight + h * t->weight_h;
        for (int64_t tap = 0; tap < t->taps_w; tap++, x += t->source_w, w += t->weight_w) {
            vec xv[PLANE_VECS];
            NN_UNROLL(4) for (int v = 0; v < vecs; v++) xv[v] = vload(x + v * VL);
            NN_UNROLL(6) for (int j = 0; j < columns; j++) {
                const vec wv = vset(w[j * weight_column]);
                NN_UNROLL(4) for (int v = 0; v < vecs; v++) acc[j][v] = vfma(xv[v], wv, acc[j][v]);
            }
        }
    }
    const int64_t dest_row = t->dest_row;
    REAL *dest = t->dest;
    NN_UNROLL(4) for (int v = 0; v < vecs; v++, dest += VL * dest_row) {
        NN_UNROLL(3) for (int first = 0; first < columns; first += VL) {
            vec square[VL];
            NN_UNROLL(16) for (int j = 0; j < VL; j++)
                square[j] = first + j < columns ? acc[first + j < columns ? first + j : 0][v] : vset(0);
            vtranspose(square);
            NN_UNROLL(16) for (int i = 0; i < VL; i++)
                vstore_some(dest + i * dest_row + first, square[i], columns - first < VL ? columns - first : VL);
        }
    }
}

typedef void conv_plane_fn(const conv_plane_tile *);

#define CONV_PLANE(columns, vecs) \
    static void plane_##columns##x##vecs(const conv_plane_tile *t) { conv_plane(t, columns, vecs); }
CONV_PLANE(1, 1) CONV_PLANE(1, 2) CONV_PLANE(1, 3) CONV_PLANE(1, 4)
CONV_PLANE(2, 1) CONV_PLANE(2, 2) CONV_PLANE(2, 3) CONV_PLANE(2, 4)
CONV_PLANE(3, 1) CONV_PLANE(3, 2) CONV_PLANE(3, 3) CONV_PLANE(3, 4)
CONV_PLANE(4, 1) CONV_PLANE(4, 2) CONV_PLANE(4, 3)
CONV_PLANE(6, 1) CONV_PLANE(6, 2)

static conv_plane_fn *const conv_plane_table[PLANE_COLUMNS + 1][PLANE_VECS + 1] = {
    [1] = {0, plane_1x1, plane_1x2, plane_1x3, plane_1x4},
    [2] = {0, plane_2x1, plane_2x2, plane_2x3, plane_2x4},
    [3] = {0, plane_3x1, plane_3x2, plane_3x3, plane_3x4},
    [4] = {0, plane_4x1, plane_4x2, plane_4x3},
    [6] = {0, plane_6x1, plane_6x2},
};

/* Columns of the next tile: fours where they fit, else six; then what is left. */
static inline int conv_plane_columns(int64_t left) {
    return left % 4 == 0 ? 4 : left >= 6 ? 6 : left >= 4 ? 4 : (int)left;
}

static inline int64_t conv_plane_vecs(int columns) { return columns == 6 ? 2 : columns == 4 ? 3 : 4; }

/*
 * Whether a rectangle is for these tiles: one channel in, neighbours in x are neighbours in y, and columns that
 * would leave an eighth of their vectors empty, or fill only one.
 */
static inline bool conv_is_plane(const nn_conv2d_args *c, const conv_run *w) {
    const int64_t padded = conv_vecs(c->columns) * VL;
    return c->groups == 1 && c->rows == 1 && c->axis[1].step == 1 && c->axis[1].stride == 1 &&
           w->end - w->begin >= VL && (padded == VL || 8 * c->columns < 7 * padded);
}

/* Images n_begin to n_end, the rectangle h by w. */
static inline void conv_plane_rectangle(const nn_conv2d_args *c, int64_t n_begin, int64_t n_end, const conv_run *h,
                                 const conv_run *w) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t width = w->end - w->begin, dest_line = aw->dest * c->columns;
    conv_plane_tile t = {
        .dest_row = c->columns,
        .taps_h = h->tap_end - h->tap_begin, .source_h = ah->tap_step * aw->source,
        .taps_w = w->tap_end - w->tap_begin, .source_w = aw->tap_step,
        .weight_h = ah->kernel_step * c->kernel_width, .weight_w = aw->kernel_step,
        .weight_column = c->column_stride,
    };
    const REAL *weight = (const REAL *)c->weight +
                         (ah->kernel + h->tap_begin * ah->kernel_step) * c->kernel_width + aw->kernel +
                         w->tap_begin * aw->kernel_step;
    for (int64_t n = n_begin; n < n_end; n++) {
        const REAL *source = (const REAL *)c->source +
                             (n * ah->source + ah->origin + h->begin * ah->step + h->tap_begin * ah->tap_step) *
                                 aw->source + aw->origin + w->begin + w->tap_begin * aw->tap_step;
        REAL *dest = (REAL *)c->dest + (n * ah->dest + ah->first + h->begin * ah->stride) * dest_line +
                     (aw->first + w->begin) * c->columns;
        int columns;
        for (int64_t column = 0; column < c->columns; column += columns) {
            columns = conv_plane_columns(c->columns - column);
            t.weight = weight + column * c->column_stride;
            t.bias = c->bias ? (const REAL *)c->bias + column : NULL;
            const conv_cut cut = conv_cut_evenly((width + VL - 1) / VL,
                                                 nn_min(conv_plane_vecs(columns), width / VL));
            for (int64_t i = 0; i < h->end - h->begin; i++) {
                int64_t at = 0;
                for (int64_t tile = 0; tile < cut.tiles; tile++) {
                    const int64_t vecs = cut.rows + (tile < cut.longer);
                    at = nn_min(at, width - vecs * VL);
                    t.source = source + i * ah->step * aw->source + at;
                    t.dest = dest + i * ah->stride * dest_line + at * c->columns + column;
                    conv_plane_table[columns][vecs](&t);
                    at += vecs * VL;
                }
            }
        }
    }
}

#endif
