/*
 * arithmetic.h: what Add, Subtract and Multiply share: an array x, and a second operand, an array of the batch
 * (op.more_count 1) or a weight (op.more_count 0); op.more[0] is its shape in both cases.
 *
 * The second may be broadcast: its shape is x's but for some sizes of 1. In memory, (n, pixels, c), those must lie
 * side by side: a weight (1, ...) over the batch, (1, c, 1, 1) over batch and pixels; an array (n, c, 1, 1) over
 * pixels, (n, 1) over features.
 */
#ifndef NN_OPS_ARITHMETIC_H
#define NN_OPS_ARITHMETIC_H

#include "../kernels/arithmetic.h"
#include "../runtime/runtime.h"
#include "op.h"

nn_status nn_arithmetic_plan(nn_op *op, nn_error *error);

/* y = x (kernel) the second operand, `factor` before it. */
void nn_arithmetic_forward(const nn_op *op, const nn_io *io, nn_kernel_id kernel, double factor);

/* z = factor a + summand, all like x. */
void nn_arithmetic_scale(const nn_op *op, void *z, const void *a, double factor, double summand);

/* The second operand's gradient: factor * dy, or dy * other unless that is NULL, summed over what was repeated. */
void nn_arithmetic_second(const nn_op *op, const nn_io *io, const void *other, double factor);

#endif
