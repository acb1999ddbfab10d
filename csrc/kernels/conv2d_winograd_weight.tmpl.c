/*
 * conv2d_winograd_weight: what conv2d_backward_weight computes, the weight's gradient and that of the bias, by
 * Winograd's F(2x2, 3x3): per piece of piece_quads quads, sums over quads of (A dy A^T) times (B^T x B). And
 * dest, where that is not NULL: the gradient of x, from the same quads; then pieces are whole images.
 *
 *     partial [piece]: sums [position][panel of columns][row][column of the panel], sums of dy [column], and the
 *                      buffers of a block of block_quads quads: patches, quads, a line of zeros, what waits of dest
 */
#include "template.h"

#if NN_BITS == 32 /* never chosen for float64, see nn_conv2d_is_winograd */
#include "conv2d_sum_tile.h"
#include "conv2d_winograd_data.h"

/* ---- dy ----------------------------------------------------------------------------------------------- */

/* Position p of the quad at dy, of which the first h by w elements exist, at out + p * plane. */
NN_INLINE void transform_dy_lanes(REAL *out, int64_t plane, const REAL *dy, int64_t line, int64_t element, int64_t h,
                                  int64_t w, int64_t lanes) {
    vec e[2][2];
    NN_UNROLL(2) for (int i = 0; i < 2; i++) {
        NN_UNROLL(2) for (int j = 0; j < 2; j++)
            e[i][j] = i < h && j < w ? load_lanes(dy + i * line + j * element, lanes) : vset(0);
    }
    NN_UNROLL(4) for (int i = 0; i < 4; i++) {
        const vec t0 = quad_back_row(i, e[0][0], e[1][0]), t1 = quad_back_row(i, e[0][1], e[1][1]);
        NN_UNROLL(4) for (int j = 0; j < 4; j++)
            vstore(out + (4 * i + j) * plane, quad_back_row(j, t0, t1));
    }
}

/* out (positions, count, column_stretch) = `count` quads of dy. */
static void transform_dy(const nn_conv2d_args *c, REAL *out, quad_place place, int64_t count) {
    const int64_t height = c->axis[0].count, width = c->axis[1].count, plane = c->column_plane;
    const int64_t channels = c->columns, line = width * channels;
    for (int64_t q = 0; q < count; q++, next_quad(c, &place), out += c->column_stretch) {
        const int64_t h = height - 2 * place.i, w = width - 2 * place.j;
        const REAL *dy = (const REAL *)c->dy + (place.n * height + 2 * place.i) * line + 2 * place.j * channels;
        int64_t k = 0;
        if (h >= 2 && w >= 2)
            for (; k + VL <= channels; k += VL)
                transform_dy_lanes(out + k, plane, dy + k, line, channels, 2, 2, VL);
        else
            for (; k + VL <= channels; k += VL)
                transform_dy_lanes(out + k, plane, dy + k, line, channels, h, w, VL);
        if (k < channels) transform_dy_lanes(out + k, plane, dy + k, line, channels, h, w, channels - k);
    }
}

/* ---- sums --------------------------------------------------------------------------------------------- */

/* Of NN_WINOGRAD_CHANNELS rows or more, cut evenly, no tile is less than half of the largest. */
CONV_TILE(sums, conv_sum_tile, 1, 6) CONV_TILE(sums, conv_sum_tile, 1, 7) CONV_TILE(sums, conv_sum_tile, 1, 8)
CONV_TILE(sums, conv_sum_tile, 1, 9) CONV_TILE(sums, conv_sum_tile, 1, 10) CONV_TILE(sums, conv_sum_tile, 1, 11)
CONV_TILE(sums, conv_sum_tile, 1, 12)
CONV_TILE(sums, conv_sum_tile, 2, 4) CONV_TILE(sums, conv_sum_tile, 2, 5) CONV_TILE(sums, conv_sum_tile, 2, 6)
CONV_TILE(sums, conv_sum_tile, 3, 3) CONV_TILE(sums, conv_sum_tile, 3, 4)
static conv_sum_table sums_table = {
    [1] = {[6] = sums_1x6, sums_1x7, sums_1x8, sums_1x9, sums_1x10, sums_1x11, sums_1x12},
    [2] = {[4] = sums_2x4, sums_2x5, sums_2x6},
    [3] = {[3] = sums_3x3, sums_3x4},
};

/* sums (rows, columns) of one position += patches^T (rows, count) quads (count, columns). */
static void add_position(const nn_conv2d_args *c, REAL *sums, const REAL *patches, const REAL *quads, int64_t count,
                         quad_rows *next) {
    int vecs;
    for (int64_t column = 0; column < c->columns; column += vecs * VL) {
        vecs = conv_panel_vecs(c->columns - column);
        conv_sum_tile t = {
            .sum = sums + column * c->rows, .x = patches, .x_row = 1, .dy = quads + column,
            .count = {1, 1, count}, .x_step = {0, 0, c->row_stretch}, .dy_step = {0, 0, c->column_stretch},
            .last = VL,
        };
        const conv_cut cut = conv_cut_evenly(c->rows, conv_tile_rows(vecs));
        for (int64_t i = 0; i < cut.tiles; i++) {
            const int64_t rows = cut.rows + (i < cut.longer);
            fetch_rows(&next[0]), fetch_rows(&next[1]);
            sums_table[vecs][rows](&t);
            t.x += rows;
            t.sum += rows * vecs * VL;
        }
    }
}

