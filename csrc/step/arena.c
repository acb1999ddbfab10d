/*
 * arena.c: where every buffer of a step lies.
 *
 * A buffer is alive from the time it is written to the last time it is read. The buffers are placed largest
 * first, each at the lowest offset where it meets no buffer alive at the same time: simple, and close to the
 * best for the chains that networks are.
 */
#include <stdlib.h>
#include <string.h>

#include "../ops/op.h"
#include "../runtime/runtime.h"
#include "step.h"

enum { LINE = 64 };

static int64_t time_forward(int64_t node) { return node; }
static int64_t time_backward(const nn_step *step, int64_t node) { return 2 * step->count - 1 - node; }

static void alive_at(nn_place *place, int64_t time) {
    if (time < place->from) place->from = time;
    if (time > place->to) place->to = time;
}

static int64_t value_bytes(const nn_step *step, int64_t node) {
    const nn_op *op = &step->nodes[node].given.op;
    return step->nodes[node].loss ? (int64_t)sizeof(double) : nn_size_mul(op->y_count, nn_dtype_bytes(op->dtype));
}

/*
 * Sizes and lifetimes of all buffers, from what each operation's backward reads. The whole way back to x is provided
 * for, frozen layers included: whoever asks for the gradient of x takes it.
 */
static void set_lifetimes(nn_step *step) {
    const int64_t end = 2 * step->count - 1;
    const nn_op *first = &step->nodes[0].given.op, *final = &step->nodes[step->count - 1].given.op;
    const int64_t element = nn_dtype_bytes(first->dtype);
    step->x = (nn_place){.offset = -1, .bytes = nn_size_mul(first->x_count, element), .from = 0, .to = 0};
    step->target = (nn_place){.offset = -1, .from = 0, .to = end};
    if (step->nodes[step->count - 1].loss)
        step->target.bytes = nn_size_mul(final->target_count, final->reads_labels ? (int64_t)sizeof(int64_t) : element);
    step->scaled = (nn_place){.offset = -1, .bytes = 256 * element, .from = 0, .to = end};
    for (int64_t i = 0; i < step->count; i++) {
        step_node *node = &step->nodes[i];
        node->y = (nn_place){.offset = -1, .bytes = value_bytes(step, i), .from = i, .to = i};
        node->dy = (nn_place){.offset = -1, .bytes = 0, .from = end, .to = 0};
        node->saved = (nn_place){.offset = -1, .bytes = node->given.op.saved_bytes, .from = i,
                                 .to = time_backward(step, i)};
        if (node->given.op.needs & NN_NEEDS_Y) alive_at(&node->y, time_backward(step, i));
    }
    for (int64_t i = 0; i < step->count; i++) {
        step_node *node = &step->nodes[i];
        nn_place *x = node->given.input == 0 ? &step->x : &step->nodes[node->given.input - 1].y;
        alive_at(x, time_forward(i));
        if (node->given.op.needs & NN_NEEDS_X) alive_at(x, time_backward(step, i));
        if (node->given.input == 0) continue;
        step_node *source = &step->nodes[node->given.input - 1];
        source->dy.bytes = source->y.bytes;
        alive_at(&source->dy, time_backward(step, i));
        alive_at(&source->dy, time_backward(step, node->given.input - 1));
        /* The prediction stays readable after the run. */
        if (node->loss) alive_at(&source->y, end);
    }
    alive_at(&step->nodes[step->count - 1].y, end);
}

static bool meet(const nn_place *a, const nn_place *b) {
    const bool in_time = a->from <= b->to && b->from <= a->to;
    const bool in_space = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
    return in_time && in_space;
}

static int larger_first(const void *a, const void *b) {
    const nn_place *p = *(nn_place *const *)a, *q = *(nn_place *const *)b;
    if (p->bytes != q->bytes) return p->bytes < q->bytes ? 1 : -1;
    return p->from < q->from ? -1 : p->from > q->from;
}

/* Lowest offset for places[index] among those placed before it, -1 on overflow. */
static int64_t lowest_offset(nn_place **places, int64_t index) {
    nn_place *place = places[index];
    place->offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int64_t i = 0; i < index; i++) {
            if (!meet(place, places[i])) continue;
            place->offset = nn_size_add(places[i]->offset, places[i]->bytes);
            if (nn_size_add(place->offset, place->bytes) < 0) return -1;
            moved = true;
        }
    }
    return place->offset;
}

nn_status nn_step_layout(nn_step *step, nn_error *error) {
    set_lifetimes(step);
    step->work = (nn_place){.from = 0, .to = 2 * step->count - 1};
    for (int64_t i = 0; i < step->count; i++) {
        const nn_op *op = &step->nodes[i].given.op;
        if (op->forward_bytes > step->work.bytes) step->work.bytes = op->forward_bytes;
        if (op->backward_bytes > step->work.bytes) step->work.bytes = op->backward_bytes;
    }

    nn_place **places = nn_alloc(nn_size_mul(3 * step->count + 4, sizeof *places));
    if (!places) return nn_fail(error, NN_MEMORY_ERROR, "step", -1, step->count, "fewer nodes than", step->count);
    int64_t count = 0;
    places[count++] = &step->work;
    places[count++] = &step->x;
    places[count++] = &step->target;
    places[count++] = &step->scaled;
    for (int64_t i = 0; i < step->count; i++) {
        places[count++] = &step->nodes[i].y;
        places[count++] = &step->nodes[i].dy;
        places[count++] = &step->nodes[i].saved;
    }
    int64_t used = 0;
    for (int64_t i = 0; i < count; i++) {
        if (places[i]->bytes == 0) continue;
        const int64_t lines = nn_size_add(places[i]->bytes, LINE - 1);
        places[i]->bytes = lines < 0 ? -1 : lines / LINE * LINE;
        if (places[i]->bytes < 0) {
            nn_free(places);
            return nn_fail(error, NN_MEMORY_ERROR, "step", -1, lines, "at least", 0);
        }
        places[used++] = places[i];
    }
    qsort(places, (size_t)used, sizeof *places, larger_first);

    nn_status status = NN_OK;
    step->arena_bytes = 0;
    for (int64_t i = 0; i < used && status == NN_OK; i++) {
        if (lowest_offset(places, i) < 0)
            status = nn_fail(error, NN_MEMORY_ERROR, "step", -1, places[i]->bytes, "below", INT64_MAX);
        else if (places[i]->offset + places[i]->bytes > step->arena_bytes)
            step->arena_bytes = places[i]->offset + places[i]->bytes;
    }
    nn_free(places);
    return status;
}
