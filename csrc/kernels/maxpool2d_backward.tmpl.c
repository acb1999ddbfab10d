/*
 * maxpool2d_backward: dx (n, h, w, c) = each dy (n, out_h, out_w, c) at the element that won its window; where
 * windows overlap the sum of them, in row-major order of windows; zero elsewhere.
 *
 * Three forms, chosen by the operation from the window alone:
 *     disjoint  windows do not overlap: each writes all of its elements (begin, end: rows of y)
 *     gather    windows overlap: each input element asks the windows that hold it (begin, end: bands of dx, of
 *               stride[0] rows each)
 *     scatter   any window: adds, element by element (begin, end: images)
 * The first two make no address from an index; scatter checks each.
 */
#include "template.h"

#include "maxpool2d.h"
#include "vtranspose.h"
#include "winner.h"

/* dy where the winner stands at `position`, else 0. */
NN_INLINE vec routed(vec dy, ivec winner, int64_t position, int bytes) {
    return (vec)((ivec)dy & (winner == winner_pattern(position, bytes)));
}

/*
 * Runs `body` over the channels by vectors, with `k` the first channel and `lanes` how many: VL, known to the
 * compiler, and the last vector overlapping the one before it; or all of them where they are fewer than VL.
 */
#define FOR_CHANNELS(c, body)                                                \
    do {                                                                     \
        if ((c) >= VL) {                                                     \
            enum { lanes = VL };                                             \
            int64_t k = 0;                                                   \
            for (; k + VL <= (c); k += VL) body;                             \
            if (k < (c)) {                                                   \
                k = (c)-VL;                                                  \
                body;                                                        \
            }                                                                \
        } else {                                                             \
            const int64_t k = 0, lanes = (c);                                \
            body;                                                            \
        }                                                                    \
    } while (0)

/* What all windows share, held by value so that no store to dx can be thought to change it. */
typedef struct source {
    const REAL *dy;
    const void *index;
    int64_t c, row, above;       /* elements from one pixel to the next, from one row of dx, of dy to the next */
    int64_t wide, down, across;  /* taps in a row of the window; stride */
    int64_t end;                 /* elements of dy */
    int bytes;
} source;

static source source_of(const nn_maxpool2d_args *a) {
    return (source){.dy = a->dy, .index = a->index, .c = a->c, .row = a->w * a->c, .above = a->out_w * a->c,
                    .wide = a->kernel[1], .down = a->stride[0], .across = a->stride[1], .bytes = a->index_bytes,
                    .end = a->n * a->out_h * a->out_w * a->c};
}

/* `lanes` channels of the gradient and the winner of window `at`. */
NN_INLINE void load_window(vec *grad, ivec *winner, source s, int64_t at, int64_t lanes, int bytes) {
    *grad = lanes == VL || s.end - at >= VL ? vload(s.dy + at) : vload_some(s.dy + at, lanes);
    *winner = winner_load(s.index, at, lanes, s.end, bytes);
}

static void write_zeros(REAL *dx, int64_t count) {
    if (count > 0) memset(dx, 0, (size_t)count * sizeof(REAL));
}

/* ---- disjoint ---------------------------------------------------------------------------------------- */

/* Channels of window `at`, from there on: writes rows x cols taps, the first of them, number `first`, at dx. */
NN_INLINE void write_taps(REAL *dx, source s, int64_t at, int64_t rows, int64_t cols, int64_t first, int64_t wide,
                          int64_t lanes, int bytes) {
    vec grad;
    ivec winner;
    load_window(&grad, &winner, s, at, lanes, bytes);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            store_lanes(dx + i * s.row + j * s.c, routed(grad, winner, first + i * wide + j, bytes), lanes);
}

NN_INLINE void write_2x2(REAL *dx, source s, int64_t at, int64_t lanes) {
    vec grad;
    ivec winner;
    load_window(&grad, &winner, s, at, lanes, 1);
    store_lanes(dx, routed(grad, winner, 0, 1), lanes);
    store_lanes(dx + s.c, routed(grad, winner, 1, 1), lanes);
    store_lanes(dx + s.row, routed(grad, winner, 2, 1), lanes);
    store_lanes(dx + s.row + s.c, routed(grad, winner, 3, 1), lanes);
}