NN_DEFINE_KERNEL(conv2d_winograd_weight) {
    const nn_conv2d_args *c = args;
    const nn_conv_axis *ah = &c->axis[0], *aw = &c->axis[1];
    const int64_t last_quad = c->n * c->quads[0] * c->quads[1], padded = conv_vecs(c->columns) * VL;
    const int64_t position = c->rows * padded;
    for (int64_t piece = begin; piece < end; piece++) {
        REAL *sums = (REAL *)c->partial + piece * c->partial_size, *dy_sums = sums + POSITIONS * position;
        REAL *patches = dy_sums + padded, *quads = patches + POSITIONS * c->row_plane;
        REAL *zeros = quads + POSITIONS * c->column_plane, *waiting = zeros + c->axis[1].source * c->row_stretch;
        for (int64_t i = 0; i < c->axis[1].source * c->rows; i++) zeros[i] = 0;
        for (REAL *sum = sums; sum < patches; sum += VL) vstore(sum, vset(0));
        const int64_t last = nn_min(last_quad, (piece + 1) * c->piece_quads);
        for (int64_t quad = piece * c->piece_quads; quad < last; quad += c->block_quads) {
            const int64_t count = nn_min(c->block_quads, last - quad);
            const quad_place place = place_of_quad(c, quad);
            transform_dy(c, quads, place, count);
            /* Position 5, row 1 of A on both sides, is the sum of a quad. */
            const REAL *totals = quads + 5 * c->column_plane;
            for (int64_t k = 0; k < padded; k += VL) {
                vec sum = vload(dy_sums + k); /* one chain over the piece: its bits are those of any blocks */
                for (int64_t q = 0; q < count; q++) sum += vload(totals + q * c->column_stretch + k);
                vstore(dy_sums + k, sum);
            }
            if (c->dweight) {
                transform_patches(c, patches, zeros, place, count);
                const int64_t vectors = c->rows * conv_vecs(c->columns), from = quad + count;
                quad_rows next[2] = {
                    rows_of_quads(c, c->source, ah->source, aw->source * c->rows, ah->origin + 2, from, c->block_quads,
                                  vectors),
                    rows_of_quads(c, c->dy, ah->count, aw->count * c->columns, 0, from, c->block_quads, vectors),
                };
                for (int p = 0; p < POSITIONS; p++)
                    add_position(c, sums + p * position, patches + p * c->row_plane, quads + p * c->column_plane,
                                 count, next);
            }
            if (c->dest) {
                conv2d_winograd_multiply(&(winograd_products){
                    .products = patches, .patches = quads, .weight = c->packed, .count = count, .rows = c->columns,
                    .columns = c->rows, .row_stretch = c->column_stretch, .row_plane = c->column_plane,
                    .column_stretch = c->row_stretch, .column_plane = c->row_plane});
                add_patches(c, patches, waiting, place, count);
            }
        }
    }
}

/* ---- the gradients ------------------------------------------------------------------------------------ */

/* The sum over pieces, in their order. */
NN_INLINE vec sum_pieces(const nn_conv2d_args *c, const REAL *at, int64_t pieces) {
    vec sum = vload(at);
    for (int64_t p = 1; p < pieces; p++) sum += vload(at + p * c->partial_size);
    return sum;
}

/*
 * dweight += G^T sums G, dbias += sums of dy, both over all pieces. begin and end count rows; the bias goes with
 * the first.
 */
NN_DEFINE_KERNEL(conv2d_winograd_fold) {
    const nn_conv2d_args *c = args;
    const int64_t padded = conv_vecs(c->columns) * VL, position = c->rows * padded;
    const int64_t pieces = (c->n * c->quads[0] * c->quads[1] + c->piece_quads - 1) / c->piece_quads;
    const REAL *sums = c->partial;
    if (c->dbias && begin == 0) {
        for (int64_t column = 0; column < c->columns; column += VL) {
            const int64_t lanes = nn_min(VL, c->columns - column);
            REAL *dbias = (REAL *)c->dbias + column;
            const vec sum = sum_pieces(c, sums + POSITIONS * position + column, pieces);
            vstore_some(dbias, vload_some(dbias, lanes) + sum, lanes);
        }
    }
    if (!c->dweight) return;
    int64_t width;
    for (int64_t panel = 0; panel < c->columns; panel += width) {
        width = conv_panel_vecs(c->columns - panel) * VL;
        for (int64_t row = begin; row < end; row++) {
            for (int64_t v = 0; v < width; v += VL) {
                const REAL *in = sums + panel * c->rows + row * width + v;
                vec t[3][4];
                NN_UNROLL(4) for (int j = 0; j < 4; j++) {
                    vec s[4];
                    NN_UNROLL(4) for (int i = 0; i < 4; i++)
                        s[i] = sum_pieces(c, in + (4 * i + j) * position, pieces);
                    NN_UNROLL(3) for (int i = 0; i < 3; i++)
                        t[i][j] = weight_back_row(i, s[0], s[1], s[2], s[3]);
                }
                REAL tap[9][VL];
                NN_UNROLL(9) for (int i = 0; i < 9; i++)
                    vstore(tap[i], weight_back_row(i % 3, t[i / 3][0], t[i / 3][1], t[i / 3][2], t[i / 3][3]));
                REAL *out = (REAL *)c->dweight + row * c->row_stride + (panel + v) * c->column_stride;
                for (int64_t lane = 0; lane < nn_min(VL, c->columns - panel - v); lane++, out += c->column_stride)
                    for (int i = 0; i < 9; i++) out[i] += tap[i][lane];
            }
        }
    }
}

#else
NN_DEFINE_KERNEL(conv2d_winograd_weight) { (void)args, (void)begin, (void)end; }
NN_DEFINE_KERNEL(conv2d_winograd_fold) { (void)args, (void)begin, (void)end; }
#endif
