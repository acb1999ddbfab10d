/*
 * linear: y (n, out) = x (n, in) weight^T (in, out) + bias (out).
 *
 * Backward, dy (n, out): dx = dy weight; dweight += dy^T x; dbias += column sums of dy.
 */
#include "../kernels/linear.h"

#include <string.h>

#include "../runtime/runtime.h"
#include "op.h"

/* ---- which kernel ------------------------------------------------------------------------------------ */

/*
 * By shape alone, so that bits depend on nothing else.
 *
 * - Few samples or few features: to pack weight^T costs more than the products, or a tile of 16 features would be mostly
 *   empty, so vectors run along `in`. Adding up the lanes of a vector costs little beside rows that are long.
 * - Long rows and a batch that fills tiles: packing weight^T (out x in) would cost a fifth of the work, so the
 *   roles are swapped and the smaller x^T is packed, once. Short rows do not pay for the transposed store.
 * - Else panels of weight^T are packed as they come.
 */
enum { LONG_ROWS = 128, SWAP_SAMPLES = 16 };
enum { DOT_SAMPLES = 8, DOT_ROWS = 32, DOT_FEATURES = 12 };
enum { PACK_WORK = 16 }; /* of an element of x: to transpose what another core may have written */

static nn_kernel_id forward_kernel(int64_t n, int64_t in, int64_t out) {
    if (n <= 4 || out <= 4) return NN_KERNEL_linear_forward_dot;
    if (n <= DOT_SAMPLES && in > DOT_ROWS) return NN_KERNEL_linear_forward_dot;
    if (in >= LONG_ROWS && (n < SWAP_SAMPLES || out <= DOT_FEATURES)) return NN_KERNEL_linear_forward_dot;
    if (in >= LONG_ROWS && n >= SWAP_SAMPLES && out >= n / 2) return NN_KERNEL_linear_forward_swapped;
    return NN_KERNEL_linear_forward;
}

static nn_kernel_id data_kernel(int64_t n) {
    return n <= 2 ? NN_KERNEL_linear_backward_data_few : NN_KERNEL_linear_backward_data;
}

/*
 * Small batches do so little per element of dweight that it must pass through registers just once, in order. Up to
 * what size depends on how many elements a tile has.
 */
static bool are_few(int64_t n, nn_dtype dtype) { return n <= (dtype == NN_FLOAT32 ? 2 : 4); }

static nn_kernel_id weight_kernel(int64_t n, nn_dtype dtype) {
    return are_few(n, dtype) ? NN_KERNEL_linear_backward_weight_rows : NN_KERNEL_linear_backward_weight;
}

/* ---- columns of y or dx, and what is done to them ------------------------------------------------------ */

typedef struct columns_args {
    nn_linear_args linear;
    nn_kernel_fn *kernel, *after;
    const nn_activation_args *after_args;
    int64_t width; /* of a row */
} columns_args;

static void run_columns_then_after(const void *args, int64_t begin, int64_t end) {
    const columns_args *c = args;
    c->kernel(&c->linear, begin, end);
    const bool whole = end - begin == c->width;
    const int64_t rows = whole ? 1 : c->linear.n, width = whole ? c->linear.n * c->width : c->width;
    if (whole) end = width;
    for (int64_t i = 0; i < rows; i++) c->after(c->after_args, i * width + begin, i * width + end);
}

/*
 * A piece's rows are in the first-level cache when `after` comes to them. Many short runs of columns would cost it more
 * than one pass over rows that the second level holds: there it goes last.
 */
static void run_columns(const nn_op *op, nn_kernel_id id, const nn_linear_args *args, const nn_after *after, int64_t width,
                        int64_t piece) {
    nn_kernel_fn *kernel = nn_kernel(id, op->dtype);
    if (!after || (width > piece && args->n > 1)) {
        nn_parallel(kernel, args, width, piece, op->flops);
        if (after)
            nn_parallel(nn_kernel(after->kernel, op->dtype), &after->args, args->n * width, NN_ACTIVATION_PIECE,
                        3 * args->n * width * nn_dtype_bytes(op->dtype));
        return;
    }
    const columns_args columns = {.linear = *args, .kernel = kernel, .after = nn_kernel(after->kernel, op->dtype),
                                  .after_args = &after->args, .width = width};
    nn_parallel(run_columns_then_after, &columns, width, piece, op->flops);
}

