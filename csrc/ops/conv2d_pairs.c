/*
 * conv2d_pairs.c: Conv2d by Winograd's algorithm along the width alone: where it is chosen, its workspace, its runs.
 */
#include "conv2d.h"

#include "../runtime/runtime.h"

double nn_conv2d_taps_along(const nn_op *op, int axis) {
    const int64_t source = op->x[2 + axis], count = op->y[2 + axis], padding = op->window.padding[axis];
    double pairs = 0;
    for (int64_t tap = 0; tap < op->window.kernel[axis]; tap++) {
        const int64_t at = tap - padding, first = at < 0 ? -at : 0, last = source - at < count ? source - at : count;
        if (last > first) pairs += (double)(last - first);
    }
    return pairs;
}

/*
 * By dtype and shape alone, so that bits depend on nothing else: float32, taps and elements one apart, and products
 * that are fewer by more than the transforms cost. Those of padding are counted, the direct sum has none; a piece
 * transforms its sums once, which costs as much as some pairs.
 */
enum { PRODUCT_COST = 22, DIRECT_COST = 20, SUM_PAIRS = 16 };

static int64_t pairs_along(const nn_op *op) { return op->y[3] / 2 + op->y[3] % 2; }

/* Where pairs may be had at all. */
static bool has_pairs(const nn_op *op) {
    const nn_window *w = &op->window;
    if (op->direct || op->dtype != NN_FLOAT32 || op->groups != 1 || w->kernel[1] < 2) return false;
    for (int axis = 0; axis < 2; axis++)
        if (w->stride[axis] != 1 || w->dilation[axis] != 1) return false;
    return !nn_conv2d_has_quads(op);
}

/* Without FMA there is the weight's gradient alone: wheels are small, and such processors are few. */
static bool has_kernels(void) {
#if defined(__aarch64__)
    return true;
#else
    return nn_isa_active() != NN_ISA_BASELINE;
#endif
}

/* Pairs of a tap and an element of the batch. */
static double direct_taps(const nn_op *op) {
    return (double)op->x[0] * nn_conv2d_taps_along(op, 0) * nn_conv2d_taps_along(op, 1);
}

bool nn_conv2d_is_paired(const nn_op *op) {
    if (!has_pairs(op)) return false;
    const double pairs = (double)op->x[0] * (double)op->y[2] * (double)pairs_along(op);
    const double products = (double)op->window.kernel[0] * (double)nn_conv_products(op->window.kernel[1]);
    return PRODUCT_COST * (pairs + SUM_PAIRS) * products < DIRECT_COST * direct_taps(op);
}

/* Chunks of whole images, or of rows of one. */
static void set_chunk(const nn_op *op, nn_conv2d_args *args, int64_t most_pairs) {
    const int64_t pairs = pairs_along(op), height = op->y[2];
    const int64_t most = most_pairs / pairs > 0 ? most_pairs / pairs : 1;
    const int64_t bands = (height + most - 1) / most;
    args->band = (height + bands - 1) / bands;
    args->images = bands > 1 ? 1 : most / height;
}

/* Where a tile takes two panels and makes pairs as they are loaded, each product reads all of a chunk of dy, which has
   to stay in the first-level cache. */
static int64_t chunk_pairs(const nn_op *op) {
    const int64_t rows = op->x[1] > op->window.kernel[0] ? op->x[1] : op->window.kernel[0];
    return rows == 3 && op->channels >= 32 ? NN_CONV_PAIRS * 3 / 8 : NN_CONV_PAIRS;
}

/* Elements of the cells of a chunk: four planes, see conv2d_pairs.h. */
static int64_t cells_size(const nn_op *op, const nn_conv2d_args *args) {
    const nn_window *w = &op->window;
    const int64_t lines = nn_size_mul(args->images, args->band + w->kernel[0] - 1);
    const int64_t plane = nn_size_mul(nn_size_mul(lines, 2 * pairs_along(op) + w->kernel[1] - 1), op->x[1]);
    return nn_size_mul(4, nn_conv2d_padded(nn_size_add(plane, 2 * op->x[1] + nn_conv2d_padded(1, op->dtype)), op->dtype));
}

