/*
 * conv2d_winograd.h: the transforms of Winograd's convolution F(2x2, 3x3), and the walk over an image in quads.
 *
 *     y = A^T [ (G w G^T) . (B^T x B) ] A        . is the product element by element
 *
 *     quad      2x2 elements of dest
 *     patch     the 4x4 cells of the source under a quad; quads are 2 apart, so patches overlap
 *     position  one of the 4x4 elements of a transformed patch, weight or quad: 0 to 15, row by row
 *
 * A quad takes 16 products for each pair of channels where the direct sum takes 36. Over channels the products
 * of a position are those of a matrix: (quads, rows) times (rows, columns). Backward is the same formula
 * transposed: dw = G^T [ (A dy A^T) . (B^T x B) ] G, summed over quads.
 *
 *           1  0 -1  0          1    0    0          1  0
 *     B^T = 0  1  1  0     G = 1/2  1/2  1/2     A = 1  1     (A. Lavin, S. Gray, Fast Algorithms for
 *           0 -1  1  0         1/2 -1/2  1/2         1 -1      Convolutional Neural Networks, 2015)
 *           0  1  0 -1          0    0    1          0 -1
 *
 * Transforms add and halve: what rounding they cost is a few times that of the direct sum's last additions.
 */
#ifndef NN_KERNELS_CONV2D_WINOGRAD_H
#define NN_KERNELS_CONV2D_WINOGRAD_H

#include "conv2d_panels.h"

enum { POSITIONS = NN_WINOGRAD_POSITIONS, QUADS = NN_WINOGRAD_QUADS };

/* ---- the matrices, one row at a time; i is a constant ------------------------------------------------- */

/* Row i of A^T. */
NN_INLINE vec quad_row(int i, vec m0, vec m1, vec m2, vec m3) { return i == 0 ? m0 + m1 + m2 : m1 - m2 - m3; }

/* Row i of A. */
NN_INLINE vec quad_back_row(int i, vec e0, vec e1) {
    return i == 0 ? e0 : i == 1 ? e0 + e1 : i == 2 ? e0 - e1 : -e1;
}

/* Row i of G. */
NN_INLINE vec weight_row(int i, vec w0, vec w1, vec w2) {
    return i == 0 ? w0 : i == 1 ? (w0 + w2 + w1) * R(0.5) : i == 2 ? (w0 + w2 - w1) * R(0.5) : w2;
}

/* Row i of G^T. */
NN_INLINE vec weight_back_row(int i, vec s0, vec s1, vec s2, vec s3) {
    return i == 0 ? s0 + (s1 + s2) * R(0.5) : i == 1 ? (s1 - s2) * R(0.5) : (s1 + s2) * R(0.5) + s3;
}

/* ---- the transforms ----------------------------------------------------------------------------------- */

/* A cell of two rows: a + b or a - b; zeros outside the image. */
NN_INLINE vec combine_rows(const REAL *a, const REAL *b, bool plus, bool inside) {
    return !inside ? vset(0) : plus ? vload(a) + vload(b) : vload(a) - vload(b);
}

/*
 * Positions 4 i to 4 i + 3 of `count` patches side by side, for a vector of channels: row i of B^T is a + b, or a - b.
 * Patch q at out + q * stretch; cell w of the image's row at a and b, `cell` elements from the next, zeros where it is
 * outside. Of a patch's four columns of cells two are those of the patch before.
 */
NN_INLINE void transform_line(REAL *out, int64_t plane, int64_t stretch, const REAL *a, const REAL *b, bool plus,
                              int64_t cell, int64_t w, int64_t width, int64_t count) {
    a += w * cell, b += w * cell;
    vec t0 = combine_rows(a, b, plus, w >= 0 && w < width);
    vec t1 = combine_rows(a + cell, b + cell, plus, w + 1 >= 0 && w + 1 < width);
    REAL *end = out + count * stretch;
    for (; out < end; out += stretch) {
        a += 2 * cell, b += 2 * cell, w += 2;
        vec t2, t3;
        if (w >= 0 && w + 1 < width) {
            t2 = combine_rows(a, b, plus, true);
            t3 = combine_rows(a + cell, b + cell, plus, true);
        } else {
            t2 = combine_rows(a, b, plus, w >= 0 && w < width);
            t3 = combine_rows(a + cell, b + cell, plus, w + 1 == 0);
        }
        vstore(out, t0 - t2);
        vstore(out + plane, t1 + t2);
        vstore(out + 2 * plane, t2 - t1);
        vstore(out + 3 * plane, t1 - t3);
        t0 = t2, t1 = t3;
    }
}

/* ---- the walk ----------------------------------------------------------------------------------------- */

/* Quads in order: image, row of quads, quad of the row. */
typedef struct quad_place {
    int64_t n, i, j;
} quad_place;

static inline quad_place place_of_quad(const nn_conv2d_args *c, int64_t quad) {
    const int64_t image = c->quads[0] * c->quads[1];
    return (quad_place){quad / image, quad % image / c->quads[1], quad % c->quads[1]};
}

