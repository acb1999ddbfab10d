/*
 * maxpool2d_2x2.h: forward of the common window, 2 x 2, where every window lies inside the input.
 *
 * A window is two pairs: the larger of each, then the larger of those. That takes half the instructions of asking tap
 * after tap, and is right as long as there is no NaN; so it looks for one on the way, and says if the work is to be
 * done anew. Of equal values the left one and the upper pair win: the first in row-major order.
 */
#ifndef NN_KERNELS_MAXPOOL2D_2X2_H
#define NN_KERNELS_MAXPOOL2D_2X2_H

#include "maxpool2d.h"
#include "winner.h"

/* `vecs` vectors of one window: elements at x, its neighbours `col` to the right and `row` below. */
NN_INLINE void pool_pairs(REAL *y, uint8_t *index, const REAL *x, int64_t row, int64_t col, int vecs, ivec *odd) {
    ivec winner[4];
    _Pragma("GCC unroll 4") for (int v = 0; v < vecs; v++, x += VL) {
        const vec a = vkeep(vload(x)), b = vkeep(vload(x + col));
        const vec c = vkeep(vload(x + row)), d = vkeep(vload(x + row + col));
        const vec upper = vmax(b, a), lower = vmax(d, c);
        *odd |= vunordered(a, b) | vunordered(c, d);
        vstore(y + v * VL, vmax(lower, upper));
        if (!index) continue;
        const ivec down = lower > upper, right = b > a;
        winner[v] = (down & ivset(2)) | ((right ^ ((right ^ (d > c)) & down)) & ivset(1));
    }
    if (!index) return;
    if (vecs == 4) winner_pack4(index, winner);
    else winner_pack(index, winner[0]);
}

/* The first of a row of windows in each array, and how far it is to the next window. */
typedef struct pool_line {
    REAL *y;
    uint8_t *index;
    const REAL *x;
    int64_t windows, step, row, c;
} pool_line;

/* Channels `from` to `end` of a row of windows, the last vector overlapping the one before it. */
NN_INLINE void pool_pairs_line(pool_line l, int64_t from, int64_t end, int vecs, bool indexed, ivec *odd) {
    for (int64_t i = 0; i < l.windows; i++, l.x += l.step, l.y += l.c, l.index += indexed ? l.c : 0) {
        int64_t k = from;
        for (; k + vecs * VL <= end; k += vecs * VL)
            pool_pairs(l.y + k, indexed ? l.index + k : NULL, l.x + k, l.row, l.c, vecs, odd);
        if (k < end)
            pool_pairs(l.y + end - VL, indexed ? l.index + end - VL : NULL, l.x + end - VL, l.row, l.c, 1, odd);
    }
}

/*
 * Rows `begin` to `end` of y, of all images. Channels are done four vectors at a time, what is left one at a time.
 * Fewer channels than a vector holds run over into the windows that are done next: the last rows are left out.
 */
NN_INLINE bool pool_pairs_rows(const nn_maxpool2d_args *a, int64_t begin, int64_t end, int vecs, bool indexed) {
    const int64_t c = a->c, wide = c & -(4 * VL);
    pool_line l = {.windows = a->out_w, .step = a->stride[1] * c, .row = a->w * c, .c = c};
    ivec odd = ivset(0);
    int64_t image = begin / a->out_h, i = begin % a->out_h;
    for (int64_t r = begin; r < end; r++) {
        l.x = (const REAL *)a->x + (image * a->h + i * a->stride[0]) * l.row;
        l.y = (REAL *)a->y + r * a->out_w * c;
        l.index = indexed ? (uint8_t *)a->index + r * a->out_w * c : NULL;
        if (vecs == 4) pool_pairs_line(l, 0, wide, 4, indexed, &odd);
        else pool_pairs_line(l, wide, nn_max(c, VL), 1, indexed, &odd);
        if (++i == a->out_h) i = 0, image++;
    }
    return !vany(odd);
}

/* A function for each form, so that each has its registers to itself. */
#define POOL_PAIRS(name, vecs, indexed)                                                            \
    static NN_NOINLINE bool name(const nn_maxpool2d_args *a, int64_t begin, int64_t end) {         \
        return pool_pairs_rows(a, begin, end, vecs, indexed);                                      \
    }
POOL_PAIRS(pool_2x2_wide, 4, false)
POOL_PAIRS(pool_2x2_rest, 1, false)
POOL_PAIRS(pool_2x2_wide_indexed, 4, true)
POOL_PAIRS(pool_2x2_rest_indexed, 1, true)

/* Whether every window is whole: 2 x 2, side by side, no padding. */
NN_INLINE bool pool_2x2_fits(const nn_maxpool2d_args *a) {
    return a->kernel[0] == 2 && a->kernel[1] == 2 && a->dilation[0] == 1 && a->dilation[1] == 1 &&
           a->padding[0] == 0 && a->padding[1] == 0 && a->stride[0] > 1 && a->stride[1] > 1 &&
           (a->out_h - 1) * a->stride[0] + 2 <= a->h && (a->out_w - 1) * a->stride[1] + 2 <= a->w;
}

/* Does rows from `begin` on and returns where it stopped: at `begin` where a NaN was met. */
static int64_t pool_2x2(const nn_maxpool2d_args *a, int64_t begin, int64_t end) {
    const int64_t rows = a->n * a->out_h, c = a->c;
    /* Fewer channels than a vector: the last row of the piece has none behind it that would be done next. */
    if (c < VL) end = nn_min(end, rows) - 1 - VL / (a->out_w * c);
    if (end <= begin) return begin;
    bool calm = true;
    if (c >= 4 * VL) calm = a->index ? pool_2x2_wide_indexed(a, begin, end) : pool_2x2_wide(a, begin, end);
    if (calm && c % (4 * VL) > 0)
        calm = a->index ? pool_2x2_rest_indexed(a, begin, end) : pool_2x2_rest(a, begin, end);
    return calm ? end : begin;
}

#endif
