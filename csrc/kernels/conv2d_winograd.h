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

/* Row i of B^T. */
NN_INLINE vec patch_row(int i, vec d0, vec d1, vec d2, vec d3) {
    return i == 0 ? d0 - d2 : i == 1 ? d1 + d2 : i == 2 ? d2 - d1 : d1 - d3;
}

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

/* Position p of `lanes` channels at out + p * plane; cell (i, j) at x + i * line + j * cell. */
NN_INLINE void transform_patch_lanes(REAL *out, int64_t plane, const REAL *x, int64_t line, int64_t cell,
                                     int64_t lanes) {
    NN_UNROLL(4) for (int i = 0; i < 4; i++) {
        /* Cells are loaded again for each i: 16 of them, with what is made of them, are more than registers. */
        vec t[4];
        NN_UNROLL(4) for (int j = 0; j < 4; j++) {
            const REAL *at = x + j * cell;
            t[j] = patch_row(i, load_lanes(at, lanes), load_lanes(at + line, lanes),
                             load_lanes(at + 2 * line, lanes), load_lanes(at + 3 * line, lanes));
        }
        NN_UNROLL(4) for (int j = 0; j < 4; j++)
            vstore(out + (4 * i + j) * plane, patch_row(j, t[0], t[1], t[2], t[3]));
    }
}

/* All channels of a patch. Whole vectors are written: zeros behind the last channel. */
NN_INLINE void transform_patch(REAL *out, int64_t plane, const REAL *x, int64_t line, int64_t cell,
                               int64_t channels) {
    int64_t c = 0;
    for (; c + VL <= channels; c += VL) transform_patch_lanes(out + c, plane, x + c, line, cell, VL);
    if (c < channels) transform_patch_lanes(out + c, plane, x + c, line, cell, channels - c);
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

/* to (channels) = a cell, or zeros where it is not inside the image; whole vectors are written. */
NN_INLINE void copy_cell(REAL *to, bool inside, const REAL *cell, int64_t channels) {
    int64_t c = 0;
    if (inside) {
        for (; c + VL <= channels; c += VL) vstore(to + c, vload(cell + c));
        if (c < channels) vstore(to + c, vload_some(cell + c, channels - c));
        return;
    }
    for (; c < channels; c += VL) vstore(to + c, vset(0));
}

/* transformed (positions, count, row_stretch) = the patches of `count` quads. `patch` has room for one. */
static inline void transform_patches(const nn_conv2d_args *c, REAL *transformed, REAL *patch, quad_place place,
                                     int64_t count) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t channels = c->rows, line = aw->source * channels;
    for (int64_t q = 0; q < count; q++, next_quad(c, &place), transformed += c->row_stretch) {
        const int64_t h = ah->origin + 2 * place.i, w = aw->origin + 2 * place.j;
        const REAL *image = (const REAL *)c->source + place.n * ah->source * line;
        if (h >= 0 && h + 4 <= ah->source && w >= 0 && w + 4 <= aw->source) {
            transform_patch(transformed, c->row_plane, image + h * line + w * channels, line, channels, channels);
            continue;
        }
        /* Partly outside: a copy with zeros there. */
        for (int64_t i = 0; i < 4; i++) {
            const bool inside = h + i >= 0 && h + i < ah->source;
            for (int64_t j = 0; j < 4; j++)
                copy_cell(patch + (4 * i + j) * c->row_stretch, inside && w + j >= 0 && w + j < aw->source,
                          image + (h + i) * line + (w + j) * channels, channels);
        }
        transform_patch(transformed, c->row_plane, patch, 4 * c->row_stretch, c->row_stretch, channels);
    }
}

#endif
