/*
 * maxpool2d_forward: y (n, out_h, out_w, c) = the largest of each window of x (n, h, w, c), channel by channel,
 * and where in the window it stood.
 *
 * begin and end count rows of y, of all images.
 *
 * A window is read in row-major order by vectors of channels. Padding is never read: a window at the border
 * is a smaller one. The first NaN wins; without NaN the first of the largest.
 */
#include "template.h"

#include "maxpool2d.h"
#include "maxpool2d_2x2.h"
#include "winner.h"

/* The inside of a window: rows x cols taps, the first of them at x and number `first` in the whole window. */
typedef struct patch {
    const REAL *x, *x_end; /* x_end: of all images */
    int64_t rows, cols;
    int64_t row, col;    /* elements from one tap to the next one down, to the right */
    int64_t first, wide; /* `wide` taps lie in a row of the whole window */
} patch;

/* Where results go: element `at` of y and index and on; this piece writes up to `end`. */
typedef struct place {
    REAL *y;
    void *index;
    int64_t at, end;
    int bytes;
} place;

/* What the compiler is to know about a call. */
typedef struct form {
    bool indexed;
    bool calm;  /* no NaN in x */
    bool known; /* the number of taps: unroll them */
} form;

/* One more tap: it wins if it is larger or the first NaN. */
NN_INLINE void take(vec *best, ivec *winner, vec v, ivec tap, form f) {
    if (f.calm && !f.indexed) {
        *best = vmax(v, *best);
        return;
    }
    const ivec wins = f.calm ? v > *best : ~(v <= *best) & (*best == *best);
    *best = f.calm ? vmax(v, *best) : vselect(wins, v, *best);
    *winner = (wins & tap) | (~wins & *winner);
}

/* The tap in row i and column j of `vecs` vectors of windows side by side, of the last one `count` lanes. */
NN_INLINE void take_tap(vec best[4], ivec winner[4], const patch *p, int64_t i, int64_t j, int64_t c, int vecs,
                        int64_t count, form f) {
    const ivec tap = ivset((INT)(p->first + i * p->wide + j));
    const REAL *x = p->x + i * p->row + j * p->col + c;
    NN_UNROLL(4) for (int v = 0; v < vecs; v++)
        take(&best[v], &winner[v], load_lanes(x + v * VL, count), tap, f);
}

NN_INLINE void pool_vectors(const patch *p, int64_t rows, int64_t cols, int64_t c, int vecs, int64_t count,
                            place to, form f) {
    vec best[4];
    ivec winner[4];
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) {
        best[v] = load_lanes(p->x + c + v * VL, count);
        winner[v] = ivset((INT)p->first);
    }
    if (f.known) {
        NN_UNROLL(3) for (int64_t i = 0; i < rows; i++)
            NN_UNROLL(3) for (int64_t j = i == 0; j < cols; j++)
                take_tap(best, winner, p, i, j, c, vecs, count, f);
    } else {
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = i == 0; j < cols; j++) take_tap(best, winner, p, i, j, c, vecs, count, f);
    }
    to.at += c;
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) store_lanes(to.y + to.at + v * VL, best[v], count);
    if (!f.indexed) return;
    if (vecs == 4 && to.bytes == 1) {
        winner_pack4((uint8_t *)to.index + to.at, winner);
        return;
    }
    NN_UNROLL(4) for (int v = 0; v < vecs; v++)
        winner_store(to.index, to.at + v * VL, winner[v], count, to.bytes);
}

/*
 * `count` windows whose elements lie side by side: the channels of one, or of a whole row where windows are
 * one pixel apart. The last vector overlaps the one before it. Fewer than VL run over into the windows that
 * this piece will do next, unless none are left.
 */
