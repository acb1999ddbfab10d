/*
 * elementwise.c: what all activations share: their sizes, and how each way is run, or told to who runs it.
 */
#include "elementwise.h"

#include "../runtime/runtime.h"

nn_status nn_elementwise_plan(nn_op *op, int flops_each, int needs, nn_error *error) {
    for (int i = 0; i < 4; i++) op->y[i] = op->x[i];
    op->x_count = op->y_count = nn_size_product(op->x, 4);
    op->flops = nn_size_mul(op->x_count, flops_each);
    if (op->flops < 0) return nn_fail(error, NN_MEMORY_ERROR, "x", -1, op->x[0], "small enough to count in", INT64_MAX);
    op->needs = needs;
    op->elementwise = op->tells = true;
    return NN_OK;
}

static nn_status run(const nn_op *op, const nn_io *io, nn_kernel_id kernel, const nn_activation_args *args,
                     int64_t work) {
    if (io->told) *io->told = (nn_after){kernel, *args};
    else nn_parallel(nn_kernel(kernel, op->dtype), args, op->x_count, NN_ACTIVATION_PIECE, work);
    return NN_OK;
}

nn_status nn_elementwise_forward_given(const nn_op *op, const nn_io *io, nn_kernel_id kernel, const double parameter[3]) {
    const nn_activation_args args = {.y = io->y, .x = io->x, .parameter = {parameter[0], parameter[1], parameter[2]}};
    return run(op, io, kernel, &args, nn_work(op->flops, 2 * op->x_count * nn_dtype_bytes(op->dtype)));
}

nn_status nn_elementwise_backward_given(const nn_op *op, const nn_io *io, nn_kernel_id kernel, const double parameter[3]) {
    if (!io->dx) return NN_OK;
    const nn_activation_args args = {.dx = io->dx, .dy = io->dy, .kept = op->needs & NN_NEEDS_X ? io->x : io->y,
                                     .parameter = {parameter[0], parameter[1], parameter[2]}};
    return run(op, io, kernel, &args, 3 * op->x_count * nn_dtype_bytes(op->dtype)); /* a product or two */
}

nn_status nn_elementwise_forward(const nn_op *op, const nn_io *io, nn_kernel_id kernel) {
    return nn_elementwise_forward_given(op, io, kernel, (const double[]){op->parameter[0], op->parameter[1], 0});
}

nn_status nn_elementwise_backward(const nn_op *op, const nn_io *io, nn_kernel_id kernel) {
    return nn_elementwise_backward_given(op, io, kernel, (const double[]){op->parameter[0], op->parameter[1], 0});
}
