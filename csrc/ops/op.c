/*
 * op.c: the table of operations, and the helpers they share: errors, checked sizes, window geometry.
 */
#include "op.h"

typedef struct nn_op_entry {
    const char *name;
    const nn_op_class *class;
} nn_op_entry;

static const nn_op_entry ops[NN_OP_KINDS] = {
#define NN_OP(kind, name) [NN_OP_##kind] = {#name, &nn_##name##_class},
#include "ops.def"
#undef NN_OP
};

static bool known(nn_kind kind) { return (int)kind >= 0 && kind < NN_OP_KINDS; }

const char *nn_op_name(nn_kind kind) { return known(kind) ? ops[kind].name : "unknown"; }

nn_status nn_op_plan(nn_op *op, nn_error *error) {
    if (!known(op->kind)) return nn_fail(error, NN_VALUE_ERROR, "kind", -1, op->kind, "below", NN_OP_KINDS);
    if ((int)op->dtype < 0 || (int)op->dtype >= NN_DTYPES)
        return nn_fail(error, NN_TYPE_ERROR, "dtype", -1, op->dtype, "below", NN_DTYPES);
    for (int i = 0; i < 4; i++)
        if (op->x[i] < 0) return nn_fail(error, NN_VALUE_ERROR, "x.shape", i, op->x[i], "at least", 0);
    if (op->more_count < 0 || op->more_count >= NN_INPUTS_MAX)
        return nn_fail(error, NN_VALUE_ERROR, "inputs", -1, op->more_count + 1, "at most", NN_INPUTS_MAX);
    for (int input = 0; input < op->more_count; input++)
        for (int i = 0; i < 4; i++)
            if (op->more[input][i] < 0)
                return nn_fail(error, NN_VALUE_ERROR, "x.shape", i, op->more[input][i], "at least", 0);
    op->saved_bytes = op->forward_bytes = op->backward_bytes = op->flops = 0;
    op->weight_count = op->bias_count = op->target_count = 0;
    op->needs = 0;
    op->overwrites = op->finishes = op->descends = op->elementwise = op->tells = op->follows = false;
    op->loss = op->reads_labels = op->indices = false;
    op->inputs = 1;
    nn_status status = ops[op->kind].class->plan(op, error);
    if (status != NN_OK) return status;
    if (op->inputs != 1 + op->more_count)
        return nn_fail(error, NN_VALUE_ERROR, "inputs", -1, op->more_count + 1, "equal to", op->inputs);
    /* One check for all: no buffer of an operation, counted in the widest type it may hold, overflows. */
    if (nn_size_mul(op->x_count, 8) < 0 || nn_size_mul(op->y_count, 8) < 0 || nn_size_mul(op->target_count, 8) < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x_count, "at most", INT64_MAX / 8);
    return NN_OK;
}

nn_status nn_op_forward(const nn_op *op, const nn_io *io, nn_error *error) {
    return ops[op->kind].class->forward(op, io, error);
}

nn_status nn_op_backward(const nn_op *op, const nn_io *io, nn_error *error) {
    return ops[op->kind].class->backward(op, io, error);
}

nn_status nn_fail(nn_error *error, nn_status status, const char *arg, int64_t index, int64_t got,
                  const char *relation, int64_t expected) {
    if (error) *error = (nn_error){.arg = arg, .relation = relation, .index = index, .got = got, .expected = expected};
    return status;
}

int64_t nn_size_mul(int64_t a, int64_t b) {
    int64_t product;
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) return -1;
    return product;
}

int64_t nn_size_add(int64_t a, int64_t b) {
    int64_t sum;
    if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &sum)) return -1;
    return sum;
}

int64_t nn_size_product(const int64_t *sizes, int rank) {
    int64_t product = 1;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (sizes[i] == 0) empty = true;
        else product = nn_size_mul(product, sizes[i]);
    }
    return product < 0 ? -1 : empty ? 0 : product;
}

int64_t nn_dtype_bytes(nn_dtype dtype) { return dtype == NN_FLOAT32 ? 4 : 8; }

