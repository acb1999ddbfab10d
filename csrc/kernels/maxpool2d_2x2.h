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
#include "vtranspose.h"
#include "winner.h"

enum { CACHE_LINE = 64 };

/* What the compiler is to know about a line of windows. */
typedef struct pairs_form {
    bool indexed, relu;
} pairs_form;

/* The largest of a, b in the upper row and c, d in the lower one, and its position: 4 or more where ReLU gives 0. */
NN_INLINE vec pool_four(vec a, vec b, vec c, vec d, ivec *winner, ivec *odd, pairs_form f) {
    const vec upper = vmax(b, a), lower = vmax(d, c);
    const ivec down = lower > upper, right = b > a;
    *odd |= vunordered(a, b) | vunordered(c, d);
    *winner = (down & ivset(2)) | ((right ^ ((right ^ (d > c)) & down)) & ivset(1));
    const vec largest = vmax(lower, upper);
    if (!f.relu) return largest;
    *winner |= (largest <= vset(0)) & ivset(4);
    return vmax(largest, vset(0)); /* +0 of -0 */
}

/* `vecs` vectors of one window, `apart` elements apart: those at x, its neighbours `col` right and `row` below. */
NN_INLINE void pool_pairs(REAL *y, uint8_t *index, const REAL *x, int64_t row, int64_t col, int vecs, int64_t apart,
                          ivec *odd, pairs_form f) {
    ivec winner[4];
    NN_UNROLL(4) for (int v = 0; v < vecs; v++, x += apart) {
        const vec a = vkept(vload(x)), b = vkept(vload(x + col));
        const vec c = vkept(vload(x + row)), d = vkept(vload(x + row + col));
        vstore(y + v * apart, pool_four(a, b, c, d, &winner[v], odd, f));
    }
    if (!f.indexed) return;
    if (vecs == 4) winner_pack4(index, winner);
    else if (vecs == 2) winner_pack2(index, index + apart, winner);
    else winner_pack(index, winner[0]);
}

/* Vector `v` of the three that hold three half vectors from p on and as many from q on. */
NN_INLINE vec load_halves(const REAL *p, const REAL *q, int v) {
    return vkept(v == 0 ? vload(p) : v == 1 ? vstraddle(vload(p + VL / 2), vload(q)) : vload(q + VL / 2));
}

/* Two windows of 3 VL / 2 channels, `step` apart: three vectors of y, where each by itself would take two. */
NN_INLINE void pool_two_windows(REAL *y, uint8_t *index, const REAL *x, int64_t row, int64_t step, ivec *odd,
                                pairs_form f) {
    const REAL *right = x + 3 * VL / 2;
    ivec winner[3];
    NN_UNROLL(3) for (int v = 0; v < 3; v++) {
        const vec a = load_halves(x, x + step, v), b = load_halves(right, right + step, v);
        const vec c = load_halves(x + row, x + row + step, v), d = load_halves(right + row, right + row + step, v);
        vstore(y + v * VL, pool_four(a, b, c, d, &winner[v], odd, f));
    }
    if (!f.indexed) return;
    winner_pack2(index, index + VL, winner);
    winner_pack(index + 2 * VL, winner[2]);
}

/* The first of a row of windows in each array, and how far it is to the next window. */
typedef struct pool_line {
    REAL *y;
    uint8_t *index;
    const REAL *x;
    int64_t windows, step, row, c;
    int64_t ahead; /* to the row of windows below */
} pool_line;

/* The index `k` elements on, NULL where there is none. */
NN_INLINE uint8_t *index_at(uint8_t *index, int64_t k, bool indexed) { return indexed ? index + k : NULL; }

/*
 * The next window of the line. The processor guesses badly what comes after two rows side by side: so it is told, a
 * whole row of windows before.
 */
NN_INLINE void advance(pool_line *l, bool indexed) {
    const REAL *below = l->x + l->ahead;
    for (int64_t k = 0; k < l->step; k += CACHE_LINE / (int)sizeof(REAL)) {
        __builtin_prefetch(below + k);
        __builtin_prefetch(below + l->row + k);
    }
    l->x += l->step;
    l->y += l->c;
    l->index = index_at(l->index, l->c, indexed);
}

/* All channels below `wide` of a row of windows, a multiple of 4 VL. */
NN_INLINE void pool_line_wide(pool_line l, int64_t wide, pairs_form f, ivec *odd) {
    for (int64_t i = 0; i < l.windows; i++, advance(&l, f.indexed))
        for (int64_t k = 0; k < wide; k += 4 * VL)
            pool_pairs(l.y + k, index_at(l.index, k, f.indexed), l.x + k, l.row, l.c, 4, VL, odd, f);
}

/*
 * The last `rest` channels, VL to 4 VL - 1 or all there are: two vectors at a time, the last overlapping the one
 * before it.
 */
