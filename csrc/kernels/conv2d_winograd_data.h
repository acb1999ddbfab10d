/*
 * conv2d_winograd_data.h: the gradient of x from the quads of dy, which the weight's gradient has transformed.
 *
 *     dx = B [ (G w G^T) . (A dy A^T) ] B^T, a patch of 4x4 cells for each quad; patches overlap and are added
 *
 * The other form, a convolution of dy, has a quad for each 2x2 cells of x: without padding those are more.
 */
#ifndef NN_KERNELS_CONV2D_WINOGRAD_DATA_H
#define NN_KERNELS_CONV2D_WINOGRAD_DATA_H

#include "conv2d_winograd.h"

/* The lower two rows of cells under a row of quads, which wait for the next row: (2, cells of a row, stretch). */
static inline int64_t waiting_row(const nn_conv2d_args *c) { return (2 * c->quads[1] + 2) * c->row_stretch; }

/* A column of four cells: the upper two, added to those that waited, are finished; the lower two wait. */
NN_INLINE void add_cells(REAL *dest, int64_t line, REAL *waiting, int64_t row, const vec h[4]) {
    const vec upper = vload(waiting) + h[0], lower = vload(waiting + row) + (h[1] - h[2] + h[3]);
    vstore(dest, upper);
    vstore(dest + line, lower);
    vstore(waiting, h[1] + h[2] - h[0]);
    vstore(waiting + row, -h[3]);
}

/*
 * Cells of a row of `count` quads, for a vector of channels: the products of quad q and position p at
 * m + q * stretch + p * plane, a cell of dest `cell` from the next. Of a quad's four columns of cells two are those of
 * the quad behind.
 */
static void add_row(REAL *dest, int64_t line, int64_t cell, REAL *waiting, int64_t row, const REAL *m, int64_t plane,
                    int64_t stretch, int64_t count, bool even_width) {
    vec first[4], second[4], h[4]; /* what the quad before adds to the next two columns */
    NN_UNROLL(4) for (int i = 0; i < 4; i++) first[i] = second[i] = vset(0);
    for (; count > 0; count--, m += stretch) {
        NN_UNROLL(4) for (int i = 0; i < 4; i++) {
            const REAL *mi = m + 4 * i * plane;
            h[i] = vload(mi) + first[i];
            first[i] = vload(mi + plane) + vload(mi + 2 * plane) - vload(mi);
        }
        add_cells(dest, line, waiting, row, h);
        dest += cell, waiting += stretch;
        NN_UNROLL(4) for (int i = 0; i < 4; i++) {
            const REAL *mi = m + 4 * i * plane;
            h[i] = vload(mi + plane) - vload(mi + 2 * plane) + vload(mi + 3 * plane) - second[i];
            second[i] = vload(mi + 3 * plane);
        }
        add_cells(dest, line, waiting, row, h);
        dest += cell, waiting += stretch;
    }
    add_cells(dest, line, waiting, row, first);
    if (!even_width) return;
    NN_UNROLL(4) for (int i = 0; i < 4; i++) second[i] = -second[i];
    add_cells(dest + cell, line, waiting + stretch, row, second);
}

/* The products of `count` quads, whole rows of them, into dest. The last vector of channels ends with them. */
static inline void add_patches(const nn_conv2d_args *c, const REAL *products, REAL *waiting, quad_place place,
                               int64_t count) {
    const int64_t height = c->axis[0].source, width = c->axis[1].source, channels = c->rows, line = width * channels;
    const int64_t stretch = c->row_stretch, row = waiting_row(c);
    for (; count > 0; count -= c->quads[1], products += c->quads[1] * stretch) {
        REAL *dest = (REAL *)c->dest + (place.n * height + 2 * place.i) * line;
        if (place.i == 0)
            for (REAL *at = waiting; at < waiting + 2 * row; at += VL) vstore(at, vset(0));
        for (int64_t k = 0; k < channels; k += VL) {
            const int64_t at = nn_min(k, channels - VL);
            add_row(dest + at, line, channels, waiting + k, row, products + at, c->row_plane, stretch, c->quads[1],
                    width % 2 == 0);
        }
        next_quads(c, &place, c->quads[1]);
        if (place.i > 0) continue;
        /* Below the last row of quads nothing follows. */
        for (int64_t h = 2 * c->quads[0]; h < height; h++, waiting += row) {
            dest = (REAL *)c->dest + ((place.n - 1) * height + h) * line;
            for (int64_t w = 0; w < width; w++)
                for (int64_t k = 0; k < channels; k += VL)
                    vstore(dest + w * channels + nn_min(k, channels - VL), vload(waiting + w * stretch + k));
        }
        waiting -= (height - 2 * c->quads[0]) * row;
    }
}

#endif
