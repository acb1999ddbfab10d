/*
 * update: the optimisers' steps over all tensors at once, after torch.optim.SGD, Adam and AdamW.
 */
#include "../kernels/update.h"

#include <math.h>

#include "../runtime/runtime.h"
#include "op.h"

_Static_assert(sizeof(nn_update_tensor) == sizeof(nn_tensor) &&
                   offsetof(nn_update_tensor, grad) == offsetof(nn_tensor, grad) &&
                   offsetof(nn_update_tensor, state) == offsetof(nn_tensor, state) &&
                   offsetof(nn_update_tensor, count) == offsetof(nn_tensor, count),
               "nn_update_tensor is nn_tensor");

/* Arrays of state that an update of this kind reads. */
static int states_of(const nn_update *update) {
    return update->kind == NN_ADAM ? 2 : update->momentum != 0 ? 1 : 0;
}

/* Everything that could be wrong, before anything is changed; sets *total, the number of elements. */
static nn_status check(const nn_update *update, int64_t *total, nn_error *error) {
    if (update->kind != NN_SGD && update->kind != NN_ADAM)
        return nn_fail(error, NN_VALUE_ERROR, "kind", -1, update->kind, "at most", NN_ADAM);
    if ((int)update->dtype < 0 || (int)update->dtype >= NN_DTYPES)
        return nn_fail(error, NN_TYPE_ERROR, "dtype", -1, update->dtype, "below", NN_DTYPES);
    if (update->steps < 0) return nn_fail(error, NN_VALUE_ERROR, "steps", -1, update->steps, "at least", 0);
    *total = 0;
    for (int64_t i = 0; i < update->tensor_count; i++) {
        const nn_tensor *t = &update->tensors[i];
        *total = nn_size_add(*total, nn_size_mul(t->count, 8));
        if (*total < 0) return nn_fail(error, NN_VALUE_ERROR, "count", i, t->count, "within 0 and", INT64_MAX / 8);
        int given = 0;
        while (given < 2 && t->state[given]) given++;
        if (t->count > 0 && given < states_of(update))
            return nn_fail(error, NN_VALUE_ERROR, "states", i, given, "at least", states_of(update));
    }
    *total /= 8;
    return NN_OK;
}

nn_status nn_update_run(nn_update *update, nn_error *error) {
    int64_t total = 0;
    nn_status status = check(update, &total, error);
    if (status != NN_OK) return status;
    nn_update_args args = {.tensors = (const nn_update_tensor *)update->tensors,
                           .tensor_count = update->tensor_count, .lr = update->lr,
                           .weight_decay = update->weight_decay, .clear_grad = update->clear_grad};
    nn_kernel_id kernel = NN_KERNEL_sgd_update;
    if (update->kind == NN_SGD) {
        args.momentum = update->momentum;
        args.one_minus_dampening = 1 - update->dampening;
        args.nesterov = update->nesterov;
        args.first = update->steps == 0;
    } else {
        kernel = NN_KERNEL_adam_update;
        const double t = (double)update->steps + 1;
        args.beta1 = update->beta1;
        args.one_minus_beta1 = 1 - update->beta1;
        args.beta2 = update->beta2;
        args.one_minus_beta2 = 1 - update->beta2;
        args.eps = update->eps;
        args.step_size = update->lr / (1 - pow(update->beta1, t));
        args.root_scale = 1 / sqrt(1 - pow(update->beta2, t));
        args.shrink = 1;
        if (update->decoupled) {
            args.shrink = 1 - update->lr * update->weight_decay;
            args.weight_decay = 0;
        }
    }
    const int64_t touched = 3 + 2 * states_of(update) + (update->clear_grad ? 1 : 0);
    nn_parallel(nn_kernel(kernel, update->dtype), &args, total, NN_UPDATE_PIECE,
                total * nn_dtype_bytes(update->dtype) * touched);
    update->steps++;
    return NN_OK;
}

int64_t nn_update_nonfinite(const nn_update *update) {
    int nonfinite = 0;
    int64_t total = 0;
    for (int64_t i = 0; i < update->tensor_count; i++) total += update->tensors[i].count;
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
