/*
 * epoch.c: many batches of a data set, their rows gathered on the way.
 *
 * The caller wants to hear of interrupts and show how far it is, so the loop breaks off when its time is over, in
 * the midst of a large batch too, and takes up where it was in the next call.
 */
#define _POSIX_C_SOURCE 199309L /* clock_gettime */

#include <math.h>
#include <string.h>
#include <time.h>

#include "../kernels/batch.h"
#include "../ops/op.h"
#include "../runtime/runtime.h"
#include "step.h"

/* Flops and elements moved between two looks at the clock: milliseconds at most, and never felt. */
enum { WORK_BETWEEN_LOOKS = 1 << 22 };

enum { AHEAD = 16 }; /* labels that are asked of memory before their turn */

typedef struct watch {
    double end;
    int64_t work; /* since the last look */
} watch;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool is_over(watch *w, const nn_op *op) {
    w->work += op->flops + op->x_count + op->y_count;
    if (w->work < WORK_BETWEEN_LOOKS) return false;
    w->work = 0;
    return now() >= w->end;
}

/* ---- a batch's data ---------------------------------------------------------------------------------- */

static int64_t first_row(const nn_epoch *epoch) { return epoch->done * epoch->batch; }

static int64_t batch_rows(const nn_epoch *epoch) {
    const int64_t left = epoch->samples - first_row(epoch);
    return left < epoch->batch ? left : epoch->batch;
}

/* The rows are read where they lie if nothing must be done to them. `shape` is logical, as they are read. */
static bool lie_ready(const nn_epoch *epoch, const nn_rows *rows, const int64_t shape[4]) {
    const bool turned = rows->channels_first && shape[1] > 1 && shape[2] * shape[3] > 1;
    return !epoch->order && !rows->bytes && !turned;
}

/* Where the batch's rows are or shall be. */
static const void *place_of(const nn_step *step, const nn_epoch *epoch, const nn_rows *rows, const int64_t shape[4],
                            const nn_place *place) {
    if (!lie_ready(epoch, rows, shape)) return nn_step_at(step, place);
    return (const char *)rows->data + first_row(epoch) * nn_step_row(shape) * nn_dtype_bytes(nn_step_dtype(step));
}

/* Brings rows to their place, with work shared among threads where they are many. */
static void gather(const nn_step *step, const nn_epoch *epoch, const nn_rows *rows, const int64_t shape[4],
                   const nn_place *place) {
    if (lie_ready(epoch, rows, shape)) return;
    const nn_dtype dtype = nn_step_dtype(step);
    const int64_t n = batch_rows(epoch), first = first_row(epoch), size = nn_step_row(shape);
    nn_gather_args args = {.rows = nn_step_at(step, place), .source = rows->data, .channels = shape[1],
                           .pixels = shape[2] * shape[3], .channels_first = rows->channels_first,
                           .scaled = rows->bytes ? nn_step_at(step, &step->scaled) : NULL};
    if (epoch->order) args.order = epoch->order + first;
    else args.source = (const char *)rows->data + first * size * (rows->bytes ? 1 : nn_dtype_bytes(dtype));
    if (n > 0 && size > 0)
        nn_parallel(nn_kernel(NN_KERNEL_gather, dtype), &args, n, 4096 / size + 1, n * size * 8);
}

/* Labels, `each` a sample, copied and checked; of a bad one the row in the data set is told. */
static nn_status take_labels(nn_step *step, const nn_epoch *epoch, int64_t *node, nn_error *error) {
    const int64_t n = batch_rows(epoch), first = first_row(epoch), *labels = epoch->target.data;
    const int64_t each = nn_step_row(step->nodes[step->count - 1].given.op.target);
    int64_t *taken = nn_step_at(step, &step->target);
    for (int64_t i = 0; i < n; i++) {
        if (epoch->order && i + AHEAD < n) __builtin_prefetch(&labels[epoch->order[first + i + AHEAD] * each]);
        const int64_t *row = labels + (epoch->order ? epoch->order[first + i] : first + i) * each;
        for (int64_t k = 0; k < each; k++) taken[i * each + k] = row[k];
    }
    const void *target = taken;
    nn_status status = nn_step_take_target(step, &target, node, error);
    if (status != NN_OK && error) {
        const int64_t at = first + error->index / each;
        error->index = epoch->order ? epoch->order[at] : at;
    }
    return status;
}

