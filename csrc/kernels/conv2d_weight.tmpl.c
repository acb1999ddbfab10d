/*
 * conv2d_backward_weight: per piece of the batch, the sums of dy times the x under each tap, and those of dy.
 * begin and end count pieces.
 */
#include "template.h"

#include "conv2d_plane_weight.h"
#include "conv2d_sum_tile.h"
#include "conv2d_weight.h"

CONV_TILES(sums, conv_sum_tile)

NN_DEFINE_KERNEL(conv2d_backward_weight) {
    if (conv_sums_are_planes(args)) conv_plane_sum_pieces(args, begin, end);
    else conv_sum_pieces(args, sums_table, false, begin, end);
}