/*
 * A window of 3 VL / 2 channels: three vectors for each of its two rows, the middle one half of either pixel, where
 * pixel by pixel it would be four.
 */
NN_INLINE void write_2x2_three_halves(REAL *dx, source s, int64_t at) {
    vec grad[3];
    ivec winner[3];
    load_window(&grad[0], &winner[0], s, at, VL, 1);
    load_window(&grad[2], &winner[2], s, at + VL / 2, VL, 1);
    grad[1] = vstraddle(grad[2], grad[0]);
    winner[1] = (ivec)vstraddle((vec)winner[2], (vec)winner[0]);
    NN_UNROLL(2) for (int i = 0; i < 2; i++, dx += s.row) {
        const vec left = (vec)winner_pattern(2 * i, 1), right = (vec)winner_pattern(2 * i + 1, 1);
        const ivec here[3] = {(ivec)left, (ivec)vstraddle(left, right), (ivec)right};
        NN_UNROLL(3) for (int v = 0; v < 3; v++) vstore(dx + v * VL, (vec)((ivec)grad[v] & (winner[v] == here[v])));
    }
}

static NN_NOINLINE void write_2x2_three_halves_row(REAL *dx, source s, int64_t at, int64_t windows) {
    for (int64_t j = 0; j < windows; j++, dx += 3 * VL, at += 3 * VL / 2) write_2x2_three_halves(dx, s, at);
}

/* `windows` windows of 2 x 2 side by side, from window `at` on. */
static NN_NOINLINE void write_2x2_row(REAL *dx, source s, int64_t at, int64_t windows) {
    if (s.c >= VL) {
        for (int64_t j = 0; j < windows; j++, dx += 2 * s.c, at += s.c) {
            int64_t k = 0;
            for (; k + VL <= s.c; k += VL) write_2x2(dx + k, s, at + k, VL);
            if (k < s.c) write_2x2(dx + s.c - VL, s, at + s.c - VL, VL);
        }
        return;
    }
    /* Fewer channels than a vector: it runs over into the windows to the right, which are written after. */
    const int64_t over = at + windows * s.c - VL;
    for (; at <= over; windows--, dx += 2 * s.c, at += s.c) write_2x2(dx, s, at, VL);
    for (; windows > 0; windows--, dx += 2 * s.c, at += s.c) write_2x2(dx, s, at, s.c);
}

/* Any window. */
static NN_NOINLINE void write_any(REAL *dx, source s, int64_t at, nn_taps down, nn_taps across) {
    const int64_t first = down.first * s.wide + across.first;
    FOR_CHANNELS(s.c, write_taps(dx + k, s, at + k, down.count, across.count, first, s.wide, lanes, s.bytes));
}

NN_DEFINE_KERNEL(maxpool2d_backward_disjoint) {
    const nn_maxpool2d_args *a = args;
    const source s = source_of(a);
    const nn_range inside = nn_windows_inside(a);
    const bool two = a->kernel[0] == 2 && s.wide == 2 && s.across == 2;
    int64_t image = begin / a->out_h, i = begin % a->out_h;
    for (int64_t r = begin; r < end; r++) {
        /* This row of windows owns the rows of dx down to where the next one starts. */
        const int64_t top = i * s.down - a->padding[0];
        const int64_t bottom = i + 1 < a->out_h ? top + s.down : a->h;
        const nn_taps down = nn_taps_inside(top, a->kernel[0], 1, a->h);
        const int64_t first = top + down.first;
        REAL *dx = (REAL *)a->dx + (image * a->h + first) * s.row;
        int64_t at = r * s.above, done = 0;
        for (int64_t j = 0; j < a->out_w;) {
            const int64_t start = j * s.across - a->padding[1];
            if (two && down.count == 2 && j >= inside.first && j < inside.end) {
                const int64_t windows = inside.end - j;
                if (s.c == 3 * VL / 2) write_2x2_three_halves_row(dx + start * s.c, s, at, windows);
                else write_2x2_row(dx + start * s.c, s, at, windows);
                done = start + 2 * windows;
                at += windows * s.c;
                j += windows;
                continue;
            }
            const nn_taps across = nn_taps_inside(start, s.wide, 1, a->w);
            const int64_t left = start + across.first;
            write_any(dx + left * s.c, s, at, down, across);
            /* Columns between the last window and this one belong to none. */
            if (done < left)
                for (int64_t k = 0; k < down.count; k++)
                    write_zeros(dx + k * s.row + done * s.c, (left - done) * s.c);
            done = left + across.count;
            at += s.c;
            j++;
        }
        if (done < a->w)
            for (int64_t k = 0; k < down.count; k++)
                write_zeros(dx + k * s.row + done * s.c, (a->w - done) * s.c);
        write_zeros(dx + down.count * s.row, (bottom - first - down.count) * s.row);
        if (++i == a->out_h) i = 0, image++;
    }
}

