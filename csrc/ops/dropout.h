/*
 * dropout.h: what the operations Dropout and Dropout2d share.
 */
#ifndef NN_OPS_DROPOUT_H
#define NN_OPS_DROPOUT_H

#include "../kernels/dropout.h"
#include "op.h"

/* Checks the probability, and plans y like x with `drawn` bits. */
nn_status nn_dropout_plan(nn_op *op, int64_t drawn, nn_error *error);
/* Whether anything is dropped in this run. */
static inline bool nn_dropout_acts(const nn_op *op, const nn_io *io) {
    return op->training && io->training && op->parameter[0] > 0;
}
nn_dropout_args nn_dropout_args_of(const nn_op *op, const nn_io *io);
/* y = x, or dx = dy */
void nn_dropout_copy(const nn_op *op, void *to, const void *from);

#endif
