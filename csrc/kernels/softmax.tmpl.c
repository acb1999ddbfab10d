/*
 * softmax: probabilities and their logarithms of logits x (n, classes), and cross-entropy in the same go. begin and
 * end count rows.
 *
 *     p[i][j] = exp(x[i][j] - top[i]) / sum[i],   top[i] = max_j x[i][j],   sum[i] = sum_j exp(x[i][j] - top[i])
 *     log p[i][j] = x[i][j] - top[i] - log(sum[i])
 *     loss[i] = sum over j of q[i][j] (log(sum[i]) + top[i] - x[i][j]), q as loss.h says
 *
 * No exponent is above 0, so nothing overflows. A NaN or +inf among the logits makes its row NaN, as does a row of
 * -inf alone: NaN - top and inf - inf reach the sum; the maximum itself need not propagate NaN.
 */
#include "template.h"

#include "label_loss.h"
#include "loss.h"
#include "vmath.h"

/* Up to this many classes VL rows go side by side, one in each lane; beyond, a row goes along the vector. */
enum { NARROW_CLASSES = 2 * VL, CHUNK_ROWS = 64 };

NN_INLINE vec larger(vec a, vec b) { return vselect(b > a, b, a); }

/*
 * VL rows side by side: transposed into `lanes` (classes vectors, one row a lane), worked on there, and written
 * back. Where fewer than VL rows are left, the spare lanes repeat the last one.
 */
static NN_NOINLINE void softmax_narrow(REAL *p, REAL *sums, REAL *tops, const REAL *x, int64_t rows, int64_t classes) {
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
static NN_NOINLINE void softmax_wide(REAL *p, REAL *sums, REAL *tops, const REAL *x, int64_t classes) {
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

/* y = x - top - log_sum, a row */
static inline void logarithms_of(REAL *y, const REAL *x, REAL top, REAL log_sum, int64_t classes) {
    for (int64_t j = 0; j < classes; j += VL) {
        const int64_t lanes = nn_min(VL, classes - j);
        store_lanes(y + j, load_lanes(x + j, lanes) - vset(top) - vset(log_sum), lanes);
    }
}

NN_DEFINE_KERNEL(softmax_forward) {
    const nn_softmax_args *a = args;
    const int64_t classes = a->classes;
    const bool plain = a->labels && !a->weight && a->spread == 0 && !a->losses; /* in fewer instructions a row */
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
        if (a->logarithms)
            for (int64_t i = 0; i < rows; i++)
                logarithms_of((REAL *)a->logarithms + (first + i) * classes, x + i * classes, tops[i], sums[i],
                              classes);
        if (plain)
            for (int64_t i = 0; i < rows; i++) {
                const int64_t label = a->labels[first + i];
                if (label != a->ignored)
                    total += (double)sums[i] + ((double)tops[i] - (double)x[i * classes + label]);
            }
        else if (a->labels || a->target)
            for (int64_t i = 0; i < rows; i++)
                total += label_loss(a, first + i, x + i * classes, (double)sums[i], (double)tops[i]);
    }
    if (a->partial) a->partial[begin / a->rows_a_piece] = total;
}

/*
 * From y: dx = y (dy - sum of dy y), and of the logarithms dx = dy - exp(y) (sum of dy), row by row.
 */
NN_DEFINE_KERNEL(softmax_backward) {
    const nn_softmax_args *a = args;
    const int64_t classes = a->classes;
    for (int64_t row = begin; row < end; row++) {
        const REAL *y = (const REAL *)a->saved + row * classes, *dy = (const REAL *)a->dy + row * classes;
        REAL *dx = (REAL *)a->dx + row * classes;
        vec sum = vset(0);
        for (int64_t j = 0; j < classes; j += VL) {
            const int64_t lanes = nn_min(VL, classes - j);
            const vec d = load_lanes(dy + j, lanes);
            sum = a->of_logarithms ? sum + d : vfma(d, load_lanes(y + j, lanes), sum);
        }
        const vec total = vset(vsum(sum));
        for (int64_t j = 0; j < classes; j += VL) {
            const int64_t lanes = nn_min(VL, classes - j);
            const vec d = load_lanes(dy + j, lanes), v = load_lanes(y + j, lanes);
            const vec own = a->of_logarithms ? d - vexp_nonpositive(v) * total : v * (d - total);
            store_lanes(dx + j, own, lanes);
        }
    }
}