/* ---- gather ------------------------------------------------------------------------------------------ */

/*
 * Counted from the corner of the padding, input row band * stride + r lies in the windows band, band - 1, ...
 * at the taps r, r + stride, ...: as far as there are such windows and such taps.
 */
typedef struct holders {
    int64_t first, count, tap; /* windows first, first + 1, ...; the tap of the first, then one stride less each */
} holders;

NN_INLINE holders holders_of(int64_t band, int64_t r, int64_t kernel, int64_t stride, int64_t windows) {
    if (r >= kernel) return (holders){0, 0, 0};
    int64_t back = 0; /* windows before `band` that still hold it */
    while (r + (back + 1) * stride < kernel && back < band) back++;
    return (holders){band - back, nn_min(band, windows - 1) - (band - back) + 1, r + back * stride};
}

/* `vecs` vectors of one input pixel: the sum over the windows that hold it, `at` the first of them. */
NN_INLINE void gather_sum(REAL *dx, source s, int64_t at, holders down, holders across, int vecs, int64_t lanes,
                          int bytes) {
    vec sum[4] = {{0}, {0}, {0}, {0}};
    for (int64_t i = 0; i < down.count; i++) {
        const int64_t tap = (down.tap - i * s.down) * s.wide + across.tap;
        for (int64_t j = 0; j < across.count; j++) {
            const ivec here = winner_pattern(tap - j * s.across, bytes);
            const int64_t from = at + i * s.above + j * s.c;
            NN_UNROLL(4) for (int v = 0; v < vecs; v++) {
                vec grad;
                ivec winner;
                load_window(&grad, &winner, s, from + v * VL, lanes, bytes);
                sum[v] = sum[v] + (vec)((ivec)grad & (winner == here));
            }
        }
    }
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) store_lanes(dx + v * VL, sum[v], lanes);
}

static NN_NOINLINE void gather_any(REAL *dx, source s, int64_t at, holders down, holders across) {
    int64_t k = 0;
    if (s.bytes > 1) {
        for (; k < s.c; k += VL) gather_sum(dx + k, s, at + k, down, across, 1, nn_min(VL, s.c - k), s.bytes);
        return;
    }
    for (; k + 4 * VL <= s.c; k += 4 * VL) gather_sum(dx + k, s, at + k, down, across, 4, VL, 1);
    for (; k + VL <= s.c; k += VL) gather_sum(dx + k, s, at + k, down, across, 1, VL, 1);
    if (k == s.c) return;
    if (s.c > VL) gather_sum(dx + s.c - VL, s, at + s.c - VL, down, across, 1, VL, 1);
    else gather_sum(dx, s, at, down, across, 1, s.c, 1);
}

/*
 * A 2 x 2 band of a window of 3 x 3 with stride 2. Four windows hold something of it: two rows of two, the last
 * one element `at`. `windows` and `pixels` have a bit for each of the four that exists, row-major.
 */
