/*
 * label_loss.h: the loss of a row of logits or log-probabilities, by labels or by a target of probabilities.
 */
#ifndef NN_KERNELS_LABEL_LOSS_H
#define NN_KERNELS_LABEL_LOSS_H

#include "loss.h"

/* q of loss.h at (row, j), but for the label's own; 0 in the lanes beyond. */
NN_INLINE vec share_at(const nn_softmax_args *a, int64_t row, int64_t j, int64_t lanes) {
    vec q = vset((REAL)a->spread);
    if (a->target)
        q = vfma(load_lanes((const REAL *)a->target + row * a->classes + j, lanes), vset((REAL)a->kept), q);
    if (a->weight) q *= load_lanes((const REAL *)a->weight + j, lanes);
    return vselect(vmask(lanes), q, vset(0));
}

NN_INLINE double weight_of(const nn_softmax_args *a, int64_t label) {
    return a->weight ? (double)((const REAL *)a->weight)[label] : 1;
}

/* The loss of a row whose log sum exp is log_sum + top; kept in `losses` too, if they are wanted. */
NN_INLINE double label_loss(const nn_softmax_args *a, int64_t row, const REAL *x, double log_sum, double top) {
    const int64_t label = a->labels ? a->labels[row] : 0;
    double loss = 0;
    const bool counts = !a->labels || label != a->ignored;
    if (a->labels && counts) loss = a->kept * weight_of(a, label) * (log_sum + (top - (double)x[label]));
    if (counts && (a->target || a->spread != 0)) {
        vec all = vset(0), far = vset(0);
        for (int64_t j = 0; j < a->classes; j += VL) {
            const int64_t lanes = nn_min(VL, a->classes - j);
            const vec q = share_at(a, row, j, lanes), below = vset((REAL)top) - load_lanes(x + j, lanes);
            all += q;
            far = vselect(vmask(lanes), vfma(q, below, far), far);
        }
        loss += (double)vsum(all) * log_sum + (double)vsum(far);
    }
    if (a->losses) ((REAL *)a->losses)[row] = (REAL)loss;
    return loss;
}

#endif