NN_INLINE void pool_run(const patch *p, int64_t rows, int64_t cols, int64_t count, place to, form f) {
    int64_t c = 0;
    for (; c + 4 * VL <= count; c += 4 * VL) pool_vectors(p, rows, cols, c, 4, VL, to, f);
    for (; c + VL <= count; c += VL) pool_vectors(p, rows, cols, c, 1, VL, to, f);
    if (c == count) return;
    const REAL *last = p->x + (rows - 1) * p->row + (cols - 1) * p->col;
    if (count > VL) pool_vectors(p, rows, cols, count - VL, 1, VL, to, f);
    else if (to.end - to.at >= VL && p->x_end - last >= VL) pool_vectors(p, rows, cols, 0, 1, VL, to, f);
    else pool_vectors(p, rows, cols, 0, 1, count, to, f);
}

/* `windows` windows of rows x cols taps inside, `step` elements of x apart. */
NN_INLINE void pool_row(patch p, int64_t rows, int64_t cols, int64_t windows, int64_t step, int64_t count, place to,
                        form f) {
    for (int64_t i = 0; i < windows; i++) {
        pool_run(&p, rows, cols, count, to, f);
        p.x += step;
        to.at += count;
    }
}

/* A function for each form, so that each has its registers to itself. */
typedef void pool_fn(patch p, int64_t windows, int64_t step, int64_t count, place to);

/* The window is known, its taps are unrolled, its index is of bytes. */
#define POOL_KNOWN(name, size, ...)                                                                            \
    static NN_NOINLINE void name(patch p, int64_t windows, int64_t step, int64_t count, place to) {            \
        p.first = 0;                                                                                           \
        p.wide = size;                                                                                         \
        to.bytes = 1;                                                                                          \
        pool_row(p, size, size, windows, step, count, to, (form){.known = true, __VA_ARGS__});                 \
    }
POOL_KNOWN(pool_known_2x2, 2, .indexed = false)
POOL_KNOWN(pool_known_2x2_indexed, 2, .indexed = true)

/* Any window with an index of bytes or none: those at the border, and all where nothing better is compiled. */
#define POOL_ANY(name, ...)                                                                                    \
    static NN_NOINLINE void name(patch p, int64_t windows, int64_t step, int64_t count, place to) {            \
        to.bytes = 1;                                                                                          \
        pool_row(p, p.rows, p.cols, windows, step, count, to, (form){__VA_ARGS__});                            \
    }
POOL_ANY(pool_any, .indexed = false)
POOL_ANY(pool_any_indexed, .indexed = true)
POOL_ANY(pool_any_calm, .calm = true)
POOL_ANY(pool_any_calm_indexed, .calm = true, .indexed = true)

/* A window of more than 255 elements, with an index. */
static NN_NOINLINE void pool_large(patch p, int64_t windows, int64_t step, int64_t count, place to) {
    for (int64_t i = 0; i < windows; i++, p.x += step, to.at += count)
        for (int64_t c = 0; c < count; c += VL)
            pool_vectors(&p, p.rows, p.cols, c, 1, nn_min(VL, count - c), to, (form){.indexed = true});
}

/* What runs whole windows and what runs those at the border, for calm rows of x or any. */
typedef struct choice {
    pool_fn *inside, *border;
} choice;

static choice choose(const nn_maxpool2d_args *a, bool calm) {
    const bool indexed = a->index, square = a->kernel[0] == a->kernel[1];
    if (indexed && a->index_bytes > 1) return (choice){pool_large, pool_large};
    pool_fn *any = indexed ? (calm ? pool_any_calm_indexed : pool_any_indexed) : calm ? pool_any_calm : pool_any;
    if (square && a->kernel[0] == 2) return (choice){indexed ? pool_known_2x2_indexed : pool_known_2x2, any};
    return (choice){any, any};
}

