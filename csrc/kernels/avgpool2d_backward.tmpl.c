/*
 * avgpool2d_backward: dx (n, h, w, c) = for each element the sum of dy (n, out_h, out_w, c) over the windows that
 * hold it, each divided by that window's divisor; zero where none does.
 *
 * Two forms, chosen by the operation from the window alone:
 * disjoint, where windows do not overlap: each writes its cells   (begin, end: rows of windows, of all images)
 * gather, where they do: each element adds up its windows         (begin, end: rows of dx, of all images)
 */
#include "template.h"

#include "avgpool2d.h"

static void write_zeros(REAL *dx, int64_t count) {
    if (count > 0) memset(dx, 0, (size_t)count * sizeof(REAL));
}

/* ---- disjoint ---------------------------------------------------------------------------------------- */

/* Where a window's gradient goes: rows x cols cells from dx on. */
typedef struct cells {
    REAL *dx;
    int64_t rows, cols;
    int64_t row, col; /* elements from one cell to the next one down, to the right */
} cells;

NN_INLINE void share_vectors(cells to, const REAL *dy, vec divisor, int64_t c, int vecs, int64_t count) {
    vec share[4];
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) share[v] = load_lanes(dy + c + v * VL, count) / divisor;
    for (int64_t i = 0; i < to.rows; i++)
        for (int64_t j = 0; j < to.cols; j++)
            NN_UNROLL(4) for (int v = 0; v < vecs; v++)
                store_lanes(to.dx + i * to.row + j * to.col + c + v * VL, share[v], count);
}

/* The last vector overlaps the one before it. */
static void share_window(cells to, const REAL *dy, REAL divisor, int64_t count) {
    const vec d = vset(divisor);
    int64_t c = 0;
    for (; c + 4 * VL <= count; c += 4 * VL) share_vectors(to, dy, d, c, 4, VL);
    for (; c + VL <= count; c += VL) share_vectors(to, dy, d, c, 1, VL);
    if (c == count) return;
    if (count > VL) share_vectors(to, dy, d, count - VL, 1, VL);
    else share_vectors(to, dy, d, 0, 1, count);
}

NN_DEFINE_KERNEL(avgpool2d_backward_disjoint) {
    const nn_avgpool2d_args *a = args;
    const int64_t c = a->c, row = a->w * c;
    int64_t image = begin / a->out_h, i = begin % a->out_h;
    for (int64_t r = begin; r < end; r++) {
        /* This row of windows owns the rows of dx down to where the next one starts. */
        const nn_extent down = nn_extent_of(a, 0, i, a->h);
        const int64_t bottom = i + 1 < a->out_h ? nn_extent_of(a, 0, i + 1, a->h).first : a->h;
        const REAL *dy = (const REAL *)a->dy + r * a->out_w * c;
        REAL *dx = (REAL *)a->dx + (image * a->h + down.first) * row;
        cells to = {.rows = down.end - down.first, .row = row, .col = c};
        int64_t done = 0; /* columns */
        for (int64_t j = 0; j <= a->out_w; j++, dy += c) {
            const nn_extent across = j < a->out_w ? nn_extent_of(a, 1, j, a->w) : (nn_extent){a->w, a->w, 0};
            /* Columns between the last window and this one belong to none. */
            for (int64_t k = 0; k < to.rows; k++) write_zeros(dx + k * row + done * c, (across.first - done) * c);
            done = across.end;
            if (j == a->out_w) break;
            to.dx = dx + across.first * c;
            to.cols = across.end - across.first;
            share_window(to, dy, (REAL)(a->divisor ? a->divisor : down.counted * across.counted), c);
        }
        write_zeros(dx + to.rows * row, (bottom - down.end) * row);
        if (++i == a->out_h) i = 0, image++;
    }
}

/* ---- gather ------------------------------------------------------------------------------------------ */

/* Windows first to end - 1. */
typedef struct range {
    int64_t first, end;
} range;

/* Windows that hold an element, from those that hold the one before it. */
static inline range holders(const nn_avgpool2d_args *a, int axis, int64_t at, int64_t size, int64_t windows,
                            range before) {
    range r = before;
    while (r.end < windows && nn_extent_of(a, axis, r.end, size).first <= at) r.end++;
    while (r.first < r.end && nn_extent_of(a, axis, r.first, size).end <= at) r.first++;
    return r;
}

