/*
 * prelu: y = x where x > 0, else weight x; and its backward. begin and end count rows of the matrix of prelu.h, of
 * backward those of one piece.
 *
 *     dx = dy where x > 0, else weight dy         partial = column sums of x dy where not x > 0
 */
#include "template.h"

#include "elementwise.h"
#include "prelu.h"

NN_INLINE vec bent(vec x, vec weight) { return vselect(x > vset(0), x, weight * x); }
NN_INLINE vec bent_alike(vec x, given g) { return bent(x, g.a); }

NN_DEFINE_KERNEL(prelu_forward) {
    const nn_prelu_args *a = args;
    const int64_t first = begin * a->width, last = nn_min(end * a->width, a->count);
    if (a->one) {
        const given g = {.a = vset(((const REAL *)a->weight)[0])};
        elementwise_unary_given(a->y, a->x, first, last, bent_alike, g);
        return;
    }
    for (int64_t at = first; at < last; at += a->width)
        elementwise_binary((REAL *)a->y + at, (const REAL *)a->x + at, a->weight, 0, a->width, bent);
}

enum { VECS = 4 }; /* of columns, side by side down the rows: a row's part is whole cache lines */

/* dx of a strip of columns, and partial += its sums. */
NN_INLINE void strip_backward(const nn_prelu_args *a, double *partial, int64_t begin, int64_t end, int64_t column,
                              int vecs, int64_t lanes) {
    const REAL *weight = a->weight, *from = (const REAL *)a->x + column, *grad = (const REAL *)a->dy + column;
    REAL *to = a->dx ? (REAL *)a->dx + column : NULL;
    const int64_t pitch = a->width;
    vec slope[VECS], sum[VECS];
    NN_UNROLL(4) for (int v = 0; v < vecs; v++) {
        slope[v] = a->one ? vset(weight[0]) : load_lanes(weight + column + v * VL, lanes);
        sum[v] = vset(0);
    }
    for (int64_t row = begin; row < end; row++)
        NN_UNROLL(4) for (int v = 0; v < vecs; v++) {
            const vec x = load_lanes(from + row * pitch + v * VL, lanes);
            const vec dy = load_lanes(grad + row * pitch + v * VL, lanes);
            const ivec right = x > vset(0);
            sum[v] = vfma(vselect(right, vset(0), x), dy, sum[v]);
            if (to) store_lanes(to + row * pitch + v * VL, vselect(right, dy, slope[v] * dy), lanes);
        }
    NN_UNROLL(4) for (int v = 0; partial && v < vecs; v++)
        for (int64_t i = 0; i < lanes; i++) partial[column + v * VL + i] += (double)sum[v][i];
}

/* Rows of `width` elements, which lie a->width apart. */
NN_INLINE void rows_backward(const nn_prelu_args *a, double *partial, int64_t begin, int64_t end, int64_t width) {
    int64_t column = 0;
    for (; column + VECS * VL <= width; column += VECS * VL)
        strip_backward(a, partial, begin, end, column, VECS, VL);
    for (; column < width; column += VL)
        strip_backward(a, partial, begin, end, column, 1, nn_min(VL, width - column));
}

NN_DEFINE_KERNEL(prelu_backward) {
    const nn_prelu_args *a = args;
    const int64_t whole = nn_min(end, a->count / a->width);
    double *partial = a->partial ? a->partial + begin / a->rows_a_piece * a->width : NULL;
    for (int64_t i = 0; partial && i < a->width; i++) partial[i] = 0;
    rows_backward(a, partial, begin, whole, a->width);
    if (whole < end) rows_backward(a, partial, whole, end, a->count - whole * a->width);
}
