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

/* to += from * by */
static inline void add(REAL *to, const REAL *from, vec by, int64_t count) {
    for (int64_t k = 0; k < count; k += VL) {
        const int64_t some = nn_min(VL, count - k);
        store_lanes(to + k, vfma(load_lanes(from + k, some), by, load_lanes(to + k, some)), some);
    }
}

/* begin and end count rows of dx, of all images: each takes from the rows of dy that it was part of. */
NN_DEFINE_KERNEL(resize2d_backward) {
    const nn_resize2d_args *a = args;
    const int64_t c = a->c;
    for (int64_t r = begin; r < end; r++) {
        REAL *dx = (REAL *)a->dx + r * a->w * c;
        memset(dx, 0, (size_t)(a->w * c) * sizeof(REAL));
        for (int64_t i = 0; i < a->out_h; i++)
            for (int t = 0; t < a->taps; t++) {
                if (a->down[i].at[t] != r % a->h) continue;
                const REAL share = (REAL)a->down[i].weight[t];
                const REAL *dy = (const REAL *)a->dy + (r / a->h * a->out_h + i) * a->out_w * c;
                for (int64_t j = 0; j < a->out_w; j++, dy += c)
                    for (int u = 0; u < a->taps; u++)
                        add(dx + a->across[j].at[u] * c, dy, vset(share * (REAL)a->across[j].weight[u]), c);
            }
    }
}
