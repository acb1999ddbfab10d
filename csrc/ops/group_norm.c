/*
 * group_norm: y = (x - mean) / sqrt(variance + eps) weight + bias, mean and biased variance those of a group of
 * channels in one sample. x as for batch_norm; groups divide the channels.
 *
 * parameter: eps. Backward as that of batch_norm, with weight dy in place of dy within the sums of a group.
 */
#include "columns.h"

static nn_status plan(nn_op *op, nn_error *error) {
    if (op->groups < 1) return nn_fail(error, NN_VALUE_ERROR, "num_groups", -1, op->groups, "at least", 1);
    const nn_status status = nn_columns_plan(op, true, error);
    if (status != NN_OK) return status;
    if (op->channels % op->groups)
        return nn_fail(error, NN_VALUE_ERROR, "num_channels modulo num_groups", -1, op->channels % op->groups,
                       "equal to", 0);
    op->saved_bytes = NN_NORM_SAVED * op->x[0] * op->groups * nn_dtype_bytes(op->dtype);
    return NN_OK;
}

/* Group g, which is that of sample n whose channels begin with `first`. */
#define EACH_GROUP(op, each)                              \
    for (int64_t n = 0, g = 0; n < (op)->x[0]; n++) \
        for (int64_t first = 0; first < (op)->channels; first += (each), g++)

/* The lines of all channels, from their moments. */
NN_EACH void set_lines(nn_columns_run *run, const nn_op *op, const nn_io *io, nn_dtype dtype) {
    const int64_t each = op->channels / op->groups, groups = op->x[0] * op->groups;
    const double share = 1 / (double)each, share_of_all = 1 / (double)(each * run->pixels);
    EACH_GROUP(op, each) {
        const double *base = run->base + g * each, *more = run->sums[0] + g * each, *squares = run->sums[1] + g * each;
        double mean = 0, sum = 0; /* mean: beside base[0] */
        for (int64_t k = 0; k < each; k++) mean += (base[k] - base[0]) + more[k];
        mean *= share;
        for (int64_t k = 0; k < each; k++) {
            const double far = ((base[k] - base[0]) + more[k]) - mean;
            sum += squares[k] + (double)run->pixels * (far * far);
        }
        const nn_norm norm = nn_norm_of(dtype, base[0], mean, sum * share_of_all, op->parameter[0]);
        if (io->saved) nn_norm_save(io->saved, dtype, groups, g, norm);
        for (int64_t k = 0; k < each; k++) {
            const int64_t c = first + k;
            const double weight = nn_get_or(io->weight, dtype, c, 1);
            const double line[3] = {norm.mean, norm.inverse * weight,
                                    nn_get_or(io->bias, dtype, c, 0) + norm.offset * weight};
            nn_columns_set(run, dtype, n, c, 3, line);
        }
    }
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_columns_run run = nn_columns_open(op, io, true, false);
    if (run.cut.size == 0) return NN_OK;
    nn_columns_moments(&run);
    if (op->dtype == NN_FLOAT32) set_lines(&run, op, io, NN_FLOAT32);
    else set_lines(&run, op, io, NN_FLOAT64);
    nn_columns_apply(&run, io->y, run.x);
    return NN_OK;
}

/* The lines of dx, from the sums of dy and dy (x - mean), which become those of dy xhat. */
NN_EACH void set_lines_backward(nn_columns_run *run, const nn_op *op, const nn_io *io, nn_dtype dtype) {
    const int64_t each = op->channels / op->groups, groups = op->x[0] * op->groups;
    EACH_GROUP(op, each) {
        const nn_norm norm = nn_norm_saved(io->saved, dtype, groups, g);
        double sum = 0, products = 0;
        for (int64_t k = 0; k < each; k++) {
            const int64_t c = first + k;
            const double own = run->sums[0][g * each + k];
            const double product = run->sums[1][g * each + k] * norm.inverse + norm.offset * own;
            const double weight = nn_get_or(io->weight, dtype, c, 1);
            sum += weight * own;
            products += weight * product;
            run->sums[1][g * each + k] = product;
        }
        const double m = (double)(each * run->pixels), slope = -norm.inverse * products / m;
        for (int64_t k = 0; k < each; k++) {
            const int64_t c = first + k;
            nn_columns_set(run, dtype, n, c, 4,
                           (const double[]){norm.inverse * nn_get_or(io->weight, dtype, c, 1), norm.mean,
                                            slope * norm.inverse, slope * norm.offset - norm.inverse * sum / m});
        }
    }
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    nn_columns_run run = nn_columns_open(op, io, true, true);
    if (run.cut.size == 0) return NN_OK;
    const nn_dtype dtype = op->dtype;
    const int64_t each = op->channels / op->groups, groups = op->x[0] * op->groups;
    EACH_GROUP(op, each) {
        const double mean = nn_norm_saved(io->saved, dtype, groups, g).mean;
        for (int64_t k = 0; k < each; k++)
            nn_columns_set(&run, dtype, n, first + k, 1, &mean);
    }
    nn_columns_sums(&run);
    if (dtype == NN_FLOAT32) set_lines_backward(&run, op, io, NN_FLOAT32);
    else set_lines_backward(&run, op, io, NN_FLOAT64);
    /* Sample after sample in double, then added once. */
    for (int64_t c = 0; c < op->channels; c++) {
        double sum = 0, products = 0;
        for (int64_t n = 0; n < op->x[0]; n++) {
            sum += run.sums[0][n * op->channels + c];
            products += run.sums[1][n * op->channels + c];
        }
        if (io->dweight) nn_put(io->dweight, dtype, c, nn_get(io->dweight, dtype, c) + products);
        if (io->dbias) nn_put(io->dbias, dtype, c, nn_get(io->dbias, dtype, c) + sum);
    }
    if (io->dx) nn_columns_apply_backward(&run, io->dx);
    return NN_OK;
}

const nn_op_class nn_group_norm_class = {plan, forward, backward};
