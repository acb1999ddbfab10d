/*
 * restore.c: what layers keep besides weights, as it was before a batch that is given up: the buffers that forwards in
 * training change, and the counters of calls. A copy of them lies in the arena from the first forward of a batch to its
 * end.
 */
#include <string.h>

#include "../ops/op.h"
#include "step.h"

/* Between the caller's array and its copy. */
static void copy(char **kept, void *own, int64_t bytes, bool back) {
    if (!own) return;
    memcpy(back ? own : *kept, back ? *kept : own, (size_t)bytes);
    *kept += bytes;
}

static void copy_all(const nn_step *step, bool back) {
    char *kept = nn_step_at(step, &step->kept);
    for (int64_t i = 0; kept && i < step->count; i++) {
        const nn_node *node = &step->nodes[i].given;
        if (!node->op.training) continue;
        for (int k = 0; k < 2; k++)
            copy(&kept, node->buffers[k], node->op.channels * nn_dtype_bytes(node->op.dtype), back);
        copy(&kept, node->calls, sizeof *node->calls, back);
    }
}

int64_t nn_step_kept_bytes(const nn_step *step) {
    int64_t bytes = 0;
    for (int64_t i = 0; i < step->count; i++) {
        const nn_node *node = &step->nodes[i].given;
        if (!node->op.training) continue;
        for (int k = 0; k < 2; k++)
            if (node->buffers[k])
                bytes = nn_size_add(bytes, nn_size_mul(node->op.channels, nn_dtype_bytes(node->op.dtype)));
        if (node->calls) bytes = nn_size_add(bytes, sizeof *node->calls);
    }
    return bytes;
}

void nn_step_keep(nn_step *step) {
    copy_all(step, false);
    step->begun = true;
}

void nn_step_end(nn_step *step, bool done) {
    if (step->begun && !done) copy_all(step, true);
    step->begun = false;
}
