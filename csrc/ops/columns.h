/*
 * columns.h: what BatchNorm and GroupNorm share: the memory of a run, sums of channels in double, coefficients.
 */
#ifndef NN_OPS_COLUMNS_H
#define NN_OPS_COLUMNS_H

#include "../kernels/columns.h"
#include "op.h"

/* One run: views of the caller's buffers and of the workspace. */
typedef struct nn_columns_run {
    const nn_op *op;
    nn_columns cut;
    int64_t pixels;   /* elements of a channel in a sample */
    const void *x, *dy; /* channels-last */
    double *base, *sums[2]; /* [sample][channel]: mean - base and sum of squares about the mean, or sums of dy and of
                               dy (x - mean). base is of the data's size, so that the mean keeps all digits beside it */
    void *partial, *given, *turned; /* turned: the result, where it is turned back after all */
} nn_columns_run;

/* Checks the shape (images; rows of features; rows of channels of `pixels` each) and sets sizes and workspaces. */
nn_status nn_columns_plan(nn_op *op, bool by_sample, nn_error *error);
/* x, in backward dy too, in channels-last memory; by_sample as for the plan. */
nn_columns_run nn_columns_open(const nn_op *op, const nn_io *io, bool by_sample, bool backward);

void nn_columns_moments(nn_columns_run *run);
/* Sums of dy and dy (x - mean) about the means that nn_columns_set was given as the only coefficient. */
void nn_columns_sums(nn_columns_run *run);

/* to = (from - c0) c1 + c2, from like x */
void nn_columns_apply(nn_columns_run *run, void *to, const void *from);
/* dx = dy c0 + ((x - c1) c2 + c3) */
void nn_columns_apply_backward(nn_columns_run *run, void *dx);

/* A function for each dtype: called with a constant, it asks nothing inside its loops. */
#define NN_EACH static inline __attribute__((always_inline))

/* ---- numbers of either dtype ------------------------------------------------------------------------- */

static inline double nn_get(const void *array, nn_dtype dtype, int64_t i) {
    return dtype == NN_FLOAT32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

static inline void nn_put(void *array, nn_dtype dtype, int64_t i, double value) {
    if (dtype == NN_FLOAT32) ((float *)array)[i] = (float)value;
    else ((double *)array)[i] = value;
}

/* array[i], or `otherwise` where there is no array: a weight of 1, a bias of 0. */
static inline double nn_get_or(const void *array, nn_dtype dtype, int64_t i, double otherwise) {
    return array ? nn_get(array, dtype, i) : otherwise;
}

/* The `count` coefficients of a channel. */
static inline void nn_columns_set(nn_columns_run *run, nn_dtype dtype, int64_t sample, int64_t channel, int count,
                                  const double *values) {
    const int64_t columns = run->cut.columns, channels = run->cut.channels, first = sample * count * columns;
    for (int64_t j = channel; j < columns; j += channels)
        for (int k = 0; k < count; k++) nn_put(run->given, dtype, first + k * columns + j, values[k]);
}

static inline double nn_rounded(nn_dtype dtype, double value) { return dtype == NN_FLOAT32 ? (double)(float)value : value; }

static inline double nn_sqrt(double value) { return __builtin_sqrt(value); }

/*
 * What backward needs of a mean and a variance, in three numbers of the dtype: mean (rounded), inverse, and offset, so
 * that (x - mean) inverse + offset is the normalised x: the offset is what rounding took from the mean.
 */
enum { NN_NORM_SAVED = 3 };

typedef struct nn_norm {
    double mean, inverse, offset;
} nn_norm;

/* The mean is base + more. */
static inline nn_norm nn_norm_of(nn_dtype dtype, double base, double more, double variance, double eps) {
    nn_norm norm = {.mean = nn_rounded(dtype, base + more), .inverse = 1 / nn_sqrt(variance + eps)};
    const double lost = (base - norm.mean) + more;
    norm.offset = lost == 0 ? 0 : -lost * norm.inverse; /* 0 inf is no number of ours */
    return norm;
}

static inline void nn_norm_save(void *saved, nn_dtype dtype, int64_t count, int64_t i, nn_norm norm) {
    nn_put(saved, dtype, i, norm.mean);
    nn_put(saved, dtype, count + i, norm.inverse);
    nn_put(saved, dtype, 2 * count + i, norm.offset);
}

static inline nn_norm nn_norm_saved(const void *saved, nn_dtype dtype, int64_t count, int64_t i) {
    return (nn_norm){.mean = nn_get(saved, dtype, i), .inverse = nn_get(saved, dtype, count + i),
                     .offset = nn_get(saved, dtype, 2 * count + i)};
}

#endif
