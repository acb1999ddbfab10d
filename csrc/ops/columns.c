/*
 * columns.c: sums and lines over the channels of a batch or of each sample, for BatchNorm and GroupNorm.
 */
#include "columns.h"

#include "../runtime/runtime.h"

/* Columns that fill vectors (and no more: memory is read from end to end), a strip's most, elements and rows a unit. */
enum { FULL_COLUMNS = 32, MOST_COLUMNS = 512, UNIT = 32768, MOST_ROWS = 1024, PIECE = 16384 };

static int64_t up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

static nn_columns cut_of(int64_t samples, int64_t pixels, int64_t channels) {
    nn_columns c = {.samples = samples, .channels = channels};
    int64_t together = 1;
    if (channels < FULL_COLUMNS) {
        int64_t even = 16; /* pixels whose elements make whole vectors */
        for (int64_t odd = channels; odd % 2 == 0 && even > 1; odd /= 2) even /= 2;
        together = (FULL_COLUMNS + channels - 1) / channels;
        if (up(together, even) * channels <= MOST_COLUMNS) together = up(together, even);
    }
    c.size = pixels * channels;
    c.columns = together * channels;
    c.rows = c.size / c.columns;
    c.rest = c.size % c.columns;
    c.strips = (c.columns + MOST_COLUMNS - 1) / MOST_COLUMNS;
    c.strip = up((c.columns + c.strips - 1) / c.strips, 16);
    c.block_rows = UNIT / c.strip < MOST_ROWS ? UNIT / c.strip : MOST_ROWS;
    c.blocks = (c.rows + c.block_rows - 1) / c.block_rows + (c.rest > 0);
    return c;
}

/* ---- shapes ------------------------------------------------------------------------------------------ */

/* Rows of features hold each channel's elements side by side: channels-first. */
static int64_t inner(const nn_op *op) { return op->x[2] * op->x[3] == 1 ? op->x[1] / op->channels : 1; }

static nn_columns cut_op(const nn_op *op, bool by_sample) {
    const int64_t pixels = inner(op) * op->x[2] * op->x[3];
    return by_sample ? cut_of(op->x[0], pixels, op->channels) : cut_of(1, op->x[0] * pixels, op->channels);
}

static int64_t sums_count(const nn_columns *c) { return c->samples * c->channels; }
/* A larger batch has no fewer: one more than whole blocks and the shorter row take. */
static int64_t partial_count(const nn_columns *c) {
    return c->samples * (c->rows / c->block_rows + 2) * NN_COLUMNS_SUMS * c->columns;
}
static int64_t given_count(const nn_columns *c) { return c->samples * NN_COLUMNS_COEFFICIENTS * c->columns; }

