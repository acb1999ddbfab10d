/*
 * resize2d: y (n, out_h, out_w, c) = each element a copy of one of x (n, h, w, c), or a weighted sum of 2 x 2.
 *
 * Backward: dx (n, h, w, c) = the sum of dy over the elements made of one, weighted as they were.
 */
#include "template.h"

#include "resize2d.h"

/* begin and end count rows of y, of all images. */
NN_DEFINE_KERNEL(resize2d_forward) {
    const nn_resize2d_args *a = args;
    const int64_t c = a->c, row = a->w * c;
    REAL *y = (REAL *)a->y + begin * a->out_w * c;
    for (int64_t r = begin; r < end; r++) {
        const nn_resize_tap *down = &a->down[r % a->out_h];
        const REAL *image = (const REAL *)a->x + r / a->out_h * a->h * row;
        const REAL *upper = image + down->at[0] * row, *lower = image + down->at[1] * row;
        const vec d0 = vset((REAL)down->weight[0]), d1 = vset((REAL)down->weight[1]);
        for (int64_t j = 0; j < a->out_w; j++, y += c) {
            const nn_resize_tap *across = &a->across[j];
            const int64_t left = across->at[0] * c, right = across->at[1] * c;
            const vec a0 = vset((REAL)across->weight[0]), a1 = vset((REAL)across->weight[1]);
            for (int64_t k = 0; k < c; k += VL) {
                const int64_t some = nn_min(VL, c - k);
                vec v = load_lanes(upper + left + k, some);
                if (a->taps == 2) {
                    const vec top = vfma(load_lanes(upper + right + k, some), a1, v * a0);
                    const vec bottom = vfma(load_lanes(lower + right + k, some), a1,
                                            load_lanes(lower + left + k, some) * a0);
                    v = vfma(bottom, d1, top * d0);
                }
                store_lanes(y + k, v, some);
            }
        }
    }
}

/* How much of the element with this tap is of cell `at`. */
NN_INLINE REAL share_of(const nn_resize_tap *tap, int64_t at, int taps) {
    REAL share = tap->at[0] == at ? (REAL)tap->weight[0] : 0;
    if (taps == 2 && tap->at[1] == at) share += (REAL)tap->weight[1];
    return share;
}

/* Elements first ... end - 1 of an axis are made of cell `at`, in part; `first` is where the cell before it began. */
NN_INLINE int64_t takers(const nn_resize_tap *tap, int taps, int64_t count, int64_t at, int64_t *first) {
    while (*first < count && tap[*first].at[taps - 1] < at) ++*first;
    int64_t end = *first;
    while (end < count && tap[end].at[0] <= at) end++;
    return end;
}

/* A cell of dx: rows x cols elements from dy on were made of it, how much of each in `down` and `across`. */
typedef struct cell {
    const REAL *dy;
    int64_t rows, cols, row, col; /* row, col: elements from one to the next one down, to the right */
    const nn_resize_tap *down, *across;
    int64_t h, w;
    int taps;
} cell;

NN_INLINE void gather(REAL *dx, const cell *s, int64_t c, int vecs, int64_t lanes) {
    vec total[4] = {{0}, {0}, {0}, {0}};
    for (int64_t i = 0; i < s->rows; i++) {
        const REAL down = share_of(s->down + i, s->h, s->taps), *dy = s->dy + i * s->row + c;
        for (int64_t j = 0; j < s->cols; j++, dy += s->col) {
            const vec share = vset(down * share_of(s->across + j, s->w, s->taps));
            NN_UNROLL(4) for (int v = 0; v < vecs; v++)
                total[v] = vfma(load_lanes(dy + v * VL, lanes), share, total[v]);
        }
    }
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) store_lanes(dx + c + v * VL, total[v], lanes);
}

/* Whether no two elements along an axis are made of one cell: an image was made smaller, by copying. */
static inline bool is_scattered(const nn_resize_tap *tap, int taps, int64_t count) {
    for (int64_t i = 1; i < count; i++)
        if (tap[i].at[0] == tap[i - 1].at[0]) return false;
    return taps == 1;
}

/* A row of dx, of which some cells are the whole of one element of dy each, and the others of none. */
static inline void scatter(const nn_resize2d_args *a, REAL *dx, const REAL *dy) {
    const int64_t c = a->c;
    memset(dx, 0, (size_t)(a->w * c) * sizeof(REAL));
    for (int64_t j = 0; dy && j < a->out_w; j++, dy += c) {
        REAL *to = dx + a->across[j].at[0] * c;
        int64_t k = 0;
        for (; k + VL <= c; k += VL) vstore(to + k, vload(dy + k) + vset(0)); /* a sum of one: -0 becomes 0 */
        if (k < c) vstore_some(to + k, vload_some(dy + k, c - k) + vset(0), c - k);
    }
}

/* begin and end count rows of dx, of all images: each cell adds up the elements that were made of it. */
NN_DEFINE_KERNEL(resize2d_backward) {
    const nn_resize2d_args *a = args;
    const int64_t c = a->c;
    const bool scattered = is_scattered(a->across, a->taps, a->out_w);
    cell s = {.row = a->out_w * c, .col = c, .taps = a->taps};
    REAL *dx = (REAL *)a->dx + begin * a->w * c;
    for (int64_t r = begin; r < end; r++) {
        int64_t top = 0, left = 0;
        s.h = r % a->h;
        s.rows = takers(a->down, a->taps, a->out_h, s.h, &top) - top;
        s.down = a->down + top;
        const REAL *row = (const REAL *)a->dy + (r / a->h * a->out_h + top) * s.row;
        if (s.rows == 0 || (scattered && s.rows == 1)) {
            scatter(a, dx, s.rows ? row : NULL);
            dx += a->w * c;
            continue;
        }
        for (s.w = 0; s.w < a->w; s.w++, dx += c) {
            s.cols = takers(a->across, a->taps, a->out_w, s.w, &left) - left;
            s.across = a->across + left;
            s.dy = row + left * c;
            int64_t k = 0;
            for (; k + 4 * VL <= c; k += 4 * VL) gather(dx, &s, k, 4, VL);
            for (; k < c; k += VL) gather(dx, &s, k, 1, nn_min(VL, c - k));
        }
    }
}
