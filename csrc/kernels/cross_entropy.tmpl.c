/*
 * cross_entropy: softmax and the negative logarithm of its value at the label, in one go. begin and end count
 * rows of logits x (n, classes).
 *
 *     p[i][j] = exp(x[i][j] - top[i]) / sum[i],   top[i] = max_j x[i][j],   sum[i] = sum_j exp(x[i][j] - top[i])
 *     loss[i] = log(sum[i]) + top[i] - x[i][label[i]]
 *     dx      = (p - onehot(label)) * scale
 *
 * No exponent is above 0, so nothing overflows. A NaN or +inf among the logits makes its row NaN, as does a row of
 * -inf alone: NaN - top and inf - inf reach the sum; the maximum itself need not propagate NaN.
 */
#include "template.h"

#include "loss.h"
#include "vmath.h"

/* Up to this many classes VL rows go side by side, one in each lane; beyond, a row goes along the vector. */
enum { NARROW_CLASSES = 2 * VL, CHUNK_ROWS = 64 };

NN_INLINE vec larger(vec a, vec b) { return vselect(b > a, b, a); }

/*
 * VL rows side by side: transposed into `lanes` (classes vectors, one row a lane), worked on there, and written
 * back. Where fewer than VL rows are left, the spare lanes repeat the last one.
 */
static inline void softmax_narrow(REAL *p, REAL *sums, REAL *tops, const REAL *x, int64_t rows, int64_t classes) {
    REAL lanes[NARROW_CLASSES * VL];
    int64_t offset[VL];
    for (int i = 0; i < VL; i++) offset[i] = nn_min(i, rows - 1) * classes;
    vec top = vset(-(REAL)__builtin_inf()), sum = vset(0);
    for (int64_t j = 0; j < classes; j++) {
        vec column;
        /* Unrolled, lane numbers are constants: inserts into a register, no round trip through memory. */
        NN_UNROLL(16) for (int i = 0; i < VL; i++) column[i] = x[offset[i] + j];
        vstore(lanes + j * VL, column);
        top = larger(top, column);
    }
    for (int64_t j = 0; j < classes; j++) {
        const vec e = vexp_nonpositive(vload(lanes + j * VL) - top);
        sum += e;
        vstore(lanes + j * VL, e);
    }
    vstore(sums, sum);
    vstore(tops, top);
    if (!p) return;
    const vec inverse = vset(1) / sum;
    for (int64_t j = 0; j < classes; j++) vstore(lanes + j * VL, vload(lanes + j * VL) * inverse);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < classes; j++) p[i * classes + j] = lanes[j * VL + i];
}

/* One row along the vector; lanes past its end hold -inf, whose exponential adds nothing. */
static inline void softmax_wide(REAL *p, REAL *sums, REAL *tops, const REAL *x, int64_t classes) {
    const vec lowest = vset(-(REAL)__builtin_inf());
    const int64_t whole = classes / VL * VL, rest = classes - whole;
    const vec last = vselect(vmask(rest), vload_some(x + whole, rest), lowest);
    vec best[2] = {last, lowest}; /* side by side, to cover the latency of a comparison */
    int64_t at = 0;
    for (; at + 2 * VL <= whole; at += 2 * VL) {
        best[0] = larger(best[0], vload(x + at));
        best[1] = larger(best[1], vload(x + at + VL));
    }
    if (at < whole) best[1] = larger(best[1], vload(x + at));
    REAL lane[VL];
    vstore(lane, larger(best[0], best[1]));
    REAL highest = lane[0];
    for (int i = 1; i < VL; i++) highest = lane[i] > highest ? lane[i] : highest;

    const vec top = vset(highest);
    vec sum = vset(0);
    for (int64_t j = 0; j < whole; j += VL) {
        const vec e = vexp_nonpositive(vload(x + j) - top);
        sum += e;
        if (p) vstore(p + j, e);
    }
    const vec e = vselect(vmask(rest), vexp_nonpositive(last - top), vset(0));
    const REAL total = vsum(sum + e);
    *sums = total;
    *tops = highest;
    if (!p) return;
    const vec inverse = vset(1) / vset(total);
    for (int64_t j = 0; j < whole; j += VL) vstore(p + j, vload(p + j) * inverse);
    vstore_some(p + whole, e * inverse, rest);
}

NN_DEFINE_KERNEL(cross_entropy_forward) {
    const nn_cross_entropy_args *a = args;
    const int64_t classes = a->classes;
    REAL sums[CHUNK_ROWS], tops[CHUNK_ROWS];
    double total = 0;
    for (int64_t first = begin; first < end; first += CHUNK_ROWS) {
        const int64_t rows = nn_min(CHUNK_ROWS, end - first);
        const REAL *x = (const REAL *)a->x + first * classes;
        REAL *p = a->probabilities ? (REAL *)a->probabilities + first * classes : NULL;
        if (classes <= NARROW_CLASSES) {
            for (int64_t i = 0; i < rows; i += VL)
                softmax_narrow(p ? p + i * classes : NULL, sums + i, tops + i, x + i * classes,
                               nn_min(VL, rows - i), classes);
        } else {
            for (int64_t i = 0; i < rows; i++)
                softmax_wide(p ? p + i * classes : NULL, sums + i, tops + i, x + i * classes, classes);
        }
        for (int64_t i = 0; i < rows; i += VL) {
            const int64_t some = nn_min(VL, rows - i);
            vstore_some(sums + i, vlog(vload_some(sums + i, some)), some);
        }
        for (int64_t i = 0; i < rows; i++)
            total += (double)sums[i] + ((double)tops[i] - (double)x[i * classes + a->labels[first + i]]);
    }
    a->partial[begin / a->rows_a_piece] = total;
}

NN_DEFINE_KERNEL(cross_entropy_backward) {
    const nn_cross_entropy_args *a = args;
    const REAL *p = a->saved;
    REAL *dx = a->dx;
    const REAL factor = (REAL)a->scale;
    const vec scale = vset(factor);
    const int64_t stop = end * a->classes;
    int64_t i = begin * a->classes;
    for (; i + VL <= stop; i += VL) vstore(dx + i, vload(p + i) * scale);
    if (i < stop) vstore_some(dx + i, vload_some(p + i, stop - i) * scale, stop - i);
    /* p - 1 before scaling: exact where p is near 1, which is where training leads. */
    for (int64_t row = begin; row < end; row++) {
        const int64_t at = row * a->classes + a->labels[row];
        dx[at] = (p[at] - 1) * factor;
    }
}