NN_INLINE void gather_quad(REAL *dx, source s, int64_t at, int windows, int pixels, int64_t lanes) {
    vec grad[4];
    ivec winner[4];
    const int64_t from[4] = {at - s.above - s.c, at - s.above, at - s.c, at};
    NN_UNROLL(4) for (int i = 0; i < 4; i++) {
        grad[i] = vset(0);
        winner[i] = ivset(0);
        if (windows >> i & 1) load_window(&grad[i], &winner[i], s, from[i], lanes, 1);
    }
    if (pixels & 1)
        store_lanes(dx, ((routed(grad[0], winner[0], 8, 1) + routed(grad[1], winner[1], 6, 1)) +
                         routed(grad[2], winner[2], 2, 1)) + routed(grad[3], winner[3], 0, 1), lanes);
    if (pixels & 2)
        store_lanes(dx + s.c, routed(grad[1], winner[1], 7, 1) + routed(grad[3], winner[3], 1, 1), lanes);
    if (pixels & 4)
        store_lanes(dx + s.row, routed(grad[2], winner[2], 5, 1) + routed(grad[3], winner[3], 3, 1), lanes);
    if (pixels & 8) store_lanes(dx + s.row + s.c, routed(grad[3], winner[3], 4, 1), lanes);
}

static NN_NOINLINE void gather_border(REAL *dx, source s, int64_t at, int windows, int pixels) {
    FOR_CHANNELS(s.c, gather_quad(dx + k, s, at + k, windows, pixels, lanes));
}

static void gather_quads(const nn_maxpool2d_args *a, int64_t begin, int64_t end) {
    const source s = source_of(a);
    const int64_t bands = nn_maxpool2d_bands(a);
    int64_t image = begin / bands, band = begin % bands;
    for (int64_t b = begin; b < end; b++) {
        const int64_t top = band * 2 - a->padding[0];
        const int rows = (band > 0 && band <= a->out_h ? 3 : 0) | (band < a->out_h ? 12 : 0);
        const int down = (top >= 0 ? 3 : 0) | (top + 1 < a->h ? 12 : 0);
        for (int64_t left = -a->padding[1], j = 0; left < a->w; left += 2, j++) {
            const int windows = rows & ((j > 0 && j <= a->out_w ? 5 : 0) | (j < a->out_w ? 10 : 0));
            const int pixels = down & ((left >= 0 ? 5 : 0) | (left + 1 < a->w ? 10 : 0));
            REAL *dx = (REAL *)a->dx + (image * a->h + top) * s.row + left * s.c;
            const int64_t at = (image * a->out_h + band) * s.above + j * s.c;
            if (windows == 15 && pixels == 15) FOR_CHANNELS(s.c, gather_quad(dx + k, s, at + k, 15, 15, lanes));
            else gather_border(dx, s, at, windows, pixels);
        }
        if (++band == bands) band = 0, image++;
    }
}

NN_DEFINE_KERNEL(maxpool2d_backward_gather) {
    const nn_maxpool2d_args *a = args;
    const source s = source_of(a);
    const int64_t bands = nn_maxpool2d_bands(a);
    if (a->kernel[0] == 3 && s.wide == 3 && s.down == 2 && s.across == 2) {
        gather_quads(a, begin, end);
        return;
    }
    int64_t image = begin / bands, band = begin % bands;
    for (int64_t b = begin; b < end; b++) {
        const int64_t top = band * s.down - a->padding[0];
        REAL *dx = (REAL *)a->dx + (image * a->h + top) * s.row;
        for (int64_t left = -a->padding[1], j = 0; left < a->w; left += s.across, j++) {
            for (int64_t r = nn_max(0, -top); r < s.down && top + r < a->h; r++) {
                const holders down = holders_of(band, r, a->kernel[0], s.down, a->out_h);
                for (int64_t q = nn_max(0, -left); q < s.across && left + q < a->w; q++) {
                    const holders across = holders_of(j, q, s.wide, s.across, a->out_w);
                    const int64_t at = ((image * a->out_h + down.first) * a->out_w + across.first) * s.c;
                    gather_any(dx + r * s.row + (left + q) * s.c, s, at, down, across);
                }
            }
        }
        if (++band == bands) band = 0, image++;
    }
}

