/*
 * conv2d_winograd.c: Conv2d by Winograd's algorithm: where it is chosen, its workspace, its runs.
 */
#include "conv2d.h"

#include "../runtime/runtime.h"

/* ---- where ------------------------------------------------------------------------------------------- */

/*
 * By dtype and shape alone, so that bits depend on nothing else.
 *
 * - 3x3 taps one apart, and elements one apart: what the transforms are made for.
 * - float32: its error there is that of the direct sum in kind (docs/architecture.md). float64 is asked for
 *   where every digit counts.
 * - 12 channels on both sides: with fewer, transforms take what the products save.
 * - Quads enough: a quad costs 16 products and a fifth of that for transforms, full or not; to transform the
 *   weight costs as much as 16 quads. The direct sum has up to 36 products for a quad, none over padding.
 */
enum { QUAD_COST = 19, WEIGHT_QUADS = 16 };

static int64_t quads_along(int64_t size) { return size / 2 + size % 2; }

bool nn_conv2d_has_quads(const nn_op *op) {
    const nn_window *w = &op->window;
    if (op->direct || op->dtype != NN_FLOAT32 || op->groups != 1) return false;
    for (int axis = 0; axis < 2; axis++)
        if (w->kernel[axis] != 3 || w->stride[axis] != 1 || w->dilation[axis] != 1) return false;
    return op->x[1] >= NN_WINOGRAD_CHANNELS && op->channels >= NN_WINOGRAD_CHANNELS;
}

bool nn_conv2d_is_winograd(const nn_op *op, nn_conv2d_pass pass) {
    if (!nn_conv2d_has_quads(op)) return false;
    double quads = (double)op->x[0], direct = (double)op->x[0];
    for (int axis = 0; axis < 2; axis++) {
        quads *= (double)quads_along((pass == NN_CONV2D_DATA ? op->x : op->y)[2 + axis]);
        direct *= nn_conv2d_taps_along(op, axis);
    }
    return QUAD_COST * (quads + WEIGHT_QUADS) < direct;
}

/*
 * Both gradients in one walk over the quads of dy, transformed once: without padding these are fewer than those of x.
 * Pieces are whole images, blocks whole rows of quads; a block's buffers and the weight twice stay in the cache.
 */
enum { MOST_CHANNELS = 1 << 11 };

bool nn_conv2d_is_joint(const nn_op *op) {
    return op->x[0] > 1 && op->window.padding[0] == 0 && op->window.padding[1] == 0 &&
           quads_along(op->y[3]) <= NN_WINOGRAD_QUADS && op->x[1] * op->channels <= MOST_CHANNELS &&
           nn_conv2d_is_winograd(op, NN_CONV2D_WEIGHT);
}

/* ---- workspace --------------------------------------------------------------------------------------- */

/*
 * A piece's buffers: transformed patches (positions, quads, rows), their products (positions, quads, columns),
 * and one patch. A position's plane ends with a cache line of its own: sixteen planes a power of two apart
 * would fall onto each other in the cache.
 */
enum { MOST_PIECES = 8, PLANE_PADDING = 16 };
enum { PACK_WORK = 16 }; /* of a byte of the transformed weight: the weight is read tap by tap */

static void set_sizes(const nn_op *op, nn_conv2d_args *args, int64_t rows, int64_t columns) {
    args->row_stretch = (rows + 7) / 8 * 8;
    args->column_stretch = (columns + 7) / 8 * 8;
    args->row_plane = nn_size_add(nn_size_mul(NN_WINOGRAD_QUADS, args->row_stretch), PLANE_PADDING);
    args->column_plane = nn_size_add(nn_size_mul(NN_WINOGRAD_QUADS, args->column_stretch), PLANE_PADDING);
    const int64_t width = op->x[3] > op->y[3] ? op->x[3] : op->y[3];
    const int64_t planes = nn_size_mul(nn_size_add(args->row_plane, args->column_plane), NN_WINOGRAD_POSITIONS);
    args->partial_size = nn_size_add(planes, nn_size_mul(width, args->row_stretch));
}

/* Elements of the transformed weight. */
static int64_t packed_size(const nn_op *op, int64_t rows, int64_t columns) {
    return nn_size_mul(nn_size_mul(rows, nn_conv2d_padded(columns, op->dtype)), NN_WINOGRAD_POSITIONS);
}

static int64_t bytes_of(const nn_op *op, int64_t count) { return nn_size_mul(count, nn_dtype_bytes(op->dtype)); }

int64_t nn_conv2d_winograd_bytes(const nn_op *op, int64_t rows, int64_t columns) {
    nn_conv2d_args args;
    set_sizes(op, &args, rows, columns);
    return bytes_of(op, nn_size_add(packed_size(op, rows, columns), nn_size_mul(args.partial_size, MOST_PIECES)));
}

