/*
 * label_loss: the gradient of cross-entropy, and the likelihood of labels from log-probabilities, there and back.
 * begin and end count rows.
 *
 *     cross-entropy   dx = ((sum of q) p - q) scale dy, q as loss.h says
 *     likelihood      loss = -x[label] weight[label],   dx = -weight[label] scale dy at the label, else 0
 */
#include "template.h"

#include "label_loss.h"
#include "loss.h"

NN_INLINE double factor_of(const nn_softmax_args *a, int64_t row) {
    return a->dy ? a->scale * (double)((const REAL *)a->dy)[row] : a->scale;
}

NN_INLINE void clear(REAL *dx, int64_t classes) {
    for (int64_t j = 0; j < classes; j++) dx[j] = 0;
}

/* One factor for all, labels alone: the rows are one array but for their labels. */
static void plain_backward(const nn_softmax_args *a, int64_t begin, int64_t end) {
    const REAL *p = a->saved;
    REAL *dx = a->dx;
    const REAL factor = (REAL)a->scale;
    const vec scale = vset(factor);
    const int64_t stop = end * a->classes;
    int64_t i = begin * a->classes;
    for (; i + VL <= stop; i += VL) vstore(dx + i, vload(p + i) * scale);
    if (i < stop) vstore_some(dx + i, vload_some(p + i, stop - i) * scale, stop - i);
    for (int64_t row = begin; row < end; row++) {
        const int64_t label = a->labels[row], at = row * a->classes;
        /* p - 1 before scaling: exact where p is near 1, which is where training leads. */
        if (label != a->ignored) dx[at + label] = (p[at + label] - 1) * factor;
        else clear(dx + at, a->classes);
    }
}

NN_DEFINE_KERNEL(cross_entropy_backward) {
    const nn_softmax_args *a = args;
    if (a->labels && !a->weight && a->spread == 0 && !a->dy) {
        plain_backward(a, begin, end);
        return;
    }
    for (int64_t row = begin; row < end; row++) {
        const REAL *p = (const REAL *)a->saved + row * a->classes;
        REAL *dx = (REAL *)a->dx + row * a->classes;
        const int64_t label = a->labels ? a->labels[row] : 0;
        if (a->labels && label == a->ignored) {
            clear(dx, a->classes);
            continue;
        }
        vec all = vset(0);
        for (int64_t j = 0; a->target && j < a->classes; j += VL)
            all += share_at(a, row, j, nn_min(VL, a->classes - j));
        const double own = a->labels ? a->kept * weight_of(a, label) : 0;
        const double rest = a->target ? (double)vsum(all) : a->spread * a->all, factor = factor_of(a, row);
        const vec whole = vset((REAL)(own + rest)), scale = vset((REAL)factor);
        for (int64_t j = 0; j < a->classes; j += VL) {
            const int64_t lanes = nn_min(VL, a->classes - j);
            const vec less = load_lanes(p + j, lanes) * whole - share_at(a, row, j, lanes);
            store_lanes(dx + j, less * scale, lanes);
        }
        if (!a->labels) continue;
        const double at_label = (double)p[label];
        dx[label] = (REAL)(factor * (own * (at_label - 1) + (rest * at_label - a->spread * weight_of(a, label))));
    }
}

NN_DEFINE_KERNEL(nll_forward) {
    const nn_softmax_args *a = args;
    double total = 0;
    for (int64_t row = begin; row < end; row++)
        total += label_loss(a, row, (const REAL *)a->x + row * a->classes, 0, 0);
    if (a->partial) a->partial[begin / a->rows_a_piece] = total;
}

NN_DEFINE_KERNEL(nll_backward) {
    const nn_softmax_args *a = args;
    for (int64_t row = begin; row < end; row++) {
        REAL *dx = (REAL *)a->dx + row * a->classes;
        const int64_t label = a->labels[row];
        clear(dx, a->classes);
        if (label != a->ignored) dx[label] = (REAL)(-weight_of(a, label) * factor_of(a, row));
    }
}