/* ---- the weight's gradient, in strips ----------------------------------------------------------------- */

/*
 * For weights of which the whole gradient would leave the first-level cache before it is used, and batches whose
 * products do not take so long that this is nothing beside them. A strip is a few rows: in the form for the smallest
 * batches so few that they fit a buffer that stays in that cache, else as many as the form wants.
 */
enum { STRIP_WEIGHTS = 1 << 14, STRIP_SAMPLES = 32, STRIP_BYTES = 24 << 10 };
enum { DESCENT_SAMPLES = 8 }; /* the plain step is a kernel of its own, row by row; else tiles take it */

typedef struct strips_args {
    nn_linear_args linear;
    const nn_finish *finish;
    nn_kernel_fn *kernel;
    int64_t row_bytes; /* of dweight and x */
    int64_t element;
    bool few; /* the form of the smallest batches */
} strips_args;

/* begin and end count rows of dweight, as its own kernels' do. */
static void finish_strips(const void *args, int64_t begin, int64_t end) {
    const strips_args *s = args;
    _Alignas(64) char aside[STRIP_BYTES];
    const bool few = s->few && s->row_bytes <= STRIP_BYTES;
    const int64_t in = s->linear.in, most = few ? STRIP_BYTES / s->row_bytes : end - begin;
    for (int64_t row = begin, rows; row < end; row += rows) {
        rows = end - row < most ? end - row : most;
        nn_linear_args part = s->linear;
        part.dy = (const char *)part.dy + row * s->element;
        if (part.dbias) part.dbias = (char *)part.dbias + row * s->element;
        part.dweight = few && s->finish->aside ? aside : (char *)part.dweight + row * s->row_bytes;
        s->kernel(&part, 0, rows);
        s->finish->part(s->finish, part.dweight, row * in, (row + rows) * in);
    }
}

/*
 * One sample's gradient is a product of two vectors, and the rule makes it itself: a long weight's is never in memory.
 * Rows are whole vectors of every instruction set.
 */
enum { OUTER_WEIGHTS = 1 << 12, OUTER_ROWS = 16 };

static bool is_outer(const nn_finish *finish, int64_t n, int64_t in) {
    return finish && finish->outer && finish->aside && n == 1 && in % OUTER_ROWS == 0;
}

static void finish_outer(const void *args, int64_t begin, int64_t end) {
    const strips_args *s = args;
    if (s->linear.dbias) s->kernel(&s->linear, begin, end);
    s->finish->outer(s->finish, s->linear.dy, s->linear.x, s->linear.in, begin, end);
}

/* ---- the operation ----------------------------------------------------------------------------------- */