/* Elements of a piece: see conv2d_pairs_weight.h. */
static int64_t piece_size(const nn_op *op, const nn_conv2d_args *args) {
    const nn_window *w = &op->window;
    const int64_t padded = nn_conv2d_padded(op->channels, op->dtype), lanes = nn_conv2d_padded(1, op->dtype);
    const int64_t products = nn_conv_products(w->kernel[1]), rows = op->x[1], pairs = pairs_along(op);
    const int64_t sums = nn_size_mul(nn_size_mul(nn_size_mul(w->kernel[0], rows), products + w->kernel[1]), padded);
    const int64_t dy = nn_size_mul(nn_size_mul(4 * 3 * lanes, pairs), args->images * args->band + 1);
    return nn_size_add(nn_size_add(sums, padded), nn_size_add(cells_size(op, args), dy));
}

int64_t nn_conv2d_paired_gradient_bytes(const nn_op *op) {
    nn_conv2d_args args;
    set_chunk(op, &args, chunk_pairs(op));
    const int64_t bytes = nn_size_mul(piece_size(op, &args), nn_dtype_bytes(op->dtype));
    return bytes < 0 ? -1 : nn_size_mul(nn_conv2d_weight_pieces(op, bytes), bytes);
}

void nn_conv2d_set_pairs(const nn_op *op, nn_conv2d_args *args) {
    args->paired = true;
    set_chunk(op, args, chunk_pairs(op));
    args->partial_size = piece_size(op, args);
}

/* ---- forward ------------------------------------------------------------------------------------------- */

/*
 * As above, for three and five taps. Vectors of columns come in twos. With fewer channels (or three, of three taps, for
 * one two of vectors) transforms take what the products save; with more, the cells under a tile leave the cache.
 */
enum { FORWARD_COST = 5, FORWARD_DIRECT_COST = 4, WEIGHT_PAIRS = 32, LEAST_ROWS = 3, MOST_ROWS = 16 };

static bool may_be_paired_forward(const nn_op *op) {
    const int64_t taps = op->window.kernel[1];
    if (!has_pairs(op) || (taps != 3 && taps != 5) || op->x[1] < LEAST_ROWS || op->x[1] > MOST_ROWS) return false;
    if (op->x[1] == LEAST_ROWS && taps == 3 && op->channels <= 16) return false;
    const double pairs = (double)op->x[0] * (double)op->y[2] * (double)pairs_along(op);
    const double products = (double)op->window.kernel[0] * (double)nn_conv_products(taps);
    const double twos = (double)((op->channels + 15) / 16), vectors = (double)((op->channels + 7) / 8);
    return FORWARD_COST * 2 * twos * (pairs + WEIGHT_PAIRS) * products <
           FORWARD_DIRECT_COST * vectors * direct_taps(op);
}

bool nn_conv2d_is_paired_forward(const nn_op *op) { return has_kernels() && may_be_paired_forward(op); }

/* Elements of the transformed weight. */
static int64_t packed_forward_size(const nn_op *op) {
    const int64_t sizes[] = {op->window.kernel[0], nn_conv_products(op->window.kernel[1]),
                             nn_conv2d_padded(op->channels, op->dtype), op->x[1]};
    return nn_size_product(sizes, 4);
}

/* Pieces of whole chunks, at most so many; a smaller batch may have more of them than a larger one. */
enum { MOST_PIECES = 8 };

static int64_t chunks_of(const nn_op *op, int64_t images) { return (op->x[0] + images - 1) / images; }

static int64_t piece_images(const nn_op *op, int64_t images) {
    return (chunks_of(op, images) + MOST_PIECES - 1) / MOST_PIECES * images;
}

/* The most pieces of any batch up to this one. */
static int64_t most_pieces(const nn_op *op, int64_t images) {
    const int64_t chunks = chunks_of(op, images);
    return chunks < MOST_PIECES ? chunks : MOST_PIECES;
}

enum { FORWARD_PAIRS = 96 };

int64_t nn_conv2d_paired_forward_bytes(const nn_op *op) {
    if (!may_be_paired_forward(op)) return 0;
    nn_conv2d_args args;
    set_chunk(op, &args, FORWARD_PAIRS);
    const int64_t pieces = most_pieces(op, args.images);
    const int64_t size = nn_size_add(packed_forward_size(op), nn_size_mul(pieces, cells_size(op, &args)));
    return nn_size_mul(size, nn_dtype_bytes(op->dtype));
}

