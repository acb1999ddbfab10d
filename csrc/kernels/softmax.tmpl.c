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

/* Elements of the rows that are worked on together: they stay in the first-level cache. */
enum { TOGETHER = 4096 };

NN_INLINE vec larger(vec a, vec b) { return vmax(b, a); } /* b > a ? b : a */

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

/* As vsum folds. */
NN_INLINE REAL largest_lane(vec v) {
#if VEC_BYTES == 32 && NN_BITS == 32
    const __m128 low = _mm256_castps256_ps128((__m256)v), half = _mm_max_ps(_mm256_extractf128_ps((__m256)v, 1), low);
    const __m128 two = _mm_max_ps(_mm_movehl_ps(half, half), half);
    return _mm_cvtss_f32(_mm_max_ss(_mm_movehdup_ps(two), two));
#else
    REAL lane[VL];
    vstore(lane, v);
    for (int width = VL / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lane[i] = lane[i + width] > lane[i] ? lane[i + width] : lane[i];
    return lane[0];
#endif
}

static inline REAL top_of(const REAL *x, int64_t classes) {
    vec best[2] = {vset(-(REAL)__builtin_inf()), vset(-(REAL)__builtin_inf())}; /* to cover a comparison's latency */
    int64_t at = 0;
    for (; at + 2 * VL <= classes; at += 2 * VL) {
        best[0] = larger(best[0], vload(x + at));
        best[1] = larger(best[1], vload(x + at + VL));
    }
    /* What is left, from vectors that end with the row: a number may be looked at twice. */
    if (at + VL < classes) best[0] = larger(best[0], vload(x + at));
    best[1] = larger(best[1], vload(x + classes - VL));
    return largest_lane(larger(best[0], best[1]));
}

/* p = exp(x - top), a row, where there is a p; returns the sum. */
static inline REAL exponentials_of(REAL *p, const REAL *x, REAL top, int64_t classes) {
    vec sum[2] = {{0}};
    int64_t j = 0;
    for (; j + VL <= classes; j += VL) {
        const vec e = vexp_nonpositive(vload(x + j) - vset(top));
        const vec more = sum[0] + e;
        sum[0] = sum[1], sum[1] = more; /* in turn */
        if (p) vstore(p + j, e);
    }
    const int64_t rest = classes - j;
    if (rest > 0) {
        const vec e = vexp_nonpositive(vload_some(x + j, rest) - vset(top));
        sum[0] += vselect(vmask(rest), e, vset(0));
        if (p) vstore_some(p + j, e, rest);
    }
    return vsum(sum[0] + sum[1]);
}

/*
 * Rows along the vector, of NARROW_CLASSES and more. Each step is taken for all of them before the next one: a row's
 * own steps wait for each other.
 */
static NN_NOINLINE void softmax_wide(REAL *p, REAL *sums, REAL *tops, const REAL *x, int64_t rows, int64_t classes) {
    for (int64_t i = 0; i < rows; i++) tops[i] = top_of(x + i * classes, classes);
    for (int64_t i = 0; i < rows; i++)
        sums[i] = exponentials_of(p ? p + i * classes : NULL, x + i * classes, tops[i], classes);
    for (int64_t i = 0; p && i < rows; i++) {
        REAL *y = p + i * classes;
        const vec inverse = vset(1) / vset(sums[i]);
        int64_t j = 0;
        for (; j + VL <= classes; j += VL) vstore(y + j, vload(y + j) * inverse);
        if (j < classes) vstore_some(y + j, vload_some(y + j, classes - j) * inverse, classes - j);
    }
}

/* y = x - top - log_sum, a row */
static inline void logarithms_of(REAL *y, const REAL *x, REAL top, REAL log_sum, int64_t classes) {
    int64_t j = 0;
    for (; j + VL <= classes; j += VL) vstore(y + j, vload(x + j) - vset(top) - vset(log_sum));
    if (j < classes) vstore_some(y + j, vload_some(x + j, classes - j) - vset(top) - vset(log_sum), classes - j);
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
            const int64_t some = nn_max(1, TOGETHER / classes);
            for (int64_t i = 0; i < rows; i += some)
                softmax_wide(p ? p + i * classes : NULL, sums + i, tops + i, x + i * classes, nn_min(some, rows - i),
                             classes);
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

/* One vector of a row of softmax_backward: what it adds to the sum, and dx. */
NN_INLINE vec term_of(bool logarithms, const REAL *y, const REAL *dy, int64_t lanes, vec sum) {
    const vec d = load_lanes(dy, lanes);
    return logarithms ? sum + d : vfma(d, load_lanes(y, lanes), sum);
}

NN_INLINE void write_dx(bool logarithms, REAL *dx, const REAL *y, const REAL *dy, int64_t lanes, vec total) {
    const vec d = load_lanes(dy, lanes), v = load_lanes(y, lanes);
    store_lanes(dx, logarithms ? d - vexp_nonpositive(v) * total : v * (d - total), lanes);
}

NN_INLINE void backward(const nn_softmax_args *a, int64_t begin, int64_t end, bool logarithms) {
    const int64_t classes = a->classes, pairs = classes / (2 * VL) * (2 * VL);
    for (int64_t row = begin; row < end; row++) {
        const REAL *y = (const REAL *)a->saved + row * classes, *dy = (const REAL *)a->dy + row * classes;
        REAL *dx = (REAL *)a->dx + row * classes;
        vec sum[2] = {{0}};
        int64_t j = 0;
        for (; j < pairs; j += 2 * VL) {
            sum[0] = term_of(logarithms, y + j, dy + j, VL, sum[0]);
            sum[1] = term_of(logarithms, y + j + VL, dy + j + VL, VL, sum[1]);
        }
        for (; j < classes; j += VL) sum[0] = term_of(logarithms, y + j, dy + j, nn_min(VL, classes - j), sum[0]);
        const vec total = vset(vsum(sum[0] + sum[1]));
        for (j = 0; j < pairs; j += 2 * VL) {
            write_dx(logarithms, dx + j, y + j, dy + j, VL, total);
            write_dx(logarithms, dx + j + VL, y + j + VL, dy + j + VL, VL, total);
        }
        for (; j < classes; j += VL) write_dx(logarithms, dx + j, y + j, dy + j, nn_min(VL, classes - j), total);
    }
}

/*
 * From y: dx = y (dy - sum of dy y), and of the logarithms dx = dy - exp(y) (sum of dy), row by row.
 */
NN_DEFINE_KERNEL(softmax_backward) {
    const nn_softmax_args *a = args;
    if (a->of_logarithms) backward(a, begin, end, true);
    else backward(a, begin, end, false);
}