/* ---- a batch ----------------------------------------------------------------------------------------- */

static step_batch batch_of(nn_step *step, const nn_epoch *epoch) {
    const nn_op *loss = &step->nodes[step->count - 1].given.op;
    for (int64_t v = 0; v < step->sources; v++)
        step->x[v] = step->values[v].indices
                         ? nn_step_at(step, &step->values[v].y)
                         : place_of(step, epoch, &epoch->x[v], step->values[v].shape, &step->values[v].y);
    step_batch batch = {.x = step->x, .training = epoch->mode == NN_STEP_TRAIN};
    if (epoch->mode == NN_STEP_PREDICT) return batch;
    batch.target = loss->reads_labels ? nn_step_at(step, &step->target)
                                      : place_of(step, epoch, &epoch->target, loss->target, &step->target);
    return batch;
}

/* Whole numbers, always copied: of a bad one its place in the data set is told. */
static nn_status gather_indices(nn_step *step, const nn_epoch *epoch, int64_t *node, nn_error *error) {
    for (int64_t v = 0; v < step->sources; v++) {
        const step_value *value = &step->values[v];
        if (!value->indices) continue;
        const int64_t n = batch_rows(epoch), first = first_row(epoch), size = nn_step_row(value->shape);
        const nn_gather_args args = {.rows = nn_step_at(step, &value->y), .channels = size, .pixels = 1,
                                     .source = (const int64_t *)epoch->x[v].data + (epoch->order ? 0 : first * size),
                                     .order = epoch->order ? epoch->order + first : NULL};
        /* The kernel of doubles moves anything of eight bytes. */
        if (n > 0 && size > 0) nn_kernel(NN_KERNEL_gather, NN_FLOAT64)(&args, 0, n);
    }
    nn_status status = nn_step_check_indices(step, node, error);
    if (status != NN_OK && error) {
        const int64_t size = nn_step_row(step->nodes[*node].given.op.x), at = first_row(epoch) + error->index / size;
        error->index = (epoch->order ? epoch->order[at] : at) * size + error->index % size;
    }
    return status;
}

static nn_status begin(nn_step *step, nn_epoch *epoch, int64_t *node, nn_error *error) {
    nn_status status = nn_step_begin(step, batch_rows(epoch), node, error);
    if (status == NN_OK && epoch->mode != NN_STEP_PREDICT) {
        const nn_op *loss = &step->nodes[step->count - 1].given.op;
        if (loss->reads_labels) status = take_labels(step, epoch, node, error);
        else gather(step, epoch, &epoch->target, loss->target, &step->target);
    }
    if (status == NN_OK && step->reads_indices) status = gather_indices(step, epoch, node, error);
    for (int64_t v = 0; v < step->sources && status == NN_OK; v++)
        if (!step->values[v].indices) gather(step, epoch, &epoch->x[v], step->values[v].shape, &step->values[v].y);
    if (status == NN_OK && epoch->mode == NN_STEP_TRAIN) nn_step_keep(step);
    return status;
}

