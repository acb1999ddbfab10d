/*
 * indices.c: sources of whole numbers, which only Embeddings read. A batch of them is copied to the arena and looked at
 * before anything is run, so that what was checked is what is read, whoever writes to the caller's array meanwhile.
 */
#include <string.h>

#include "../ops/op.h"
#include "step.h"

nn_status nn_step_take_indices(nn_step *step, const void *const **x, int64_t *node, nn_error *error) {
    if (!step->reads_indices) return NN_OK;
    for (int64_t v = 0; v < step->sources; v++) {
        const step_value *value = &step->values[v];
        step->x[v] = value->indices ? nn_step_at(step, &value->y) : (*x)[v];
        const size_t bytes = value->indices ? nn_step_value_bytes(step, v) : 0;
        if (bytes && step->x[v] != (*x)[v]) memcpy(nn_step_at(step, &value->y), (*x)[v], bytes);
    }
    *x = step->x;
    return nn_step_check_indices(step, node, error);
}

nn_status nn_step_check_indices(const nn_step *step, int64_t *node, nn_error *error) {
    nn_status status = NN_OK;
    for (int64_t i = 0; step->reads_indices && i < step->count && status == NN_OK; i++) {
        const nn_node *given = &step->nodes[i].given;
        if (!given->op.indices) continue;
        *node = i;
        status = nn_indices_check(&given->op, nn_step_at(step, &step->values[given->inputs[0]].y), error);
    }
    return status;
}
