/*
 * layer_norm.h: LayerNorm and RMSNorm, which differ in whether the mean is taken away.
 */
#ifndef NN_OPS_LAYER_NORM_H
#define NN_OPS_LAYER_NORM_H

#include "op.h"

nn_status nn_layer_norm_plan(nn_op *op, nn_error *error);
nn_status nn_layer_norm_forward(const nn_op *op, const nn_io *io, bool centred);
nn_status nn_layer_norm_backward(const nn_op *op, const nn_io *io, bool centred);

#endif