/* After the forwards: what is asked for besides the weights. Returns whether the batch goes on to its backward. */
static bool take_results(const nn_step *step, nn_epoch *epoch) {
    const int64_t n = step->planned, *shape = step->values[step->outputs[0]].shape;
    const int64_t row_bytes = nn_step_row(shape) * nn_dtype_bytes(nn_step_dtype(step));
    const void *output = nn_step_value(step, step->outputs[0]);
    if (epoch->output && n * row_bytes > 0)
        memcpy((char *)epoch->output + first_row(epoch) * row_bytes, output, (size_t)(n * row_bytes));
    if (epoch->mode == NN_STEP_PREDICT) return true;
    memcpy(&epoch->loss[epoch->done], nn_step_value(step, step->sources + step->count - 1), sizeof *epoch->loss);
    if (epoch->correct) {
        int64_t *correct = &epoch->correct[epoch->done];
        nn_count_correct_args args = {.correct = correct, .x = output, .labels = nn_step_at(step, &step->target),
                                      .classes = shape[1]};
        *correct = 0;
        nn_kernel(NN_KERNEL_count_correct, nn_step_dtype(step))(&args, 0, n);
    }
    epoch->nonfinite = epoch->stop_at_nonfinite && !isfinite(epoch->loss[epoch->done]);
    return !epoch->nonfinite;
}

/* One forward or backward; its time is epoch->time. */
static nn_status run_node(nn_step *step, const nn_epoch *epoch, const step_batch *batch, int64_t *node,
                          nn_error *error) {
    const bool forward = epoch->time < step->count;
    *node = forward ? epoch->time : 2 * step->count - 1 - epoch->time;
    return forward ? nn_step_forward_node(step, *node, batch, error)
                   : nn_step_backward_node(step, *node, batch, error);
}

static nn_status run(nn_step *step, nn_epoch *epoch, nn_update *const *updates, int64_t update_count, double seconds,
                     int64_t *node, nn_error *error) {
    watch w = {.end = now() + seconds};
    const int64_t batches = epoch->samples / epoch->batch + (epoch->samples % epoch->batch > 0);
    const int64_t forwards = epoch->mode == NN_STEP_PREDICT ? step->forwards : step->count;
    const int64_t end = epoch->mode == NN_STEP_TRAIN ? 2 * step->count : forwards;
    nn_status status = NN_OK;
    while (epoch->done < batches && !epoch->nonfinite) {
        if (epoch->time == 0) status = begin(step, epoch, node, error);
        step_batch batch = batch_of(step, epoch);
        bool over = false;
        while (status == NN_OK && epoch->time < end && (!over || batch.fused)) {
            status = run_node(step, epoch, &batch, node, error);
            epoch->time++;
            if (status == NN_OK && epoch->time == forwards) {
                if (!take_results(step, epoch)) return NN_OK;
                if (epoch->mode == NN_STEP_TRAIN) {
                    nn_step_zero(step);
                    status = nn_step_fuse(step, &batch, updates, update_count, error);
                }
            }
            over = is_over(&w, &step->nodes[*node].given.op);
        }
        if (status != NN_OK || epoch->time < end) return status;
        if (epoch->mode == NN_STEP_TRAIN) status = nn_step_update(step, &batch, updates, update_count, error);
        if (status != NN_OK) return status;
        nn_step_end(step, true);
        epoch->done++;
        epoch->time = 0;
        if (over || seconds <= 0) return NN_OK;
    }
    return NN_OK;
}

nn_status nn_step_epoch(nn_step *step, nn_epoch *epoch, nn_update *const *updates, int64_t update_count,
                        double seconds, int64_t *node, nn_error *error) {
    *node = -1;
    if (epoch->batch < 1) return nn_fail(error, NN_VALUE_ERROR, "batch", -1, epoch->batch, "at least", 1);
    if (epoch->samples < 0) return nn_fail(error, NN_VALUE_ERROR, "samples", -1, epoch->samples, "at least", 0);
    if (epoch->mode == NN_STEP_GRADIENTS)
        return nn_fail(error, NN_VALUE_ERROR, "mode", -1, epoch->mode, "not equal to", NN_STEP_GRADIENTS);
    if (epoch->mode != NN_STEP_PREDICT && !nn_step_has_loss(step))
        return nn_fail(error, NN_RUNTIME_ERROR, "loss functions", -1, 0, "at least", 1);
    const int limit = nn_threads_limit(step->threads);
    nn_status status = run(step, epoch, updates, update_count, seconds, node, error);
    nn_threads_limit(limit);
    if (status != NN_OK || epoch->nonfinite) nn_step_end(step, false);
    return status;
}
