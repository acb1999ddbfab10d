/*
 * conv2d_winograd: what conv2d_correlate computes, dest (n, h, w, columns) = bias + source (n, h, w, rows) *
 * weight, for 3x3 taps one apart, by Winograd's F(2x2, 3x3). begin and end count pieces of piece_quads quads.
 *
 * A piece goes in blocks of QUADS quads: their patches are transformed, each position's products are a matrix
 * product on register tiles, and the quads are transformed back. What lies between stays in the cache.
 */
#include "template.h"

#if NN_BITS == 32 /* never chosen for float64, see nn_conv2d_is_winograd */
#include "conv2d_winograd.h"

/* ---- the products ------------------------------------------------------------------------------------- */

/* c (rows, vecs * VL) = start + a (rows, k) b (k, vecs * VL), `count` times, one below the other. */
typedef struct product_tile {
    REAL *c;
    int64_t c_row;
    const REAL *a;
    int64_t a_row;
    const REAL *b;
    const REAL *start; /* vecs * VL start values, NULL: zero */
    int64_t k, count;
    quad_rows *next; /* fetched meanwhile; two of them */
} product_tile;

static NN_NOINLINE void fetch_both(quad_rows *next) { fetch_rows(&next[0]), fetch_rows(&next[1]); }

typedef void product_tile_fn(const product_tile *);

NN_INLINE void product(const product_tile *t, int rows, int vecs) {
    const int64_t a_row = t->a_row, c_row = t->c_row, k_end = t->k;
    const REAL *a = t->a;
    REAL *c = t->c;
    for (int64_t n = 0; n < t->count; n++, a += rows * a_row, c += rows * c_row) {
        if (t->next) fetch_both(t->next);
        vec acc[CONV_MAX_ROWS][CONV_MAX_VECS];
        NN_UNROLL(3) for (int v = 0; v < vecs; v++) {
            const vec start = t->start ? vload(t->start + v * VL) : vset(0);
            NN_UNROLL(12) for (int i = 0; i < rows; i++) acc[i][v] = start;
        }
        const REAL *b = t->b, *ak = a;
        for (int64_t k = 0; k < k_end; k++, ak++, b += vecs * VL) {
            vec bv[CONV_MAX_VECS];
            NN_UNROLL(3) for (int v = 0; v < vecs; v++) bv[v] = vload(b + v * VL);
            NN_UNROLL(12) for (int i = 0; i < rows; i++) {
                const vec av = vset(ak[i * a_row]);
                NN_UNROLL(3) for (int v = 0; v < vecs; v++) acc[i][v] = vfma(av, bv[v], acc[i][v]);
            }
        }
        NN_UNROLL(12) for (int i = 0; i < rows; i++) {
            NN_UNROLL(3) for (int v = 0; v < vecs; v++) vstore(c + i * c_row + v * VL, acc[i][v]);
        }
    }
}

#if CONV_HAS_HALVES
/* The same for a vector and a half of columns, of which the lower half is stored; rows by twos, which share a vector. */
static void product_half(const product_tile *t) {
    const int64_t a_row = t->a_row, c_row = t->c_row, k_end = t->k;
    const REAL *a = t->a;
    REAL *c = t->c;
    for (int64_t n = 0; n < t->count; n++, a += CONV_HALF_ROWS * a_row, c += CONV_HALF_ROWS * c_row) {
        vec whole[CONV_HALF_ROWS], shared[CONV_HALF_ROWS / 2];
        NN_UNROLL(8) for (int i = 0; i < CONV_HALF_ROWS; i++) whole[i] = t->start ? vload(t->start) : vset(0);
        NN_UNROLL(4) for (int i = 0; i < CONV_HALF_ROWS / 2; i++)
            shared[i] = t->start ? vload_twice(t->start + VL) : vset(0);
        const REAL *b = t->b, *ak = a;
        for (int64_t k = 0; k < k_end; k++, ak++, b += 2 * VL) {
            const vec first = vload(b), second = vload_twice(b + VL);
            NN_UNROLL(4) for (int i = 0; i < CONV_HALF_ROWS / 2; i++) {
                const vec a0 = vset(ak[2 * i * a_row]), a1 = vset(ak[(2 * i + 1) * a_row]);
                whole[2 * i] = vfma(a0, first, whole[2 * i]);
                whole[2 * i + 1] = vfma(a1, first, whole[2 * i + 1]);
                shared[i] = vfma(vhalves(a0, a1), second, shared[i]);
            }
        }
        NN_UNROLL(4) for (int i = 0; i < CONV_HALF_ROWS / 2; i++) {
            REAL *to = c + 2 * i * c_row;
            vstore(to, whole[2 * i]);
            vstore(to + c_row, whole[2 * i + 1]);
            vstore_halves(to + VL, to + c_row + VL, shared[i]);
        }
    }
}
#endif

/* Of QUADS rows all tiles are whole. */
CONV_TILE(product, product_tile, 1, 12) CONV_TILE(product, product_tile, 2, 6) CONV_TILE(product, product_tile, 3, 4)
static product_tile_fn *const product_table[CONV_MAX_VECS + 1] = {0, product_1x12, product_2x6, product_3x4};

/*
 * The last tile's rows may be more than there are quads: whatever lies there is multiplied, and nobody reads what
 * becomes of it.
 */