/* Elements of a piece of the gradients: sums over the weight and the bias, and the buffers of a block. */
static int64_t gradient_size(const nn_op *op, const nn_conv2d_args *args) {
    const int64_t sums = nn_size_add(packed_size(op, op->x[1], op->channels), nn_conv2d_padded(op->channels, op->dtype));
    const int64_t waiting = nn_size_mul(2 * (op->y[3] + 3), args->row_stretch);
    return nn_size_add(nn_size_add(sums, args->partial_size), nn_conv2d_is_joint(op) ? waiting : 0);
}

int64_t nn_conv2d_winograd_gradient_bytes(const nn_op *op) {
    nn_conv2d_args args;
    set_sizes(op, &args, op->x[1], op->channels);
    const int64_t piece_bytes = bytes_of(op, gradient_size(op, &args));
    if (piece_bytes < 0) return -1;
    const int64_t packed = nn_conv2d_is_joint(op) ? bytes_of(op, packed_size(op, op->channels, op->x[1])) : 0;
    return nn_size_add(packed, nn_size_mul(nn_conv2d_weight_pieces(op, piece_bytes), piece_bytes));
}

/* ---- runs -------------------------------------------------------------------------------------------- */

/* Cuts the quads of the batch into pieces of whole blocks, at most `most`; returns how many. */
static int64_t set_pieces(const nn_op *op, nn_conv2d_args *args, int64_t most) {
    for (int axis = 0; axis < 2; axis++) args->quads[axis] = quads_along(args->axis[axis].count);
    const int64_t quads = op->x[0] * args->quads[0] * args->quads[1];
    const int64_t blocks = (quads + NN_WINOGRAD_QUADS - 1) / NN_WINOGRAD_QUADS;
    const int64_t piece_blocks = (blocks + most - 1) / most;
    args->piece_quads = piece_blocks * NN_WINOGRAD_QUADS;
    return (blocks + piece_blocks - 1) / piece_blocks;
}

void nn_conv2d_winograd(const nn_op *op, nn_conv2d_args *args) {
    set_sizes(op, args, args->rows, args->columns);
    const int64_t packed_bytes = bytes_of(op, packed_size(op, args->rows, args->columns));
    args->partial = (char *)args->packed + packed_bytes;
    set_pieces(op, args, MOST_PIECES);
    /* Whole rows of quads, so that a piece writes whole rows of dest. */
    const int64_t rows = op->x[0] * args->quads[0];
    const int64_t piece_rows = (args->piece_quads + args->quads[1] - 1) / args->quads[1];
    const int64_t pieces = (rows + piece_rows - 1) / piece_rows;
    args->piece_quads = piece_rows * args->quads[1];
    nn_parallel(nn_kernel(NN_KERNEL_conv2d_winograd_pack, op->dtype), args, args->rows, 8, PACK_WORK * packed_bytes);
    nn_parallel(nn_kernel(NN_KERNEL_conv2d_winograd, op->dtype), args, pieces, 1, op->flops);
}

/* The same in whole images, and blocks of whole rows of quads, as equal as can be, where dx is wanted. */
static int64_t set_images(const nn_op *op, nn_conv2d_args *args, int64_t most) {
    for (int axis = 0; axis < 2; axis++) args->quads[axis] = quads_along(args->axis[axis].count);
    const int64_t images = (op->x[0] + most - 1) / most, rows = images * args->quads[0];
    const int64_t most_rows = NN_WINOGRAD_QUADS / args->quads[1], blocks = (rows + most_rows - 1) / most_rows;
    args->piece_quads = rows * args->quads[1];
    if (args->dest) args->block_quads = (rows + blocks - 1) / blocks * args->quads[1];
    return (op->x[0] + images - 1) / images;
}

void nn_conv2d_winograd_gradient(const nn_op *op, nn_conv2d_args *args) {
    set_sizes(op, args, args->rows, args->columns);
    args->partial_size = gradient_size(op, args);
    args->block_quads = NN_WINOGRAD_QUADS;
    const int64_t piece_bytes = bytes_of(op, args->partial_size), most = nn_conv2d_weight_pieces(op, piece_bytes);
    const int64_t pieces = nn_conv2d_is_joint(op) ? set_images(op, args, most) : set_pieces(op, args, most);
    int64_t work = op->flops;
    if (args->dest) {
        const int64_t packed_bytes = bytes_of(op, packed_size(op, args->columns, args->rows));
        nn_conv2d_args pack = *args;
        pack.rows = args->columns, pack.columns = args->rows;
        pack.row_stride = args->column_stride, pack.column_stride = args->row_stride;
        args->packed = pack.packed = args->partial;
        args->partial = (char *)args->packed + packed_bytes;
        nn_parallel(nn_kernel(NN_KERNEL_conv2d_winograd_pack, op->dtype), &pack, pack.rows, 8, PACK_WORK * packed_bytes);
        work *= 2;
    }
    nn_parallel(nn_kernel(NN_KERNEL_conv2d_winograd_weight, op->dtype), args, pieces, 1, work);
    if (args->dweight || args->dbias)
        nn_parallel(nn_kernel(NN_KERNEL_conv2d_winograd_fold, op->dtype), args, args->rows, 8, pieces * piece_bytes);
}