/* ---- scatter ----------------------------------------------------------------------------------------- */

NN_INLINE uint32_t position_at(const source *s, int64_t at) {
    if (s->bytes == 1) return ((const uint8_t *)s->index)[at];
    if (s->bytes == 2) return ((const uint16_t *)s->index)[at];
    return ((const uint32_t *)s->index)[at];
}

/* A window of any kind whose corner is at (top, left): each position is checked. */
static NN_NOINLINE void scatter_checked(REAL *dx, const nn_maxpool2d_args *a, int64_t at, int64_t top, int64_t left) {
    const source s = source_of(a);
    for (int64_t k = 0; k < s.c; k++) {
        const uint32_t position = position_at(&s, at + k);
        if (position >= nn_maxpool2d_none(a)) continue;
        const int64_t down = top + position / (uint32_t)s.wide * a->dilation[0];
        const int64_t across = left + position % (uint32_t)s.wide * a->dilation[1];
        if (down < 0 || down >= a->h || across < 0 || across >= a->w) continue;
        dx[down * s.row + across * s.c + k] += s.dy[at + k];
    }
}

/* Of each tap of a window: its row and its column there, and where it lies from the corner. */
typedef struct places {
    uint8_t down[256], across[256];
    int64_t offset[256];
} places;

/* A window of at most 255 elements, its corner element `corner` of dx: only the taps `down`, `across` are inside. */
static NN_NOINLINE void scatter_part(REAL *dx, int64_t corner, const source *s, const places *p, int64_t at,
                                     int64_t none, nn_taps down, nn_taps across) {
    const uint8_t *winner = (const uint8_t *)s->index + at;
    for (int64_t k = 0; k < s->c; k++) {
        const uint8_t t = winner[k];
        const bool inside = (uint64_t)(p->down[t] - down.first) < (uint64_t)down.count &&
                            (uint64_t)(p->across[t] - across.first) < (uint64_t)across.count;
        if (t < none && inside) dx[corner + p->offset[t] + k] += s->dy[at + k];
    }
}

NN_DEFINE_KERNEL(maxpool2d_backward_scatter) {
    const nn_maxpool2d_args *a = args;
    const source s = source_of(a);
    const int64_t high = (a->kernel[0] - 1) * a->dilation[0], wide = (a->kernel[1] - 1) * a->dilation[1];
    const int64_t none = nn_maxpool2d_none(a);
    places p = {.offset = {0}};
    for (int64_t t = 0; s.bytes == 1 && t < none; t++) {
        p.down[t] = (uint8_t)(t / s.wide), p.across[t] = (uint8_t)(t % s.wide);
        p.offset[t] = p.down[t] * a->dilation[0] * s.row + p.across[t] * a->dilation[1] * s.c;
    }

    for (int64_t image = begin; image < end; image++) {
        REAL *dx = (REAL *)a->dx + image * a->h * s.row;
        write_zeros(dx, a->h * s.row);
        int64_t at = image * a->out_h * s.above;
        for (int64_t i = 0; i < a->out_h; i++) {
            const int64_t top = nn_window_start(a, 0, i);
            for (int64_t j = 0; j < a->out_w; j++, at += s.c) {
                const int64_t left = nn_window_start(a, 1, j);
                const int64_t corner = top * s.row + left * s.c;
                if (s.bytes > 1) {
                    scatter_checked(dx, a, at, top, left);
                    continue;
                }
                if (top < 0 || left < 0 || top + high >= a->h || left + wide >= a->w) {
                    scatter_part(dx, corner, &s, &p, at, none,
                                 nn_taps_inside(top, a->kernel[0], a->dilation[0], a->h),
                                 nn_taps_inside(left, a->kernel[1], a->dilation[1], a->w));
                    continue;
                }
                const uint8_t *winner = (const uint8_t *)s.index + at;
                for (int64_t k = 0; k < s.c; k++)
                    if (winner[k] < none) dx[corner + p.offset[winner[k]] + k] += s.dy[at + k];
            }
        }
    }
}
