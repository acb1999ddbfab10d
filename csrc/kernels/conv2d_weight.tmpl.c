/*
 * conv2d_backward_weight: per piece of the batch, the sums of dy times the x under each tap, and those of dy.
 * begin and end count pieces.
 *
 * conv2d_pairs_forward: what conv2d_correlate computes, by pairs of elements: it is here to share the transform of x.
 * begin and end count pieces of piece_images images.
 */
#include "template.h"

#include "conv2d_sum_tile.h"
#include "conv2d_weight.h"
#if NN_BITS == 32 /* float64 is never in pairs, see nn_conv2d_is_paired */
#if NN_HAVE_FMA
#include "conv2d_pairs_forward.h"
#endif
#include "conv2d_pairs_weight.h"
#endif

CONV_TILES(sums_apart, conv_sum_tile)

NN_DEFINE_KERNEL(conv2d_backward_weight) {
    const nn_conv2d_args *c = args;
#if NN_BITS == 32
    if (c->paired) {
        conv_pair_sum_pieces(c, sums_apart_table, begin, end);
        return;
    }
#endif
    conv_sum_pieces(c, sums_apart_table, false, begin, end);
}

NN_DEFINE_KERNEL(conv2d_pairs_forward) {
#if NN_BITS == 32 && NN_HAVE_FMA
    conv_pair_pieces(args, begin, end);
#else
    (void)args, (void)begin, (void)end;
#endif
}