static bool counts_alike(const nn_avgpool2d_args *a, int axis, range r, int64_t size) {
    if (r.first == r.end) return true;
    const int64_t start = r.first * a->stride[axis] - a->padding[axis];
    const int64_t end = (r.end - 1) * a->stride[axis] - a->padding[axis] + a->kernel[axis];
    if (!a->adaptive && start >= 0 && end <= size) return true; /* all whole */
    const int64_t counted = nn_extent_of(a, axis, r.first, size).counted;
    for (int64_t i = r.first + 1; i < r.end; i++)
        if (nn_extent_of(a, axis, i, size).counted != counted) return false;
    return true;
}

/* The windows of one element: dy from `dy` on. */
typedef struct sources {
    const REAL *dy;
    int64_t rows, cols;
    int64_t row, col; /* elements from one window to the next one down, to the right */
    REAL scale;
} sources;

NN_INLINE void gather_vectors(REAL *dx, sources s, int64_t c, int vecs, int64_t count) {
    vec total[4] = {{0}, {0}, {0}, {0}};
    for (int64_t i = 0; i < s.rows; i++)
        for (int64_t j = 0; j < s.cols; j++)
            NN_UNROLL(4) for (int v = 0; v < vecs; v++)
                total[v] = total[v] + load_lanes(s.dy + i * s.row + j * s.col + c + v * VL, count);
    NN_UNROLL(4) for (int v = 0; v < vecs; v++)
        store_lanes(dx + c + v * VL, total[v] * vset(s.scale), count);
}

NN_INLINE void gather(REAL *dx, sources s, int64_t count) {
    int64_t c = 0;
    for (; c + 4 * VL <= count; c += 4 * VL) gather_vectors(dx, s, c, 4, VL);
    for (; c + VL <= count; c += VL) gather_vectors(dx, s, c, 1, VL);
    if (c == count) return;
    if (count > VL) gather_vectors(dx, s, count - VL, 1, VL);
    else gather_vectors(dx, s, 0, 1, count);
}

/* At the border the windows of one element may differ in their divisors: channel by channel, window by window. */
static NN_NOINLINE void gather_unlike(const nn_avgpool2d_args *a, REAL *dx, sources s, range down, range across) {
    write_zeros(dx, a->c);
    for (int64_t i = down.first; i < down.end; i++)
        for (int64_t j = across.first; j < across.end; j++) {
            const REAL divisor = (REAL)(nn_extent_of(a, 0, i, a->h).counted * nn_extent_of(a, 1, j, a->w).counted);
            const REAL *dy = s.dy + (i - down.first) * s.row + (j - across.first) * s.col;
            for (int64_t c = 0; c < a->c; c += VL) {
                const int64_t some = nn_min(VL, a->c - c);
                vstore_some(dx + c, vload_some(dx + c, some) + vload_some(dy + c, some) / vset(divisor), some);
            }
        }
}

NN_DEFINE_KERNEL(avgpool2d_backward_gather) {
    const nn_avgpool2d_args *a = args;
    const int64_t c = a->c;
    sources s = {.row = a->out_w * c, .col = c};
    int64_t scaled_by = 0; /* s.scale is 1 / scaled_by */
    for (int64_t r = begin; r < end; r++) {
        const int64_t image = r / a->h, h = r % a->h;
        const range down = holders(a, 0, h, a->h, a->out_h, (range){0, 0});
        const bool rows_alike = a->divisor || counts_alike(a, 0, down, a->h);
        s.rows = down.end - down.first;
        REAL *dx = (REAL *)a->dx + r * a->w * c;
        range across = {0, 0};
        for (int64_t w = 0; w < a->w; w++, dx += c) {
            across = holders(a, 1, w, a->w, a->out_w, across);
            s.cols = across.end - across.first;
            s.dy = (const REAL *)a->dy + ((image * a->out_h + down.first) * a->out_w + across.first) * c;
            if (s.rows == 0 || s.cols == 0) {
                write_zeros(dx, c);
            } else if (rows_alike && (a->divisor || counts_alike(a, 1, across, a->w))) {
                const int64_t divisor = a->divisor ? a->divisor
                                                   : nn_extent_of(a, 0, down.first, a->h).counted *
                                                         nn_extent_of(a, 1, across.first, a->w).counted;
                /* A product is quicker than a quotient, and there is one for each element of dx. */
                if (divisor != scaled_by) s.scale = 1 / (REAL)divisor, scaled_by = divisor;
                gather(dx, s, c);
            } else {
                gather_unlike(a, dx, s, down, across);
            }
        }
    }
}