/* Whether all elements are finite. 0 * x is NaN for an infinite x as well: one instruction for both. */
static NN_NOINLINE bool is_finite(const REAL *x, int64_t count) {
    vec sum[4] = {{0}, {0}, {0}, {0}};
    int64_t i = 0;
    for (; i + 4 * VL <= count; i += 4 * VL)
        NN_UNROLL(4) for (int v = 0; v < 4; v++) sum[v] = vfma(vload(x + i + v * VL), vset(0), sum[v]);
    for (; i < count; i += VL) sum[0] = vfma(vload_some(x + i, nn_min(VL, count - i)), vset(0), sum[0]);
    return vsum((sum[0] + sum[1]) + (sum[2] + sum[3])) == 0;
}

/* ReLU of elements `at` to `end` of y, which are in the cache; where that is 0 no element has won. */
static NN_NOINLINE void rectify(const nn_maxpool2d_args *a, int64_t at, int64_t end) {
    const ivec none = winner_pattern(nn_maxpool2d_none(a), a->index_bytes);
    for (; at < end; at += VL) {
        const int64_t count = nn_min(VL, end - at);
        const vec y = load_lanes((REAL *)a->y + at, count);
        const ivec zero = y <= vset(0);
        store_lanes((REAL *)a->y + at, vselect(zero, vset(0), y), count);
        if (!a->index) continue;
        const ivec winner = winner_load(a->index, at, count, end, a->index_bytes);
        winner_store(a->index, at, (zero & none) | (~zero & winner), count, a->index_bytes);
    }
}

/*
 * Where windows overlap, each element is compared several times, with half the instructions if all of the
 * window's rows are finite: so each row of x is asked first, once.
 */
NN_DEFINE_KERNEL(maxpool2d_forward) {
    const nn_maxpool2d_args *a = args;
    const int64_t c = a->c, row = a->w * c, stride = a->stride[1];
    const REAL *images = a->x;
    patch p = {.x_end = images + a->n * a->h * row, .row = a->dilation[0] * row, .col = a->dilation[1] * c,
               .wide = a->kernel[1]};
    place to = {.y = a->y, .index = a->index, .bytes = a->index_bytes, .end = end * a->out_w * c};
    const nn_range inside = nn_windows_inside(a);
    const bool ask = a->kernel[0] * a->kernel[1] >= 4 * a->stride[0] * stride;
    if (pool_2x2_fits(a)) begin = pool_2x2(a, begin, end);
    const choice choices[2] = {choose(a, false), choose(a, true)};

    int64_t image = begin / a->out_h, i = begin % a->out_h;
    int64_t asked = 0, wild = -1; /* rows of x, of all images: asked up to here, the last one not finite */
    for (int64_t r = begin; r < end; r++) {
        const int64_t start = nn_window_start(a, 0, i);
        const nn_taps down = nn_window_taps(a, 0, i, start);
        const int64_t top = image * a->h + start + down.first * a->dilation[0];
        const int64_t bottom = top + (down.count - 1) * a->dilation[0] + 1;
        for (asked = nn_max(asked, top); ask && asked < bottom; asked++)
            if (!is_finite(images + asked * row, row)) wild = asked;
        const choice *use = &choices[ask && wild < top];
        p.rows = down.count;
        to.at = r * a->out_w * c;
        for (int64_t j = 0; j < a->out_w;) {
            const int64_t at = nn_window_start(a, 1, j);
            const bool whole = j >= inside.first && j < inside.end;
            const nn_taps across = whole ? (nn_taps){0, a->kernel[1]} : nn_window_taps(a, 1, j, at);
            const int64_t windows = whole ? inside.end - j : 1;
            p.x = images + top * row + (at + across.first * a->dilation[1]) * c;
            p.cols = across.count;
            p.first = down.first * a->kernel[1] + across.first;
            pool_fn *pool = whole && down.count == a->kernel[0] ? use->inside : use->border;
            /* Windows one pixel apart are one window of many channels. */
            if (stride == 1) pool(p, 1, 0, windows * c, to);
            else pool(p, windows, stride * c, c, to);
            j += windows;
            to.at += windows * c;
        }
        if (++i == a->out_h) i = 0, image++;
    }
    if (a->relu) rectify(a, begin * a->out_w * c, end * a->out_w * c);
}
