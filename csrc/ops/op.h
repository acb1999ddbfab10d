/*
 * op.h: what every operation implements, and the helpers they share.
 *
 * To add an operation: a line in ops.def, a file csrc/ops/<name>.c that defines `nn_<name>_class`.
 */
#ifndef NN_OP_H
#define NN_OP_H

#include "../kernels/activation.h"
#include "../kernels/kernel_id.h"
#include "../nncore.h"

/* An activation, forward or backward, that whoever writes what it reads applies to each part: its kernel and buffers. */
typedef struct nn_after {
    nn_kernel_id kernel;
    nn_activation_args args;
} nn_after;

typedef struct nn_op_class {
    nn_status (*plan)(nn_op *op, nn_error *error);
    nn_status (*forward)(const nn_op *op, const nn_io *io, nn_error *error);
    nn_status (*backward)(const nn_op *op, const nn_io *io, nn_error *error);
} nn_op_class;

#define NN_OP(kind, name) extern const nn_op_class nn_##name##_class;
#include "ops.def"
#undef NN_OP

/* Fills the error record (if there is one) and returns the status: `return nn_fail(...)`. */
nn_status nn_fail(nn_error *error, nn_status status, const char *arg, int64_t index, int64_t got,
                  const char *relation, int64_t expected);

/* The one place of overflow-checked size arithmetic: a * b, or -1 if it does not fit or either is negative. */
int64_t nn_size_mul(int64_t a, int64_t b);
/* a + b for sizes, -1 if either is negative or the sum does not fit. */
int64_t nn_size_add(int64_t a, int64_t b);
/* Product of `rank` sizes, -1 as above. */
int64_t nn_size_product(const int64_t *sizes, int rank);

int64_t nn_dtype_bytes(nn_dtype dtype);

/* Whether each label that a planned loss is to read is ignored, or at least 0 and below the classes (label_loss.c). */
nn_status nn_labels_check(const nn_op *op, const int64_t *labels, nn_error *error);

/* Whether each index that a planned Embedding is to read names a row of its weight (embedding.c). */
nn_status nn_indices_check(const nn_op *op, const int64_t *x, nn_error *error);

/* What nn_parallel calls work: flops or bytes touched, whichever is more. */
static inline int64_t nn_work(int64_t flops, int64_t bytes) { return flops > bytes ? flops : bytes; }

/*
 * Output size of a window along one axis (Conv2d, pooling): checks every argument, refuses overflow.
 * axis 0 is height, 1 is width. Sets *out. `pooling` adds the rules of pooling: padding at most half the
 * kernel, ceil_mode, no window that holds padding only.
 */
nn_status nn_window_output(const nn_window *window, int axis, int64_t size, bool pooling, int64_t *out,
                           nn_error *error);
/* Its checks of the arguments and the size alone: none of them is above 2^30. */
nn_status nn_window_check(const nn_window *window, int axis, int64_t size, nn_error *error);

/*
 * The window of a planned pooling, by which its kernels go: adaptive ones are plain where all have one size; else
 * `kernel` is a size that none is above, a step of 1 apart.
 */
nn_window nn_pool_window(const nn_op *op);

#endif
