/*
 * update: the optimisers' steps over all tensors at once, after torch.optim and Lion's paper.
 */
#include "update.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "../runtime/runtime.h"

_Static_assert(sizeof(nn_update_tensor) == sizeof(nn_tensor) &&
                   offsetof(nn_update_tensor, grad) == offsetof(nn_tensor, grad) &&
                   offsetof(nn_update_tensor, state) == offsetof(nn_tensor, state) &&
                   offsetof(nn_update_tensor, count) == offsetof(nn_tensor, count),
               "nn_update_tensor is nn_tensor");

const char nn_gradient[] = "gradient";

static const struct {
    nn_kernel_id kernel;
    int states; /* arrays that it always needs */
} rules[] = {
    [NN_SGD] = {NN_KERNEL_sgd_update, 0},         [NN_ADAM] = {NN_KERNEL_adam_update, 2},
    [NN_RMSPROP] = {NN_KERNEL_rmsprop_update, 1}, [NN_ADAGRAD] = {NN_KERNEL_adagrad_update, 1},
    [NN_LION] = {NN_KERNEL_lion_update, 1},
};

/* Arrays of state that an update of this kind and with these options reads. */
static int states_of(const nn_update *update) {
    return rules[update->kind].states + (update->momentum != 0) + update->amsgrad + update->centered;
}

/* Everything that could be wrong, before anything is changed. */
static nn_status check(const nn_update *update, nn_error *error) {
    if ((int)update->kind < 0 || update->kind > NN_LION)
        return nn_fail(error, NN_VALUE_ERROR, "kind", -1, update->kind, "at most", NN_LION);
    if ((int)update->dtype < 0 || (int)update->dtype >= NN_DTYPES)
        return nn_fail(error, NN_TYPE_ERROR, "dtype", -1, update->dtype, "below", NN_DTYPES);
    if (update->steps < 0) return nn_fail(error, NN_VALUE_ERROR, "steps", -1, update->steps, "at least", 0);
    int64_t room = INT64_MAX / 8;
    const int needed = states_of(update);
    for (int64_t i = 0; i < update->tensor_count; i++) {
        const nn_tensor *t = &update->tensors[i];
        if (t->count < 0 || t->count > room)
            return nn_fail(error, NN_VALUE_ERROR, "count", i, t->count, "within 0 and", room);
        room -= t->count;
        int given = 0;
        while (given < needed && t->state[given]) given++;
        if (t->count > 0 && given < needed)
            return nn_fail(error, NN_VALUE_ERROR, "states", i, given, "at least", needed);
    }
    if (update->max_norm > 0 && !update->sums)
        return nn_fail(error, NN_VALUE_ERROR, "sums", -1, 0, "at least", (INT64_MAX / 8 - room) / NN_UPDATE_PIECE + 1);
    return NN_OK;
}

static int64_t elements(const nn_update *update) {
    int64_t total = 0;
    for (int64_t i = 0; i < update->tensor_count; i++) total += update->tensors[i].count;
    return total;
}

double nn_update_squares(const nn_update *update) {
    const int64_t total = elements(update);
    const nn_update_args args = {.tensors = (const nn_update_tensor *)update->tensors,
                                 .tensor_count = update->tensor_count, .sums = update->sums, .piece = NN_UPDATE_PIECE};
    nn_parallel(nn_kernel(NN_KERNEL_update_squares, update->dtype), &args, total, NN_UPDATE_PIECE,
                total * nn_dtype_bytes(update->dtype));
    double sum = 0;
    for (int64_t at = 0; at < total; at += NN_UPDATE_PIECE) sum += update->sums[at / NN_UPDATE_PIECE];
    return sum;
}

/* 1 - beta^t, for t that may be large: below exp(-40) what is taken away is lost in rounding. */
static double correction(double beta, double t) { return t * (1 - beta) > 40 ? 1 : 1 - pow(beta, t); }

