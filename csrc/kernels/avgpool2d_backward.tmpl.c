/*
 * avgpool2d_backward: dx (n, h, w, c) = for each element the sum of dy (n, out_h, out_w, c) over the windows that
 * hold it, each divided by that window's divisor; zero where none does. begin and end count rows of dx, of all images.
 *
 * Along an axis, cells that the same windows hold make a run; where two runs cross, all elements of a channel are the
 * same. So the sum is taken once for a rectangle and written to all its cells: of windows that do not overlap each is
 * a rectangle, of windows one pixel apart each cell.
 */
#include "template.h"

#include "avgpool2d.h"

/* Cells at ... end - 1, held by windows first ... last - 1. */
typedef struct run {
    int64_t at, end, first, last;
} run;

/* The run that begins where r ends. */
static inline run next_run(const nn_extent *windows, int64_t count, int64_t size, run r) {
    r.at = r.end;
    while (r.last < count && windows[r.last].first <= r.at) r.last++;
    while (r.first < r.last && windows[r.first].end <= r.at) r.first++;
    r.end = r.last < count ? windows[r.last].first : size;
    if (r.first < r.last) r.end = nn_min(r.end, windows[r.first].end);
    return r;
}

/* How many cells each of a run's windows counts along the axis; 0 where they differ. */
static inline int64_t counted(const nn_extent *windows, run r) {
    for (int64_t i = r.first + 1; i < r.last; i++)
        if (windows[i].counted != windows[r.first].counted) return 0;
    return r.first < r.last ? windows[r.first].counted : 1;
}

/* Windows dy (rows x cols) and cells dx (down x across), each with the elements from one to the next one. */
typedef struct rectangle {
    const REAL *dy;
    REAL *dx;
    int64_t rows, cols, dy_row, down, across, dx_row, step; /* step: to the right, in both */
    REAL scale;                                             /* on the sum; 0: the windows differ */
    const nn_extent *high, *wide;                           /* the windows, where they do */
} rectangle;

NN_INLINE void fill_vectors(const rectangle *r, int64_t c, int vecs, int64_t count) {
    vec total[4] = {{0}, {0}, {0}, {0}};
    for (int64_t i = 0; i < r->rows; i++)
        for (int64_t j = 0; j < r->cols; j++) {
            const REAL *dy = r->dy + i * r->dy_row + j * r->step + c;
            if (r->scale != 0) {
                NN_UNROLL(4) for (int v = 0; v < vecs; v++) total[v] += load_lanes(dy + v * VL, count);
            } else {
                const vec by = vset(1 / (REAL)(r->high[i].counted * r->wide[j].counted));
                NN_UNROLL(4) for (int v = 0; v < vecs; v++)
                    total[v] = vfma(load_lanes(dy + v * VL, count), by, total[v]);
            }
        }
    if (r->scale != 0)
        NN_UNROLL(4) for (int v = 0; v < vecs; v++) total[v] = total[v] * vset(r->scale);
    for (int64_t i = 0; i < r->down; i++)
        for (int64_t j = 0; j < r->across; j++)
            NN_UNROLL(4) for (int v = 0; v < vecs; v++)
                store_lanes(r->dx + i * r->dx_row + j * r->step + c + v * VL, total[v], count);
}

/* The last vector of channels overlaps the one before it. */
NN_INLINE void fill(const rectangle *r, int64_t channels) {
    int64_t c = 0;
    for (; c + 4 * VL <= channels; c += 4 * VL) fill_vectors(r, c, 4, VL);
    for (; c + VL <= channels; c += VL) fill_vectors(r, c, 1, VL);
    if (c == channels) return;
    if (channels > VL) fill_vectors(r, channels - VL, 1, VL);
    else fill_vectors(r, 0, 1, channels);
}

NN_INLINE void share_vectors(REAL *dx, const REAL *dy, vec by, int64_t down, int64_t across, int64_t row, int64_t step,
                             int vecs, int64_t count) {
    vec share[4];
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) share[v] = load_lanes(dy + v * VL, count) * by;
    NN_UNROLL(2) for (int64_t i = 0; i < down; i++)
        NN_UNROLL(2) for (int64_t j = 0; j < across; j++)
            NN_UNROLL(4) for (int v = 0; v < vecs; v++)
                store_lanes(dx + i * row + j * step + v * VL, share[v], count);
}

/* fill, of a single window. */
NN_INLINE void share(REAL *dx, const REAL *dy, REAL scale, int64_t down, int64_t across, int64_t row,
                     int64_t channels) {
    const vec by = vset(scale);
    int64_t c = 0;
    for (; c + 4 * VL <= channels; c += 4 * VL)
        share_vectors(dx + c, dy + c, by, down, across, row, channels, 4, VL);
    for (; c < channels; c += VL)
        share_vectors(dx + c, dy + c, by, down, across, row, channels, 1, nn_min(VL, channels - c));
}

NN_DEFINE_KERNEL(avgpool2d_backward) {
    const nn_avgpool2d_args *a = args;
    const nn_extent *wide = a->windows[1];
    const int64_t c = a->c, w = a->w, out_w = a->out_w;
    for (int64_t r = begin, rows; r < end; r += rows) {
        const run down = next_run(a->windows[0], a->out_h, a->h, (run){.end = r % a->h});
        const int64_t high = counted(a->windows[0], down);
        const REAL *dy = (const REAL *)a->dy + (r / a->h * a->out_h + down.first) * out_w * c;
        REAL *dx = (REAL *)a->dx + r * w * c;
        rows = nn_min(down.end - down.at, end - r);
        int64_t scaled_by = 0;
        REAL scale = 0; /* 1 / scaled_by: a product is quicker than a quotient, and there is one for each element */
        for (run across = {0}; across.end < w;) {
            across = next_run(wide, out_w, w, across);
            const int64_t divisor = a->divisor ? a->divisor : high * counted(wide, across);
            if (divisor != scaled_by) scale = 1 / (REAL)divisor, scaled_by = divisor;
            const int64_t windows = (down.last - down.first) * (across.last - across.first);
            const int64_t cells = across.end - across.at;
            if (windows == 1 && rows == 2 && cells == 2) {
                share(dx + across.at * c, dy + across.first * c, scale, 2, 2, w * c, c);
            } else if (windows == 1) {
                share(dx + across.at * c, dy + across.first * c, scale, rows, cells, w * c, c);
            } else {
                const rectangle to = {dy + across.first * c, dx + across.at * c, down.last - down.first,
                                      across.last - across.first, out_w * c, rows, cells, w * c, c,
                                      divisor ? scale : 0, a->windows[0] + down.first, wide + across.first};
                fill(&to, c);
            }
        }
    }
}