void conv2d_winograd_multiply(const winograd_products *m) {
    const int64_t weight_position = m->rows * conv_vecs(m->columns) * VL;
    for (int p = 0; p < POSITIONS; p++) {
        /* Position 5, row 1 and column 1 of A, is added to all four elements: the bias goes in there. */
        const REAL *bias = p == 5 ? m->bias : NULL;
        int vecs;
        for (int64_t column = 0; column < m->columns; column += vecs * VL) {
            vecs = conv_panel_vecs(m->columns - column);
            int64_t rows = conv_tile_rows(vecs);
            product_tile_fn *multiply = product_table[vecs];
#if CONV_HAS_HALVES
            if (conv_is_half(m->columns - column)) rows = CONV_HALF_ROWS, multiply = product_half;
#endif
            REAL start[CONV_MAX_VECS * VL];
            for (int64_t i = 0; bias && i < vecs * VL; i++) start[i] = column + i < m->columns ? bias[column + i] : 0;
            const product_tile t = {
                .c = m->products + p * m->column_plane + column, .c_row = m->column_stretch,
                .a = m->patches + p * m->row_plane, .a_row = m->row_stretch,
                .b = m->weight + p * weight_position + column * m->rows, .start = bias ? start : NULL, .k = m->rows,
                .count = (m->count + rows - 1) / rows, .next = m->next,
            };
            multiply(&t);
        }
    }
}

/* ---- back to elements --------------------------------------------------------------------------------- */

/* The quad at dest, of which the first h by w elements exist. */
NN_INLINE void transform_quad_lanes(REAL *dest, int64_t line, int64_t element, const REAL *products, int64_t plane,
                                    int64_t h, int64_t w, int64_t lanes) {
    vec s[2][4];
    NN_UNROLL(4) for (int j = 0; j < 4; j++) {
        vec m[4];
        NN_UNROLL(4) for (int i = 0; i < 4; i++) m[i] = vload(products + (4 * i + j) * plane);
        s[0][j] = quad_row(0, m[0], m[1], m[2], m[3]);
        s[1][j] = quad_row(1, m[0], m[1], m[2], m[3]);
    }
    NN_UNROLL(2) for (int i = 0; i < 2; i++) {
        NN_UNROLL(2) for (int j = 0; j < 2; j++)
            if (i < h && j < w)
                store_lanes(dest + i * line + j * element, quad_row(j, s[i][0], s[i][1], s[i][2], s[i][3]), lanes);
    }
}

static void transform_quads(const nn_conv2d_args *c, const REAL *products, quad_place place, int64_t count) {
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t channels = c->columns, line = aw->dest * channels, plane = c->column_plane;
    for (int64_t q = 0; q < count; q++, next_quad(c, &place), products += c->column_stretch) {
        const int64_t h = ah->dest - 2 * place.i, w = aw->dest - 2 * place.j;
        REAL *dest = (REAL *)c->dest + (place.n * ah->dest + 2 * place.i) * line + 2 * place.j * channels;
        int64_t k = 0;
        if (h >= 2 && w >= 2)
            for (; k + VL <= channels; k += VL)
                transform_quad_lanes(dest + k, line, channels, products + k, plane, 2, 2, VL);
        else
            for (; k + VL <= channels; k += VL)
                transform_quad_lanes(dest + k, line, channels, products + k, plane, h, w, VL);
        if (k < channels)
            transform_quad_lanes(dest + k, line, channels, products + k, plane, h, w, channels - k);
    }
}

/* ---- the kernel --------------------------------------------------------------------------------------- */

/* The row of dest, counted through all images, that quad `quad` begins. */
static int64_t row_of_quad(const nn_conv2d_args *c, int64_t quad) {
    const quad_place place = place_of_quad(c, quad);
    return place.n * c->axis[0].dest + 2 * place.i;
}

NN_DEFINE_KERNEL(conv2d_winograd) {
    const nn_conv2d_args *c = args;
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t quads = c->n * c->quads[0] * c->quads[1];
    for (int64_t piece = begin; piece < end; piece++) {
        REAL *patches = (REAL *)c->partial + piece * c->partial_size;
        REAL *products = patches + POSITIONS * c->row_plane, *zeros = products + POSITIONS * c->column_plane;
        for (int64_t i = 0; i < c->axis[1].source * c->rows; i++) zeros[i] = 0;
        const int64_t last = nn_min(quads, (piece + 1) * c->piece_quads);
        for (int64_t quad = piece * c->piece_quads; quad < last; quad += QUADS) {
            const int64_t count = nn_min(QUADS, last - quad);
            const quad_place place = place_of_quad(c, quad);
            transform_patches(c, patches, zeros, place, count);
            const int64_t vectors = QUADS * conv_vecs(c->columns);
            quad_rows next[2] = {
                rows_of_quads(c, c->source, ah->source, aw->source * c->rows, ah->origin + 2, quad + count, QUADS,
                              vectors),
                rows_of_quads(c, c->dest, ah->dest, aw->dest * c->columns, 0, quad, count, vectors),
            };
            conv2d_winograd_multiply(&(winograd_products){
                .products = products, .patches = patches, .weight = c->packed, .bias = c->bias,
                .count = count, .rows = c->rows, .columns = c->columns, .row_stretch = c->row_stretch,
                .row_plane = c->row_plane, .column_stretch = c->column_stretch, .column_plane = c->column_plane,
                .next = next[0].step || next[1].step ? next : NULL});
            transform_quads(c, products, place, count);
            nn_conv2d_written(c, row_of_quad(c, quad), row_of_quad(c, quad + count)); /* whole rows of quads */
        }
    }
}

#else
NN_DEFINE_KERNEL(conv2d_winograd) { (void)args, (void)begin, (void)end; }
#endif