NN_INLINE void pool_line_rest(pool_line l, int64_t rest, pairs_form f, ivec *odd) {
    const int64_t last = nn_max(rest, VL) - VL; /* where the last vector starts */
    l.x += l.c - rest, l.y += l.c - rest, l.index = index_at(l.index, l.c - rest, f.indexed);
    for (int64_t i = 0; i < l.windows; i++, advance(&l, f.indexed)) {
        int64_t k = 0;
        if (last > VL) {
            pool_pairs(l.y, l.index, l.x, l.row, l.c, 2, VL, odd, f);
            k = nn_min(2 * VL, last);
        }
        if (last > k)
            pool_pairs(l.y + k, index_at(l.index, k, f.indexed), l.x + k, l.row, l.c, 2, last - k, odd, f);
        else pool_pairs(l.y + k, index_at(l.index, k, f.indexed), l.x + k, l.row, l.c, 1, VL, odd, f);
    }
}

/* Windows of 3 VL / 2 channels, two at a time; the last of an odd number once more with the one before it. */
NN_INLINE void pool_line_pairs(pool_line l, pairs_form f, ivec *odd) {
    for (int64_t left = l.windows; left > 0; left -= 2, advance(&l, f.indexed), advance(&l, f.indexed)) {
        if (left == 1) l.x -= l.step, l.y -= l.c, l.index = index_at(l.index, -l.c, f.indexed);
        pool_two_windows(l.y, l.index, l.x, l.row, l.step, odd, f);
    }
}

/* Which channels of a row are done, and how. */
typedef enum channels { WIDE, REST, THREE_HALVES } channels;

/*
 * Rows `begin` to `end` of y, of all images. The wide channels are done four vectors at a time, the rest apart.
 * Fewer channels than a vector holds run over into the windows that are done next: the last rows are left out.
 */
NN_INLINE bool pool_pairs_rows(const nn_maxpool2d_args *a, int64_t begin, int64_t end, channels which,
                               pairs_form f) {
    const int64_t c = a->c, rest = c % (4 * VL);
    pool_line l = {.windows = a->out_w, .step = a->stride[1] * c, .row = a->w * c, .c = c};
    l.ahead = a->stride[0] * l.row;
    ivec odd = ivset(0);
    int64_t image = begin / a->out_h, i = begin % a->out_h;
    for (int64_t r = begin; r < end; r++) {
        l.x = (const REAL *)a->x + (image * a->h + i * a->stride[0]) * l.row;
        l.y = (REAL *)a->y + r * a->out_w * c;
        l.index = f.indexed ? (uint8_t *)a->index + r * a->out_w * c : NULL;
        if (which == WIDE) pool_line_wide(l, c - rest, f, &odd);
        else if (which == THREE_HALVES) pool_line_pairs(l, f, &odd);
        else pool_line_rest(l, nn_min(nn_max(rest, VL), c), f, &odd);
        if (++i == a->out_h) i = 0, image++;
    }
    return !vany(odd);
}

/* A function for each form, so that each has its registers to itself. */
typedef bool pairs_fn(const nn_maxpool2d_args *a, int64_t begin, int64_t end);
#define PAIRS_FORM(name, which, ...)                                                               \
    static NN_NOINLINE bool name(const nn_maxpool2d_args *a, int64_t begin, int64_t end) {         \
        return pool_pairs_rows(a, begin, end, which, (pairs_form){__VA_ARGS__});                   \
    }
#define POOL_PAIRS(name, which)                                                                    \
    PAIRS_FORM(name##_plain, which, .indexed = false)                                              \
    PAIRS_FORM(name##_indexed, which, .indexed = true)                                             \
    PAIRS_FORM(name##_relu, which, .relu = true)                                                   \
    PAIRS_FORM(name##_relu_indexed, which, .relu = true, .indexed = true)                          \
    NN_INLINE bool name(const nn_maxpool2d_args *a, int64_t begin, int64_t end) {                  \
        pairs_fn *const forms[] = {name##_plain, name##_indexed, name##_relu, name##_relu_indexed};\
        return forms[2 * a->relu + (a->index != NULL)](a, begin, end);                             \
    }
POOL_PAIRS(pool_2x2_wide, WIDE)
POOL_PAIRS(pool_2x2_rest, REST)
POOL_PAIRS(pool_2x2_three_halves, THREE_HALVES)

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
    if (c >= 4 * VL) calm = pool_2x2_wide(a, begin, end);
    if (c == 3 * VL / 2 && a->out_w > 1) calm = pool_2x2_three_halves(a, begin, end);
    else if (calm && c % (4 * VL) > 0) calm = pool_2x2_rest(a, begin, end);
    return calm ? end : begin;
}

#endif