void nn_conv2d_paired_forward(const nn_op *op, nn_conv2d_args *args) {
    set_chunk(op, args, FORWARD_PAIRS);
    args->partial = (char *)args->packed + packed_forward_size(op) * nn_dtype_bytes(op->dtype);
    args->partial_size = cells_size(op, args);
    args->piece_images = piece_images(op, args->images);
    const int64_t pieces = (args->n + args->piece_images - 1) / args->piece_images;
    nn_parallel(nn_kernel(NN_KERNEL_conv2d_pairs_pack, op->dtype), args, args->axis[0].taps, 1, op->forward_bytes);
    nn_parallel(nn_kernel(NN_KERNEL_conv2d_pairs_forward, op->dtype), args, pieces, 1, op->flops);
}

/* ---- backward data ------------------------------------------------------------------------------------- */

/* Elements of the transformed weight, and of a piece's buffers: see conv2d_pairs_data.tmpl.c. */
static int64_t packed_data_size(const nn_op *op) {
    const int64_t sizes[] = {op->window.kernel[0], nn_conv_products(op->window.kernel[1]), op->channels, op->x[1]};
    return nn_conv2d_padded(nn_size_product(sizes, 4), op->dtype);
}

static int64_t data_piece_size(const nn_op *op) {
    const int64_t taps = op->window.kernel[1], columns = op->x[1];
    const int64_t planes[] = {4, op->y[2], op->channels, NN_CONV_IMAGES};
    const int64_t waiting[] = {op->x[2], taps + 1, columns, NN_CONV_IMAGES};
    const int64_t sums[] = {nn_conv_products(taps) + 2, 6, NN_CONV_IMAGES};
    return nn_size_add(nn_size_add(nn_size_product(planes, 4), nn_size_product(waiting, 4)), nn_size_product(sums, 3));
}

/*
 * Cycles of AVX2 an image, about. Products are full vectors of images; a tile is begun, ended and added to cells; dy
 * and dx are transposed. The direct sum has channels in its lanes, and waits for loads where they fill one vector only.
 * Buffers of a piece, in elements, stay in the cache.
 */
enum { TILE_COST = 4, GATHER_COST = 5, SCATTER_COST = 4, MOST_BUFFERS = 1 << 18 };

static bool may_be_paired_data(const nn_op *op, int64_t images) {
    const int64_t rows = op->channels, columns = op->x[1], size = data_piece_size(op);
    if (!has_pairs(op) || size < 0 || size > MOST_BUFFERS) return false;
    const double panels = (double)((columns + 5) / 6), vectors = (double)((columns + 7) / 8);
    const double products = (double)nn_conv_products(op->window.kernel[1]) * (double)pairs_along(op);
    const double taps_h = nn_conv2d_taps_along(op, 0);
    const double paired = taps_h * products * (double)(rows * columns) / 16 +
                          (double)op->x[2] * panels * (TILE_COST * products + SCATTER_COST * (double)op->x[3]) +
                          (double)(op->y[2] * op->y[3] * ((rows + 7) / 8)) * GATHER_COST;
    const double direct = taps_h * nn_conv2d_taps_along(op, 1) * (double)rows * (columns > 8 ? 0.55 * vectors : 0.65);
    return paired * (double)images < direct * (double)op->x[0];
}

bool nn_conv2d_is_paired_data(const nn_op *op) {
    const int64_t images = (op->x[0] + NN_CONV_IMAGES - 1) / NN_CONV_IMAGES * NN_CONV_IMAGES;
    return has_kernels() && may_be_paired_data(op, images);
}

int64_t nn_conv2d_paired_data_bytes(const nn_op *op) {
    if (!may_be_paired_data(op, op->x[0])) return 0; /* of a smaller batch, which fills the lanes better, neither */
    const int64_t pieces = most_pieces(op, NN_CONV_IMAGES);
    const int64_t size = nn_size_add(packed_data_size(op), nn_size_mul(pieces, data_piece_size(op)));
    return nn_size_mul(size, nn_dtype_bytes(op->dtype));
}

void nn_conv2d_paired_data(const nn_op *op, nn_conv2d_args *args) {
    args->partial = (char *)args->packed + packed_data_size(op) * nn_dtype_bytes(op->dtype);
    args->partial_size = data_piece_size(op);
    args->piece_images = piece_images(op, NN_CONV_IMAGES);
    const int64_t pieces = (args->n + args->piece_images - 1) / args->piece_images;
    nn_parallel(nn_kernel(NN_KERNEL_conv2d_pairs_pack, op->dtype), args, args->axis[0].taps, 1, op->forward_bytes);
    nn_parallel(nn_kernel(NN_KERNEL_conv2d_pairs_data, op->dtype), args, pieces, 1, op->flops);
}