nn_status nn_columns_plan(nn_op *op, bool by_sample, nn_error *error) {
    if (op->channels < 1) return nn_fail(error, NN_VALUE_ERROR, "channels", -1, op->channels, "at least", 1);
    const bool image = nn_size_product(op->x + 2, 2) != 1;
    if (image ? op->x[1] != op->channels : op->x[1] % op->channels != 0)
        return nn_fail(error, NN_VALUE_ERROR, "channels of x", -1, op->x[1], "equal to", op->channels);
    for (int i = 0; i < 4; i++) op->y[i] = op->x[i];
    op->x_count = op->y_count = nn_size_product(op->x, 4);
    op->weight_count = op->bias_count = op->channels;
    op->flops = nn_size_mul(op->x_count, 8);
    /* Nothing below is more than 16 times the elements of x and 64 rows of channels a sample. */
    if (op->flops < 0 || nn_size_mul(op->x_count, 256) < 0 || nn_size_mul(op->x[0] + 1, nn_size_mul(op->channels, 1 << 15)) < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    const nn_columns c = cut_op(op, by_sample);
    const int64_t turned = inner(op) > 1 ? op->x_count : 0, bytes = nn_dtype_bytes(op->dtype);
    const int64_t common = sums_count(&c) * 3 * (int64_t)sizeof(double) + (partial_count(&c) + given_count(&c)) * bytes;
    op->forward_bytes = common + 2 * turned * bytes;
    op->backward_bytes = common + 3 * turned * bytes;
    op->needs = NN_NEEDS_X | NN_NEEDS_SAVED;
    return NN_OK;
}

static const void *turn(const nn_op *op, const void *from, char **work) {
    const int64_t pixels = inner(op);
    if (pixels <= 1) return from;
    void *to = *work;
    *work += op->x_count * nn_dtype_bytes(op->dtype);
    nn_transpose(to, from, op->dtype, op->x[0], op->channels, pixels);
    return to;
}

nn_columns_run nn_columns_open(const nn_op *op, const nn_io *io, bool by_sample, bool backward) {
    nn_columns_run run = {.op = op, .cut = cut_op(op, by_sample)};
    const int64_t bytes = nn_dtype_bytes(op->dtype);
    char *work = io->work;
    run.pixels = run.cut.size / op->channels;
    run.base = (double *)work;
    run.sums[0] = run.base + sums_count(&run.cut);
    run.sums[1] = run.sums[0] + sums_count(&run.cut);
    work += 3 * sums_count(&run.cut) * (int64_t)sizeof(double);
    run.partial = work;
    run.given = work += partial_count(&run.cut) * bytes;
    work += given_count(&run.cut) * bytes;
    run.x = turn(op, io->x, &work);
    if (backward) run.dy = turn(op, io->dy, &work);
    run.turned = work;
    return run;
}

/* ---- kernels ----------------------------------------------------------------------------------------- */

static void over(const nn_columns_run *run, nn_kernel_id id, const nn_columns_args *args, int64_t arrays) {
    const nn_columns *c = &run->cut;
    const int64_t units = c->samples * c->blocks * c->strips;
    if (units == 0 || c->size == 0) return;
    const int64_t unit = c->size / (c->blocks * c->strips) + 1;
    nn_parallel(nn_kernel(id, run->op->dtype), args, units, unit < PIECE ? PIECE / unit : 1,
                run->op->x_count * nn_dtype_bytes(run->op->dtype) * arrays);
}

/* The partial sums of a block: how many rows each of its columns has, and how many columns. */
typedef struct block {
    int64_t at; /* of its first sum */
    int64_t rows, columns;
} block;

static block block_of(const nn_columns *c, int64_t sample, int64_t b) {
    const int64_t left = c->rows - b * c->block_rows;
    return (block){.at = (sample * c->blocks + b) * NN_COLUMNS_SUMS * c->columns,
                   .rows = left <= 0 ? 1 : left < c->block_rows ? left : c->block_rows,
                   .columns = left <= 0 ? c->rest : c->columns};
}

/* Three numbers of column j, as doubles. */
typedef struct triple {
    double of[NN_COLUMNS_SUMS];
} triple;

NN_EACH triple column_of(const nn_columns_run *run, nn_dtype dtype, int64_t at, int64_t j) {
    triple t;
    for (int k = 0; k < NN_COLUMNS_SUMS; k++)
        t.of[k] = nn_get(run->partial, dtype, at + k * run->cut.columns + j);
    return t;
}

/*
 * In double, block by block, pixel by pixel: about the mean of a channel's first column, which is near enough to the
 * one mean for double to bring all moments to that afterwards.
 */
NN_EACH void fold_moments(nn_columns_run *run, nn_dtype dtype) {
    const nn_columns *c = &run->cut;
    for (int64_t s = 0; s < c->samples; s++) {
        double *mean = run->sums[0] + s * c->channels, *squares = run->sums[1] + s * c->channels;
        double *base = run->base + s * c->channels;
        for (int64_t k = 0; k < c->channels; k++) {
            base[k] = column_of(run, dtype, block_of(c, s, 0).at, k).of[0];
            mean[k] = squares[k] = 0;
        }
        for (int64_t b = 0; b < c->blocks; b++) {
            const block at = block_of(c, s, b);
            const double count = (double)at.rows, inverse = 1 / count;
            for (int64_t j = 0; j < at.columns; j += c->channels)
                for (int64_t k = 0; k < c->channels; k++) {
                    const triple t = column_of(run, dtype, at.at, j + k);
                    const double far = (t.of[0] - base[k]) * count + t.of[1];
                    const double own = t.of[2] - t.of[1] * t.of[1] * inverse;
                    mean[k] += far;
                    squares[k] += (own < 0 ? 0 : own) + far * far * inverse;
                }
        }
        const double share = 1 / (double)run->pixels;
        for (int64_t k = 0; k < c->channels; k++) {
            squares[k] -= mean[k] * mean[k] * share;
            if (squares[k] < 0) squares[k] = 0;
            mean[k] *= share;
        }
    }
}

void nn_columns_moments(nn_columns_run *run) {
    const nn_columns *c = &run->cut;
    const nn_columns_args args = {.cut = *c, .partial = run->partial, .x = run->x};
    over(run, NN_KERNEL_columns_moments, &args, 1);
    if (run->op->dtype == NN_FLOAT32) fold_moments(run, NN_FLOAT32);
    else fold_moments(run, NN_FLOAT64);
}

NN_EACH void fold_sums(nn_columns_run *run, nn_dtype dtype) {
    const nn_columns *c = &run->cut;
    for (int64_t s = 0; s < c->samples; s++) {
        double *first = run->sums[0] + s * c->channels, *second = run->sums[1] + s * c->channels;
        for (int64_t k = 0; k < c->channels; k++) first[k] = second[k] = 0;
        for (int64_t b = 0; b < c->blocks; b++) {
            const block at = block_of(c, s, b);
            for (int64_t j = 0; j < at.columns; j += c->channels)
                for (int64_t k = 0; k < c->channels; k++) {
                    const triple t = column_of(run, dtype, at.at, j + k);
                    first[k] += t.of[0];
                    second[k] += t.of[1];
                }
        }
    }
}

void nn_columns_sums(nn_columns_run *run) {
    const nn_columns *c = &run->cut;
    const nn_columns_args args = {.cut = *c, .partial = run->partial, .x = run->x, .dy = run->dy, .given = run->given};
    over(run, NN_KERNEL_columns_sums, &args, 2);
    if (run->op->dtype == NN_FLOAT32) fold_sums(run, NN_FLOAT32);
    else fold_sums(run, NN_FLOAT64);
}

/* Runs a kernel that writes `out`, in channels-last memory; then the channels come first again where they did. */
static void write_out(nn_columns_run *run, nn_kernel_id id, nn_columns_args *args, void *out, int64_t arrays) {
    const nn_op *op = run->op;
    const int64_t pixels = inner(op);
    args->cut = run->cut;
    args->given = run->given;
    args->out = pixels > 1 ? run->turned : out;
    over(run, id, args, arrays);
    if (pixels > 1) nn_transpose(out, run->turned, op->dtype, op->x[0], pixels, op->channels);
}

void nn_columns_apply(nn_columns_run *run, void *to, const void *from) {
    nn_columns_args args = {.x = from};
    write_out(run, NN_KERNEL_columns_apply, &args, to, 2);
}

void nn_columns_apply_backward(nn_columns_run *run, void *dx) {
    nn_columns_args args = {.x = run->x, .dy = run->dy};
    write_out(run, NN_KERNEL_columns_apply_backward, &args, dx, 3);
}
