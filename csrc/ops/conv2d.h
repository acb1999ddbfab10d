/*
 * conv2d.h: what the files of the operations Conv2d and ConvTranspose2d share.
 */
#ifndef NN_OPS_CONV2D_H
#define NN_OPS_CONV2D_H

#include "../kernels/conv2d.h"
#include "op.h"

/* Lanes of the widest vector: a bound on what any instruction set rounds channels up to. */
static inline int64_t nn_conv2d_padded(int64_t channels, nn_dtype dtype) {
    const int64_t lanes = 64 / nn_dtype_bytes(dtype);
    return nn_size_mul(nn_size_add(channels, lanes - 1) / lanes, lanes);
}

/* Pieces of the batch that keep sums of their own: as many as threads may use, within 32 MB (one at least). */
static inline int64_t nn_conv2d_weight_pieces(const nn_op *op, int64_t piece_bytes) {
    const int64_t most_bytes = INT64_C(32) << 20, most_pieces = 8;
    int64_t pieces = most_bytes / piece_bytes;
    if (pieces > most_pieces) pieces = most_pieces;
    if (pieces > op->x[0]) pieces = op->x[0];
    return pieces < 1 ? 1 : pieces;
}

/* The two halves of planning, before and after y is known: channels and groups; counts, workspace, needs. */
nn_status nn_conv2d_check_channels(const nn_op *op, nn_error *error);
nn_status nn_conv2d_plan_sizes(nn_op *op, nn_error *error);
/* dx from dy, each of its elements beginning from its channel's `bias`, unless that is NULL. */
void nn_conv2d_backward_data(const nn_op *op, const nn_io *io, const void *bias);

/* What is computed: y, dx, dweight with dbias. */
typedef enum nn_conv2d_pass { NN_CONV2D_FORWARD, NN_CONV2D_DATA, NN_CONV2D_WEIGHT } nn_conv2d_pass;

/* Whether Winograd's algorithm in two dimensions may compute it, for batches large enough; whether it does. */
bool nn_conv2d_has_quads(const nn_op *op);
bool nn_conv2d_is_winograd(const nn_op *op, nn_conv2d_pass pass);
/* Whether it computes dx together with the weight's gradient. */
bool nn_conv2d_is_joint(const nn_op *op);

/* Pairs of a tap and an element along an axis, taps and elements one apart, that are no padding. */
double nn_conv2d_taps_along(const nn_op *op, int axis);

/* The same along the width alone, for each pass, and the bytes of workspace of what this batch or a smaller one may
   choose; -1: too many. */
bool nn_conv2d_is_paired(const nn_op *op); /* the weight's gradient */
bool nn_conv2d_is_paired_forward(const nn_op *op);
bool nn_conv2d_is_paired_data(const nn_op *op);
int64_t nn_conv2d_paired_gradient_bytes(const nn_op *op);
int64_t nn_conv2d_paired_forward_bytes(const nn_op *op);
int64_t nn_conv2d_paired_data_bytes(const nn_op *op);
/* What args of backward_weight say more there. */
void nn_conv2d_set_pairs(const nn_op *op, nn_conv2d_args *args);
/* dest = bias + source * weight. args say what they say to the direct kernels; workspace is `packed`. */
void nn_conv2d_paired_forward(const nn_op *op, nn_conv2d_args *args);
void nn_conv2d_paired_data(const nn_op *op, nn_conv2d_args *args);

/* Bytes of workspace of the two below, for `rows` channels of the source and `columns` of dest; -1: too many. */
int64_t nn_conv2d_winograd_bytes(const nn_op *op, int64_t rows, int64_t columns);
int64_t nn_conv2d_winograd_gradient_bytes(const nn_op *op);

/* dest = bias + source * weight. args say what they say to the direct kernels; workspace is `packed`. */
void nn_conv2d_winograd(const nn_op *op, nn_conv2d_args *args);
/* dweight += dy * source, dbias += sums of dy; dest = dx, where it is joint and not NULL; workspace is `partial`. */
void nn_conv2d_winograd_gradient(const nn_op *op, nn_conv2d_args *args);

#endif
