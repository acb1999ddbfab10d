/*
 * batch_norm: y = (x - mean) / sqrt(variance + eps) weight + bias, channel by channel. x is (n, channels, h, w), or
 * (n, channels * length): rows of `channels` series.
 *
 * parameter: eps, momentum (NaN: the cumulative average over io->call earlier batches). Where op and run are in
 * training, or there are no running statistics (io->buffers), mean and biased variance are those of the batch;
 * training moves the running ones towards them, the unbiased variance. An empty batch moves nothing.
 *
 * Backward, xhat the normalised x, over the m elements of a channel:
 *
 *     dbias += sum dy,  dweight += sum dy xhat
 *     dx = weight / sqrt(variance + eps) (dy - sum dy / m - xhat sum (dy xhat) / m)    of the batch's statistics
 *     dx = weight / sqrt(variance + eps) dy                                           of running ones
 */
#include "columns.h"

static nn_status plan(nn_op *op, nn_error *error) {
    const nn_status status = nn_columns_plan(op, false, error);
    if (status != NN_OK) return status;
    op->saved_bytes = (NN_NORM_SAVED * op->channels + 1) * nn_dtype_bytes(op->dtype); /* the last: whose statistics */
    return NN_OK;
}

static void move(const nn_op *op, const nn_io *io, int64_t c, double mean, double squares, int64_t count) {
    const double momentum = op->parameter[1] == op->parameter[1] ? op->parameter[1] : 1 / ((double)io->call + 1);
    const double moments[2] = {mean, squares / (double)(count - 1)};
    for (int k = 0; k < 2; k++)
        nn_put(io->buffers[k], op->dtype, c,
               (1 - momentum) * nn_get(io->buffers[k], op->dtype, c) + momentum * moments[k]);
}

/* Once a channel of the whole batch: nothing to save time with. */
static void set(nn_columns_run *run, int64_t channel, int count, const double *values) {
    nn_columns_set(run, run->op->dtype, 0, channel, count, values);
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    const bool running = io->buffers[0] && io->buffers[1], training = op->training && io->training;
    const bool batch = training || !running;
    nn_columns_run run = nn_columns_open(op, io, false, false);
    if (batch && run.pixels == 1)
        return nn_fail(error, NN_VALUE_ERROR, "values per channel", -1, 1, "more in training, at least", 2);
    if (batch && run.pixels > 0) nn_columns_moments(&run);
    for (int64_t c = 0; c < op->channels; c++) {
        double base = 0, more = 0, variance = 0;
        if (!batch) {
            base = nn_get(io->buffers[0], op->dtype, c);
            variance = nn_get(io->buffers[1], op->dtype, c);
        } else if (run.pixels > 0) {
            base = run.base[c];
            more = run.sums[0][c];
            variance = run.sums[1][c] / (double)run.pixels;
            if (training && running) move(op, io, c, base + more, run.sums[1][c], run.pixels);
        }
        const nn_norm norm = nn_norm_of(op->dtype, base, more, variance, op->parameter[0]);
        const double weight = nn_get_or(io->weight, op->dtype, c, 1);
        const double line[3] = {norm.mean, norm.inverse * weight,
                                nn_get_or(io->bias, op->dtype, c, 0) + norm.offset * weight};
        set(&run, c, 3, line);
        if (io->saved) nn_norm_save(io->saved, op->dtype, op->channels, c, norm);
    }
    if (io->saved) nn_put(io->saved, op->dtype, NN_NORM_SAVED * op->channels, batch);
    nn_columns_apply(&run, io->y, run.x);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    const nn_dtype dtype = op->dtype;
    const bool batch = nn_get(io->saved, dtype, NN_NORM_SAVED * op->channels) != 0;
    nn_columns_run run = nn_columns_open(op, io, false, true);
    if (run.pixels == 0) return NN_OK;
    const bool summing = io->dweight || io->dbias || (batch && io->dx);
    if (summing) {
        for (int64_t c = 0; c < op->channels; c++) {
            const double mean = nn_norm_saved(io->saved, dtype, op->channels, c).mean;
            set(&run, c, 1, &mean);
        }
        nn_columns_sums(&run);
    }
    for (int64_t c = 0; c < op->channels; c++) {
        const nn_norm norm = nn_norm_saved(io->saved, dtype, op->channels, c);
        const double factor = norm.inverse * nn_get_or(io->weight, dtype, c, 1);
        double products = 0, sum = 0;
        if (summing) {
            sum = run.sums[0][c];
            products = run.sums[1][c] * norm.inverse + norm.offset * sum;
            if (io->dweight) nn_put(io->dweight, dtype, c, nn_get(io->dweight, dtype, c) + products);
            if (io->dbias) nn_put(io->dbias, dtype, c, nn_get(io->dbias, dtype, c) + sum);
        }
        if (!batch) {
            set(&run, c, 3, (const double[]){0, factor, 0});
        } else {
            const double m = (double)run.pixels, slope = -factor * products / m;
            set(&run, c, 4, (const double[]){factor, norm.mean, slope * norm.inverse,
                                             slope * norm.offset - factor * sum / m});
        }
    }
    if (io->dx && batch) nn_columns_apply_backward(&run, io->dx);
    else if (io->dx) nn_columns_apply(&run, io->dx, run.dy);
    return NN_OK;
}

const nn_op_class nn_batch_norm_class = {plan, forward, backward};