nn_status nn_window_check(const nn_window *window, int axis, int64_t size, nn_error *error) {
    /* Sizes beyond this are nonsense on any machine; below it no sum or product of geometry can overflow. */
    const int64_t limit = INT64_C(1) << 30;
    const struct {
        const char *name;
        int64_t value, least;
    } given[] = {
        {"kernel_size", window->kernel[axis], 1},  {"stride", window->stride[axis], 1},
        {"padding", window->padding[axis], 0},     {"dilation", window->dilation[axis], 1},
        {"output_padding", window->extra[axis], 0}, {axis ? "width" : "height", size, 1},
    };
    for (int i = 0; i < 6; i++) {
        const int index = i < 5 ? axis : -1;
        if (given[i].value < given[i].least)
            return nn_fail(error, NN_VALUE_ERROR, given[i].name, index, given[i].value, "at least", given[i].least);
        if (given[i].value > limit)
            return nn_fail(error, NN_VALUE_ERROR, given[i].name, index, given[i].value, "at most", limit);
    }
    return NN_OK;
}

nn_status nn_window_output(const nn_window *window, int axis, int64_t size, bool pooling, int64_t *out,
                           nn_error *error) {
    if (pooling && window->adaptive) {
        const nn_window windows = {.kernel = {window->kernel[0], window->kernel[1]}, .stride = {1, 1}, .dilation = {1, 1}};
        const nn_status status = nn_window_check(&windows, axis, size, error);
        if (status != NN_OK && error && error->index >= 0) error->arg = "output_size";
        *out = window->kernel[axis];
        return status;
    }
    const nn_status status = nn_window_check(window, axis, size, error);
    if (status != NN_OK) return status;
    const int64_t kernel = window->kernel[axis], stride = window->stride[axis];
    const int64_t padding = window->padding[axis], dilation = window->dilation[axis];

    const int64_t reach = dilation * (kernel - 1) + 1; /* at most 2^60 */
    if (pooling && padding > reach / 2)
        return nn_fail(error, NN_VALUE_ERROR, "padding", axis, padding, "at most", reach / 2);
    const int64_t padded = size + 2 * padding + (pooling ? 0 : window->extra[axis]);
    /* Rounded up in ceil_mode; the added window must still start inside the input or the left padding. */
    const bool up = pooling && window->ceil_mode;
    const int64_t span = padded - reach + (up ? stride - 1 : 0);
    if (span < 0) return nn_fail(error, NN_VALUE_ERROR, "kernel_size", axis, reach, "at most", padded);
    int64_t count = span / stride + 1;
    if (up && (count - 1) * stride >= size + padding) count--;
    *out = count;
    if (!pooling) return NN_OK;

    /*
     * Each window needs one element inside the input. Those that start on one have it; of one that starts in
     * the padding the taps come into the input before they end (padding <= reach / 2), and can miss it only by
     * stepping over all of it.
     */
    if (dilation <= size) return NN_OK;
    for (int64_t start = -padding; start < 0 && start < count * stride - padding; start += stride)
        if (start + (-start + dilation - 1) / dilation * dilation >= size)
            return nn_fail(error, NN_VALUE_ERROR, "dilation", axis, dilation, "at most", size);
    return NN_OK;
}

nn_window nn_pool_window(const nn_op *op) {
    nn_window w = op->window;
    if (!w.adaptive) return w;
    w = (nn_window){.stride = {1, 1}, .dilation = {1, 1}};
    for (int axis = 0; axis < 2; axis++) {
        if (op->x[2 + axis] % op->y[2 + axis]) w.adaptive = true;
        w.kernel[axis] = op->x[2 + axis] / op->y[2 + axis];
    }
    for (int axis = 0; axis < 2; axis++) {
        if (op->x[2 + axis] % op->y[2 + axis]) w.kernel[axis] += 2; /* begun and ended within a cell */
        if (!w.adaptive) w.stride[axis] = w.kernel[axis];
    }
    return w;
}
