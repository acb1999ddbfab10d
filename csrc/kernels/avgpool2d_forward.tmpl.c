/*
 * avgpool2d_forward: y (n, out_h, out_w, c) = the mean of each window of x (n, h, w, c), channel by channel.
 *
 * begin and end count rows of y, of all images.
 *
 * A window is added up row by row, then the rows, by vectors of channels: the mean of a whole image is a window
 * too, and so stays exact. Padding is never read: a window at the border is a smaller one.
 */
#include "template.h"

#include "avgpool2d.h"

/* The inside of a window: rows x cols cells from x on. */
typedef struct patch {
    const REAL *x, *x_end; /* x_end: of all images */
    int64_t rows, cols;
    int64_t row, col; /* elements from one cell to the next one down, to the right */
    REAL divisor;
} patch;

/* `vecs` vectors of channels from c on, of the last one `count` lanes. */
NN_INLINE void mean_vectors(REAL *y, const patch *p, int64_t rows, int64_t cols, int64_t c, int vecs, int64_t count) {
    vec total[4] = {{0}, {0}, {0}, {0}};
    for (int64_t i = 0; i < rows; i++) {
        const REAL *x = p->x + i * p->row + c;
        vec sum[4];
        NN_UNROLL(4) for (int v = 0; v < vecs; v++) sum[v] = load_lanes(x + v * VL, count);
        for (int64_t j = 1; j < cols; j++)
            NN_UNROLL(4) for (int v = 0; v < vecs; v++)
                sum[v] = sum[v] + load_lanes(x + j * p->col + v * VL, count);
        NN_UNROLL(4) for (int v = 0; v < vecs; v++) total[v] = total[v] + sum[v];
    }
    NN_UNROLL(4) for (int v = 0; v < vecs; v++)
        store_lanes(y + c + v * VL, total[v] / vset(p->divisor), count);
}

/*
 * The last vector of channels overlaps the one before it. Fewer channels than a vector run over into the windows
 * that this piece will do next, unless none are left before y_end.
 */
NN_INLINE void mean_run(REAL *y, const REAL *y_end, const patch *p, int64_t rows, int64_t cols, int64_t count) {
    int64_t c = 0;
    for (; c + 4 * VL <= count; c += 4 * VL) mean_vectors(y, p, rows, cols, c, 4, VL);
    for (; c + VL <= count; c += VL) mean_vectors(y, p, rows, cols, c, 1, VL);
    if (c == count) return;
    const REAL *last = p->x + (rows - 1) * p->row + (cols - 1) * p->col;
    if (count > VL) mean_vectors(y, p, rows, cols, count - VL, 1, VL);
    else if (y_end - y >= VL && p->x_end - last >= VL) mean_vectors(y, p, rows, cols, 0, 1, VL);
    else mean_vectors(y, p, rows, cols, 0, 1, count);
}

/* `windows` windows, `step` elements of x apart, of `count` channels each: a function for each size that is known. */
typedef void mean_fn(REAL *y, const REAL *y_end, patch p, int64_t windows, int64_t step, int64_t count);

#define MEAN_ROW(name, rows, cols)                                                                                \
    static NN_NOINLINE void name(REAL *y, const REAL *y_end, patch p, int64_t windows, int64_t step, int64_t count) { \
        for (int64_t i = 0; i < windows; i++, p.x += step, y += count) mean_run(y, y_end, &p, rows, cols, count);  \
    }
MEAN_ROW(mean_2x2, 2, 2)
MEAN_ROW(mean_3x3, 3, 3)
MEAN_ROW(mean_any, p.rows, p.cols)

NN_DEFINE_KERNEL(avgpool2d_forward) {
    const nn_avgpool2d_args *a = args;
    const int64_t c = a->c, row = a->w * c, stride = a->stride[1];
    const REAL *images = a->x;
    REAL *y = (REAL *)a->y + begin * a->out_w * c;
    const REAL *y_end = (REAL *)a->y + end * a->out_w * c;
    patch p = {.x_end = images + a->n * a->h * row, .row = row, .col = c};

    /* Windows first to inside_end of a row lie inside the input's columns. Adaptive ones are cases each of its own. */
    const int64_t first = nn_min((a->padding[1] + stride - 1) / stride, a->out_w);
    const int64_t room = a->adaptive ? -1 : a->w - a->kernel[1] + a->padding[1]; /* where the last of them starts */
    const int64_t inside_end = room < 0 ? first : nn_max(first, nn_min(room / stride + 1, a->out_w));

    int64_t image = begin / a->out_h, i = begin % a->out_h;
    for (int64_t r = begin; r < end; r++) {
        const nn_extent down = nn_extent_of(a, 0, i, a->h);
        p.rows = down.end - down.first;
        for (int64_t j = 0; j < a->out_w;) {
            const nn_extent across = nn_extent_of(a, 1, j, a->w);
            const int64_t windows = j >= first && j < inside_end ? inside_end - j : 1;
            p.x = images + (image * a->h + down.first) * row + across.first * c;
            p.cols = across.end - across.first;
            p.divisor = (REAL)(a->divisor ? a->divisor : down.counted * across.counted);
            mean_fn *mean = p.rows == 2 && p.cols == 2 ? mean_2x2 : p.rows == 3 && p.cols == 3 ? mean_3x3 : mean_any;
            /* Windows one pixel apart are one window of many channels. */
            if (stride == 1) mean(y, y_end, p, 1, 0, windows * c);
            else mean(y, y_end, p, windows, stride * c, c);
            j += windows;
            y += windows * c;
        }
        if (++i == a->out_h) i = 0, image++;
    }
}
