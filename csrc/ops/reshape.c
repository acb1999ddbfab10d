/*
 * reshape: y (n, shape[1], shape[2], shape[3]) = the samples of x in logical order, (c, h, w) row-major, whatever the
 * memory order of images is; shape[0] is not looked at.
 *
 * Backward: dx = dy in x's shape.
 */
#include "op.h"

/* Whether memory, (h, w, c), and logical order differ. */
static bool turned(const int64_t shape[4]) { return shape[1] > 1 && shape[2] * shape[3] > 1; }

static nn_status plan(nn_op *op, nn_error *error) {
    for (int i = 1; i < 4; i++)
        if (op->shape[i] < 0) return nn_fail(error, NN_VALUE_ERROR, "shape", i, op->shape[i], "at least", 0);
    const int64_t size = nn_size_product(op->x + 1, 3), wanted = nn_size_product(op->shape + 1, 3);
    op->x_count = op->y_count = nn_size_product(op->x, 4);
    if (size < 0 || op->x_count < 0)
        return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    if (wanted != size) return nn_fail(error, NN_VALUE_ERROR, "elements a sample", -1, wanted, "equal to", size);
    op->y[0] = op->x[0];
    for (int i = 1; i < 4; i++) op->y[i] = op->shape[i];
    if (turned(op->x) && turned(op->y))
        op->forward_bytes = op->backward_bytes = nn_size_mul(op->x_count, nn_dtype_bytes(op->dtype));
    return NN_OK;
}

/* dst of shape `to` from src of shape `from`. */
static void turn(const nn_op *op, void *dst, const void *src, const int64_t *from, const int64_t *to, void *work) {
    if (turned(from)) { /* to logical order */
        void *logical = turned(to) ? work : dst;
        nn_transpose(logical, src, op->dtype, from[0], from[2] * from[3], from[1]);
        src = logical;
    }
    if (src != dst) nn_transpose(dst, src, op->dtype, to[0], to[1], to[2] * to[3]);
}

static nn_status forward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    turn(op, io->y, io->x, op->x, op->y, io->work);
    return NN_OK;
}

static nn_status backward(const nn_op *op, const nn_io *io, nn_error *error) {
    (void)error;
    if (io->dx) turn(op, io->dx, io->dy, op->y, op->x, io->work);
    return NN_OK;
}

const nn_op_class nn_reshape_class = {plan, forward, backward};