/* The numbers of the next step; `squares` of all gradients whose norm is limited. Written where they are read. */
static void set_args(nn_update_args *args, const nn_update *update, double squares) {
    memset(args, 0, sizeof *args);
    args->tensors = (const nn_update_tensor *)update->tensors;
    args->tensor_count = update->tensor_count;
    args->lr = update->lr;
    args->weight_decay = update->weight_decay;
    args->clear_grad = update->clear_grad;
    args->momentum = update->momentum;
    args->one_minus_dampening = 1 - update->dampening;
    args->nesterov = update->nesterov;
    args->first = update->steps == 0;
    args->beta1 = update->beta1;
    args->one_minus_beta1 = 1 - update->beta1;
    args->beta2 = update->beta2;
    args->one_minus_beta2 = 1 - update->beta2;
    args->eps = update->eps;
    args->shrink = 1;
    args->short_memory = update->beta1 <= 0.5;
    args->amsgrad = update->amsgrad;
    args->centered = update->centered;
    args->grad_scale = update->maximize ? -1 : 1;
    args->max_value = update->max_value > 0 ? update->max_value : (double)INFINITY;
    if (update->max_norm > 0) {
        const double factor = update->max_norm / (sqrt(squares) + 1e-6); /* PyTorch's */
        args->grad_scale *= factor > 1 ? 1 : factor;
    }
    if (update->kind == NN_ADAM) {
        const double t = (double)update->steps + 1;
        const double root = sqrt(correction(update->beta2, t));
        args->step_size = update->lr * root / correction(update->beta1, t);
        args->eps *= root;
        /* Not subnormal: nothing, divided by that, would be NaN by an estimated quotient. */
        if (update->dtype == NN_FLOAT32 && args->eps > 0 && args->eps < FLT_MIN) args->eps = FLT_MIN;
    } else if (update->kind == NN_ADAGRAD) {
        args->step_size = update->lr / (1 + (double)update->steps * update->lr_decay);
    }
    if (update->decoupled || update->kind == NN_LION) {
        args->shrink = 1 - update->lr * update->weight_decay;
        args->weight_decay = 0;
    }
    args->decay = args->weight_decay != 0;
}

/* The same for a step of rules, none of which limits a norm: once for all of them, since powers take their time. */
static const nn_update_args *numbers_of(nn_taken *taken, const nn_update *update) {
    if (taken->of != update) set_args(&taken->numbers, update, 0);
    taken->of = update;
    return &taken->numbers;
}

/*
 * A large tensor is a job of its own, the small ones between two of them are another: so a thread updates those rows of
 * a weight whose gradient it has summed, and that it will read, which are in its cache.
 */
enum { LARGE = 4 * NN_UPDATE_PIECE };

/* All of job's tensors, which it has been through then. */
static void run_tensors(const nn_update *update, nn_update_args *job) {
    const int64_t touched = 3 + 2 * states_of(update) + (update->clear_grad ? 1 : 0);
    for (int64_t left = job->tensor_count; left > 0; left -= job->tensor_count, job->tensors += job->tensor_count) {
        int64_t total = job->tensors[0].count;
        job->tensor_count = 1;
        while (total < LARGE && job->tensor_count < left && job->tensors[job->tensor_count].count < LARGE)
            total += job->tensors[job->tensor_count++].count;
        nn_parallel(nn_kernel(rules[update->kind].kernel, update->dtype), job, total, NN_UPDATE_PIECE,
                    total * nn_dtype_bytes(update->dtype) * touched);
    }
}

/* Of its tensors, of which the first is number `first` of all. */
static void run(nn_update *update, double squares, nn_taken *taken, int64_t first) {
    nn_update_args args;
    nn_update_tensor left[64];
    if (!taken) {
        set_args(&args, update, squares);
    } else {
        args = *numbers_of(taken, update);
        int64_t count = 0;
        for (int64_t i = 0; i < update->tensor_count; i++) {
            if (nn_is_taken(taken, first + i)) continue;
            if (count == 64) {
                args.tensors = left;
                args.tensor_count = count;
                run_tensors(update, &args);
                count = 0;
            }
            left[count++] = ((const nn_update_tensor *)update->tensors)[i];
        }
        args.tensors = left;
        args.tensor_count = count;
    }
    run_tensors(update, &args);
    update->steps++;
}