static inline void next_quad(const nn_conv2d_args *c, quad_place *place) {
    if (++place->j < c->quads[1]) return;
    place->j = 0;
    if (++place->i < c->quads[0]) return;
    place->i = 0;
    place->n++;
}

/* Quads from `place` on in its row, at most `count`; goes on behind them. */
static inline int64_t next_quads(const nn_conv2d_args *c, quad_place *place, int64_t count) {
    const int64_t some = nn_min(count, c->quads[1] - place->j);
    place->j += some - 1;
    next_quad(c, place);
    return some;
}

/*
 * transformed (positions, count, row_stretch) = the patches of `count` quads. `zeros` is a line of the source outside
 * the image. Lanes beyond the channels are read and written too, and never used: stores that cross no boundary take less
 * time. In the last image the last vector ends with the channels.
 */
static inline void transform_patches(const nn_conv2d_args *c, REAL *transformed, const REAL *zeros, quad_place place,
                                     int64_t count) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t channels = c->rows, line = aw->source * channels, plane = c->row_plane, stretch = c->row_stretch;
    for (int64_t some; count > 0; count -= some, transformed += some * stretch) {
        const int64_t h = ah->origin + 2 * place.i, w = aw->origin + 2 * place.j;
        const REAL *image = (const REAL *)c->source + place.n * ah->source * line, *row[4];
        for (int i = 0; i < 4; i++) row[i] = h + i >= 0 && h + i < ah->source ? image + (h + i) * line : zeros;
        const int64_t last = place.n + 1 < c->n ? channels : channels - VL;
        some = next_quads(c, &place, count);
        for (int i = 0; i < 4; i++) {
            for (int64_t k = 0; k < channels; k += VL) {
                const int64_t at = nn_min(k, last);
                REAL *out = transformed + at + 4 * i * plane;
                const REAL *a = row[i == 0 ? 0 : i == 2 ? 2 : 1] + at, *b = row[i == 2 ? 1 : i == 3 ? 3 : 2] + at;
                if (i == 1) transform_line(out, plane, stretch, a, b, true, channels, w, aw->source, some);
                else transform_line(out, plane, stretch, a, b, false, channels, w, aw->source, some);
            }
        }
    }
}

/* ---- what comes into the cache -------------------------------------------------------------------------- */

/*
 * Cells are transformed a whole block at a time, row by row of an image: faster than they come by themselves. So those
 * of the next block are fetched while the products of this one are made, a few with each tile; likewise the places of
 * results. A small batch is in the cache as it is.
 */
enum { MANY_CELLS = 1 << 18 };

typedef struct quad_rows {
    const char *at, *end;
    int64_t step; /* bytes with each tile */
} quad_rows;

/* Rows of the batch above those that a quad is the first to need: in an image from row `first` on, two for each row of
   quads. */
static inline int64_t rows_before(const nn_conv2d_args *c, int64_t quad, int64_t height, int64_t first) {
    const quad_place place = place_of_quad(c, nn_min(quad, c->n * c->quads[0] * c->quads[1]));
    return nn_min(c->n * height, place.n * height + nn_min(height, nn_max(0, first + 2 * place.i)));
}

/* Those of images (n, height, line) that `count` quads need; a position has so many vectors of products. */
static inline quad_rows rows_of_quads(const nn_conv2d_args *c, const REAL *images, int64_t height, int64_t line,
                                      int64_t first, int64_t quad, int64_t count, int64_t vectors) {
    if (c->n * height * line < MANY_CELLS) return (quad_rows){(const char *)images, (const char *)images, 0};
    const REAL *at = images + rows_before(c, quad, height, first) * line;
    const REAL *end = images + rows_before(c, quad + count, height, first) * line;
    const int64_t tiles = POSITIONS * vectors / 12;
    return (quad_rows){(const char *)at, (const char *)end, (end - at) * (int64_t)sizeof(REAL) / (tiles + 1) + 64};
}

static inline void fetch_rows(quad_rows *rows) {
    const char *end = rows->end - rows->at < rows->step ? rows->end : rows->at + rows->step;
    for (; rows->at < end; rows->at += 64) __builtin_prefetch(rows->at, 0, 3);
}

/* ---- the products, of all positions ------------------------------------------------------------------- */

/* products (positions, count, columns) = bias + patches (positions, count, rows) times weight (rows, columns). */
typedef struct winograd_products {
    REAL *products;
    const REAL *patches, *weight, *bias; /* weight as conv2d_winograd_pack makes it; bias or NULL */
    int64_t count, rows, columns;
    int64_t row_stretch, row_plane, column_stretch, column_plane;
    quad_rows *next; /* two of them, fetched meanwhile; or NULL */
} winograd_products;

/* Defined in conv2d_winograd.tmpl.c. */
void NN_SYMBOL(conv2d_winograd_multiply)(const winograd_products *m);
#define conv2d_winograd_multiply NN_SYMBOL(conv2d_winograd_multiply)

#endif