static nn_status plan(nn_op *op, nn_error *error) {
    if (op->channels < 0)
        return nn_fail(error, NN_VALUE_ERROR, "out_features", -1, op->channels, "at least", 0);
    const int64_t n = op->x[0], in = op->x[1], out = op->channels;
    op->y[0] = n, op->y[1] = out, op->y[2] = op->y[3] = 1;
    op->x_count = nn_size_mul(n, in);
    op->y_count = nn_size_mul(n, out);
    const int64_t weight_bytes = nn_size_mul(nn_size_mul(in, out), 8);
    const int64_t flops = nn_size_mul(nn_size_mul(op->x_count, out), 2);
    /* Room for x^T in whole panels, for the largest batch up to n that swaps roles. */
    const int64_t batch = in >= LONG_ROWS && n >= SWAP_SAMPLES ? (n / 2 > out ? 2 * out + 1 : n) : 0;
    const int64_t panels = (batch + NN_LINEAR_PACK_PIECE - 1) / NN_LINEAR_PACK_PIECE * NN_LINEAR_PACK_PIECE;
    const int64_t packed = nn_size_mul(nn_size_mul(panels, in), nn_dtype_bytes(op->dtype));
    if (op->x_count < 0 || op->y_count < 0 || weight_bytes < 0 || flops < 0 || packed < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, n, "small enough to count in", INT64_MAX);
    op->flops = flops;
    op->weight_count = in * out;
    op->bias_count = out;
    op->forward_bytes = packed;
    op->needs = NN_NEEDS_X;
    op->overwrites = op->follows = true;
    const bool outer = op->dtype == NN_FLOAT32 && n == 1 && in % OUTER_ROWS == 0 && op->weight_count >= OUTER_WEIGHTS;
    op->finishes = outer || (op->weight_count >= STRIP_WEIGHTS && n <= STRIP_SAMPLES);
    op->descends = op->weight_count >= STRIP_WEIGHTS && n <= NN_LINEAR_DEPTH / nn_dtype_bytes(op->dtype);
    return NN_OK;
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_linear_args args = {.y = io->y, .x = io->x, .weight = io->weight, .bias = io->bias, .packed = io->work,
                           .n = op->x[0], .in = op->x[1], .out = op->channels};
    const nn_kernel_id id = forward_kernel(args.n, args.in, args.out);
    if (id == NN_KERNEL_linear_forward_swapped)
        nn_parallel(nn_kernel(NN_KERNEL_linear_pack_input, op->dtype), &args, args.n, NN_LINEAR_PACK_PIECE,
                    PACK_WORK * op->x_count);
    run_columns(op, id, &args, io->after_y, args.out, NN_LINEAR_PIECE);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    const int64_t element = nn_dtype_bytes(op->dtype);
    strips_args strips = {.linear = {.dx = io->dx, .dweight = io->dweight, .dbias = io->dbias, .x = io->x,
                                     .weight = io->weight, .dy = io->dy, .n = op->x[0], .in = op->x[1],
                                     .out = op->channels, .overwrite = io->overwrite},
                          .finish = io->finish, .element = element};
    nn_linear_args *args = &strips.linear;
    if (args->n == 0 && io->overwrite) { /* nothing to sum: the gradients are zero */
        if (io->dweight) memset(io->dweight, 0, (size_t)(args->in * args->out * element));
        if (io->dbias) memset(io->dbias, 0, (size_t)(args->out * element));
    }
    if (io->dx)
        run_columns(op, data_kernel(args->n), args, io->after_dx, args->in,
                    args->n <= 2 ? NN_LINEAR_FEW_PIECE : NN_LINEAR_PIECE);
    if (args->n == 0 || !(io->dweight || io->dbias)) return NN_OK;
    nn_kernel_fn *kernel = nn_kernel(weight_kernel(args->n, op->dtype), op->dtype);
    if (io->finish && io->finish->plain && io->finish->aside && args->n <= NN_LINEAR_DEPTH / element) {
        args->descent = io->finish->weight;
        args->rate = io->finish->rate;
        if (args->n <= DESCENT_SAMPLES) kernel = nn_kernel(NN_KERNEL_linear_descent, op->dtype);
        nn_parallel(kernel, args, args->out, NN_LINEAR_WEIGHT_PIECE, nn_work(op->flops, op->weight_count * element * 2));
    } else if (io->finish) {
        const bool outer = is_outer(io->finish, args->n, args->in);
        if (outer) args->dweight = NULL;
        strips.kernel = kernel;
        strips.row_bytes = args->in * element;
        strips.few = are_few(args->n, op->dtype);
        nn_parallel(outer ? finish_outer : finish_strips, &strips, args->out, NN_LINEAR_WEIGHT_PIECE,
                    nn_work(op->flops, op->weight_count * element * (io->finish->plain ? 2 : 4)));
    } else {
        nn_parallel(kernel, args, args->out, NN_LINEAR_WEIGHT_PIECE, op->flops);
    }
    return NN_OK;
}

const nn_op_class nn_linear_class = {plan, forward, backward};