nn_status nn_update_check(nn_update *const *updates, int64_t count, nn_error *error) {
    for (int64_t i = 0; i < count; i++) {
        const nn_status status = check(updates[i], error);
        if (status != NN_OK) return status;
        const int64_t bad = updates[i]->finite ? nn_update_nonfinite(updates[i]) : -1;
        if (bad >= 0) return nn_fail(error, NN_VALUE_ERROR, nn_gradient, bad, i, "equal to", -1);
    }
    return NN_OK;
}

void nn_update_rest(nn_update *const *updates, int64_t count, nn_taken *taken) {
    double squares = 0;
    for (int64_t i = 0; i < count; i++)
        if (updates[i]->max_norm > 0) squares += nn_update_squares(updates[i]);
    for (int64_t i = 0, first = 0; i < count; first += updates[i++]->tensor_count)
        run(updates[i], squares, taken, first);
}

nn_status nn_update_run(nn_update *const *updates, int64_t count, nn_error *error) {
    const nn_status status = nn_update_check(updates, count, error);
    if (status == NN_OK) nn_update_rest(updates, count, NULL);
    return status;
}

/* ---- part by part ------------------------------------------------------------------------------------ */

bool nn_update_needs_all(const nn_update *update) { return update->max_norm > 0 || update->finite; }

/* Elements begin to end of the tensor. A gradient that lies where it belongs is left as the update leaves it. */
static void take_part(const nn_finish *finish, void *gradient, int64_t begin, int64_t end) {
    const nn_rule *rule = (const nn_rule *)finish;
    const int64_t at = begin * rule->element;
    nn_update_tensor part = {.param = (char *)rule->tensor.param + at, .grad = gradient, .count = end - begin};
    for (int i = 0; i < NN_STATES_MAX; i++)
        if (rule->tensor.state[i]) part.state[i] = (char *)rule->tensor.state[i] + at;
    nn_update_args args = rule->args;
    args.tensors = &part;
    args.tensor_count = 1;
    if (gradient != (char *)rule->tensor.grad + at) args.clear_grad = false;
    rule->kernel(&args, 0, part.count);
}

/* Rows begin to end of the tensor, of one sample. */
static void take_outer(const nn_finish *finish, const void *dy, const void *x, int64_t in, int64_t begin, int64_t end) {
    const nn_rule *rule = (const nn_rule *)finish;
    nn_update_tensor tensor = rule->tensor;
    tensor.grad = (void *)x; /* read, as it is not cleared */
    nn_update_args args = rule->args;
    args.tensors = &tensor;
    args.tensor_count = 1;
    args.outer = dy;
    args.in = in;
    args.clear_grad = false;
    rule->kernel(&args, begin, end);
}

void nn_update_rule(nn_rule *rule, const nn_update *update, const nn_tensor *tensor, nn_taken *taken) {
    const bool plain = update->kind == NN_SGD && update->momentum == 0 && update->weight_decay == 0 &&
                       !update->maximize && !(update->max_value > 0);
    const bool multiplies = update->kind == NN_ADAM && update->dtype == NN_FLOAT32;
    rule->finish = (nn_finish){.part = take_part, .outer = multiplies ? take_outer : NULL,
                               .plain = plain, .rate = update->lr, .weight = tensor->param};
    rule->kernel = nn_kernel(rules[update->kind].kernel, update->dtype);
    rule->args = *numbers_of(taken, update);
    rule->tensor = *(const nn_update_tensor *)tensor;
    rule->element = nn_dtype_bytes(update->dtype);
}

int64_t nn_update_nonfinite(const nn_update *update) {
    int nonfinite = 0;
    const int64_t total = elements(update);
    nn_update_args args = {.tensors = (const nn_update_tensor *)update->tensors,
                           .tensor_count = update->tensor_count, .nonfinite = &nonfinite};
    nn_kernel_fn *finite = nn_kernel(NN_KERNEL_update_finite, update->dtype);
    nn_parallel(finite, &args, total, NN_UPDATE_PIECE, total * nn_dtype_bytes(update->dtype));
    if (!nonfinite) return -1;
    /* Which one: asked of each in turn, now that an error is sure. */
    args.tensor_count = 1;
    nonfinite = 0;
    for (int64_t i = 0; i < update->tensor_count; i++, args.tensors++) {
        finite(&args, 0, args.tensors->count);
        if (nonfinite) return i;
    }
    return -1;
}
