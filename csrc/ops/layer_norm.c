/*
 * layer_norm: y = (x - mean) / sqrt(variance + eps) weight + bias, mean and biased variance those of each row: the
 * last `channels` elements of a sample in logical order, so that an image is turned there and back.
 *
 * parameter: eps. Backward, g = weight dy, xhat the normalised x:
 *
 *     dweight += sum dy xhat,  dbias += sum dy  over the rows
 *     dx = (g - mean g - xhat mean (g xhat)) / sqrt(variance + eps)
 */
#include "layer_norm.h"

#include "../kernels/layer_norm.h"
#include "../runtime/runtime.h"
#include "columns.h"

/* Rows a piece of backward, each with sums of its own: few beside the rows themselves, and pieces for all threads. */
enum { LEAST_ROWS = 8, MOST_ROWS = 256, PIECES = 16, PIECE = 16384, FOLD = 256 };

static int64_t rows_of(const nn_op *op) { return op->x_count / op->channels; }

static int64_t backward_rows(int64_t rows) {
    return rows / PIECES < LEAST_ROWS ? LEAST_ROWS : rows / PIECES > MOST_ROWS ? MOST_ROWS : rows / PIECES;
}

static int64_t backward_pieces(int64_t rows) { return (rows + backward_rows(rows) - 1) / backward_rows(rows); }

/* Images whose memory is not their logical order. */
static bool is_turned(const nn_op *op) { return op->x[1] != 1 && nn_size_product(op->x + 2, 2) != 1; }

nn_status nn_layer_norm_plan(nn_op *op, nn_error *error) {
    const int64_t sample = nn_size_product(op->x + 1, 3);
    if (op->channels < 1) return nn_fail(error, NN_VALUE_ERROR, "normalized_shape", -1, op->channels, "at least", 1);
    if (sample % op->channels)
        return nn_fail(error, NN_VALUE_ERROR, "features modulo normalized_shape", -1, sample % op->channels, "equal to",
                       0);
    for (int i = 0; i < 4; i++) op->y[i] = op->x[i];
    op->x_count = op->y_count = nn_size_product(op->x, 4);
    op->weight_count = op->bias_count = op->channels;
    op->flops = nn_size_mul(op->x_count, 8);
    if (nn_size_mul(op->x_count, 256) < 0 || nn_size_mul(op->channels, 1 << 12) < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    const int64_t bytes = nn_dtype_bytes(op->dtype), rows = rows_of(op), turned = is_turned(op) ? op->x_count : 0;
    op->saved_bytes = NN_NORM_SAVED * rows * bytes;
    op->forward_bytes = 2 * turned * bytes;
    /* The most pieces of any batch up to this one: they come in steps. */
    const int64_t pieces = rows < PIECES * LEAST_ROWS ? backward_pieces(rows) : 2 * PIECES + rows / MOST_ROWS;
    op->backward_bytes = (3 * turned + pieces * 2 * op->channels) * bytes;
    op->needs = NN_NEEDS_X | NN_NEEDS_SAVED;
    return NN_OK;
}

/* Rows in logical order: `from` itself, or turned into the workspace. */
static const void *turn(const nn_op *op, const void *from, char **work) {
    if (!is_turned(op)) return from;
    void *to = *work;
    *work += op->x_count * nn_dtype_bytes(op->dtype);
    nn_transpose(to, from, op->dtype, op->x[0], op->x[2] * op->x[3], op->x[1]);
    return to;
}

static void turn_back(const nn_op *op, void *to, const void *from) {
    nn_transpose(to, from, op->dtype, op->x[0], op->x[1], op->x[2] * op->x[3]);
}

nn_status nn_layer_norm_forward(const nn_op *op, const nn_io *io, bool centred) {
    char *work = io->work;
    nn_layer_norm_args args = {.x = turn(op, io->x, &work), .saved = io->saved, .weight = io->weight, .bias = io->bias,
                               .rows = rows_of(op), .size = op->channels, .eps = op->parameter[0], .centred = centred};
    args.y = is_turned(op) ? work : io->y;
    nn_parallel(nn_kernel(NN_KERNEL_layer_norm_forward, op->dtype), &args, args.rows,
                args.size < PIECE ? PIECE / args.size : 1, nn_work(op->flops, 3 * op->x_count));
    if (is_turned(op)) turn_back(op, io->y, args.y);
    return NN_OK;
}

/* sum += numbers of either dtype */
static void add_to(double *sum, const void *from, nn_dtype dtype, int64_t at, int64_t count) {
    if (dtype == NN_FLOAT32) {
        const float *numbers = (const float *)from + at;
        for (int64_t i = 0; i < count; i++) sum[i] += (double)numbers[i];
    } else {
        const double *numbers = (const double *)from + at;
        for (int64_t i = 0; i < count; i++) sum[i] += numbers[i];
    }
}

/* dweight += the pieces' sums of one kind, in order. */
static void fold(const nn_op *op, void *gradient, const void *partial, int64_t pieces, int64_t first) {
    const int64_t size = op->channels;
    double sum[FOLD];
    for (int64_t from = 0; gradient && from < size; from += FOLD) {
        const int64_t some = size - from < FOLD ? size - from : FOLD;
        for (int64_t i = 0; i < some; i++) sum[i] = 0;
        for (int64_t p = 0; p < pieces; p++) add_to(sum, partial, op->dtype, p * 2 * size + first + from, some);
        for (int64_t i = 0; i < some; i++)
            nn_put(gradient, op->dtype, from + i, nn_get(gradient, op->dtype, from + i) + sum[i]);
    }
}

nn_status nn_layer_norm_backward(const nn_op *op, const nn_io *io, bool centred) {
    char *work = io->work;
    nn_layer_norm_args args = {.x = turn(op, io->x, &work), .saved = io->saved, .weight = io->weight,
                               .rows = rows_of(op), .size = op->channels, .centred = centred};
    args.dy = turn(op, io->dy, &work);
    args.dx = io->dx && is_turned(op) ? work : io->dx;
    if (is_turned(op)) work += op->x_count * nn_dtype_bytes(op->dtype);
    args.partial = io->dweight || io->dbias ? work : NULL;
    args.rows_a_piece = backward_rows(args.rows);
    if (args.rows == 0) return NN_OK;
    nn_parallel(nn_kernel(NN_KERNEL_layer_norm_backward, op->dtype), &args, args.rows, args.rows_a_piece,
                nn_work(op->flops, 5 * op->x_count));
    fold(op, io->dweight, work, backward_pieces(args.rows), 0);
    fold(op, io->dbias, work, backward_pieces(args.rows), op->channels);
    if (io->dx && is_turned(op)) turn_back(op, io->dx, args.dx);
    return NN_OK;
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    return nn_layer_norm_forward(op, io, true);
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    return nn_layer_norm_backward(op, io, true);
}

const nn_op_class nn_layer_norm_class = {nn_layer_norm_plan, forward, backward};
