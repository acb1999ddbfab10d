/*
 * arena.c: where every buffer of a step lies.
 *
 * A buffer is alive from the time it is written to the last time it is read. The buffers are placed largest
 * first, each at the lowest offset where it meets no buffer alive at the same time: simple, and close to the
 * best for the chains, with a few shortcuts, that networks are.
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

static void alive_from(nn_place *place, int64_t bytes, int64_t from, int64_t to) {
    *place = (nn_place){.offset = -1, .bytes = bytes, .from = from, .to = to};
}

/* Of a node's y, and of the gradients that it gives its inputs. */
static void set_node_lifetimes(nn_step *step, int64_t i) {
    step_node *node = &step->nodes[i];
    const nn_op *op = &node->given.op;
    step_value *y = &step->values[step->sources + i];
    const int64_t back = time_backward(step, i);
    alive_at(&y->y, time_forward(node->followed[0] < 0 ? i : node->followed[0]));
    if (y->live && op->needs & NN_NEEDS_Y) alive_at(&y->y, back);
    if (y->live) alive_at(&y->dy, back);
    alive_from(&node->saved, y->live ? op->saved_bytes : 0, time_forward(i), back);
    for (int j = 0; j < nn_step_inputs(node); j++) {
        step_value *x = &step->values[node->given.inputs[j]];
        alive_at(&x->y, time_forward(i));
        alive_from(&node->aside[j], y->live && node->added[j] ? x->y.bytes : 0, back, back);
        if (!y->live) continue;
        if (op->needs & NN_NEEDS_X) alive_at(&x->y, back);
        alive_at(&x->dy, back);
    }
}

/*
 * Sizes and lifetimes of all buffers, from what each operation's backward reads. The whole way back to the sources is
 * provided for, frozen layers included: whoever asks for their gradients takes it.
 */
static void set_lifetimes(nn_step *step) {
    const int64_t end = 2 * step->count - 1, element = nn_dtype_bytes(nn_step_dtype(step));
    for (int64_t v = 0; v < step->sources + step->count; v++) {
        step_value *value = &step->values[v];
        const bool loss = nn_step_has_loss(step) && v == step->sources + step->count - 1;
        const int64_t each = nn_step_element(step, value);
        const int64_t bytes = loss ? (int64_t)sizeof(double) : nn_size_mul(nn_size_product(value->shape, 4), each);
        /* A source is gathered before the first forward; what a run gives stays readable after it. */
        const bool stays = loss || value->output >= 0;
        const bool merged = v >= step->sources && step->nodes[v - step->sources].merged;
        alive_from(&value->y, merged ? 0 : bytes, v < step->sources ? 0 : end, stays ? end : 0);
        /* The gradient of an output that nobody else reads stays where the caller has it. */
        const bool own = v >= step->sources && value->read;
        alive_from(&value->dy, own ? bytes : 0, value->seeded ? step->count : end, 0);
    }
    for (int64_t i = 0; i < step->count; i++)
        if (!step->nodes[i].merged) set_node_lifetimes(step, i);
    const nn_op *loss = &step->nodes[step->count - 1].given.op;
    const int64_t target = loss->reads_labels ? (int64_t)sizeof(int64_t) : element;
    alive_from(&step->target, nn_size_mul(loss->target_count, target), 0, end);
    alive_from(&step->scaled, 256 * element, 0, end);
    alive_from(&step->kept, nn_step_kept_bytes(step), 0, end);
}

/* `a` takes in `b`, whose bytes are as many. */
static void take_in(nn_place *a, const nn_place *b) {
    alive_at(a, b->from);
    alive_at(a, b->to);
}

/*
 * An activation writes over what it reads, where nobody else reads that: y over x, and dx over dy. So a layer and its
 * activation move half the bytes through the cache.
 */
static void set_in_place(nn_step *step) {
    step_value *values = step->values;
    for (int64_t v = 0; v < step->sources + step->count; v++) values[v].y_in = values[v].dy_in = v;
    for (int64_t i = 0; i < step->count; i++) {
        const step_node *node = &step->nodes[i];
        const int64_t y = step->sources + i, x = node->given.inputs[0];
        if (!nn_step_alone(step, node)) continue;
        if (node->given.op.needs & NN_NEEDS_X || step->nodes[x - step->sources].given.op.needs & NN_NEEDS_Y) continue;
        values[y].y_in = values[x].y_in;
        take_in(&values[values[x].y_in].y, &values[y].y);
    }
    for (int64_t i = step->count - 1; i >= 0; i--) {
        const step_node *node = &step->nodes[i];
        const int64_t y = step->sources + i, x = node->given.inputs[0];
        if (!nn_step_alone(step, node)) continue;
        if (!values[y].dy.bytes || values[y].dy.bytes != values[x].dy.bytes) continue;
        values[x].dy_in = values[y].dy_in;
        take_in(&values[values[y].dy_in].dy, &values[x].dy);
    }
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
    set_in_place(step);
    step->work = (nn_place){.from = 0, .to = 2 * step->count - 1};
    for (int64_t i = 0; i < step->count; i++) {
        const nn_op *op = &step->nodes[i].given.op;
        if (op->forward_bytes > step->work.bytes) step->work.bytes = op->forward_bytes;
        if (op->backward_bytes > step->work.bytes) step->work.bytes = op->backward_bytes;
    }

    const int64_t most = 4 + 2 * (step->sources + step->count) + (1 + NN_INPUTS_MAX) * step->count;
    nn_place **places = nn_alloc(nn_size_mul(most, sizeof *places));
    if (!places) return nn_fail(error, NN_MEMORY_ERROR, "step", -1, step->count, "fewer nodes than", step->count);
    int64_t count = 0;
    places[count++] = &step->work;
    for (int64_t v = 0; v < step->sources; v++) places[count++] = &step->values[v].y;
    places[count++] = &step->target;
    places[count++] = &step->scaled;
    places[count++] = &step->kept;
    for (int64_t i = 0; i < step->count; i++) {
        step_node *node = &step->nodes[i];
        const int64_t v = step->sources + i;
        if (step->values[v].y_in == v) places[count++] = &step->values[v].y;
        if (step->values[v].dy_in == v) places[count++] = &step->values[v].dy;
        places[count++] = &node->saved;
        for (int j = 0; j < nn_step_inputs(node); j++) places[count++] = &node->aside[j];
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
    for (int64_t v = 0; v < step->sources + step->count; v++) {
        step_value *value = &step->values[v];
        const nn_place *y = &step->values[value->y_in].y, *dy = &step->values[value->dy_in].dy;
        value->y.offset = y->offset, value->y.bytes = y->bytes;
        value->dy.offset = dy->offset, value->dy.bytes = dy->bytes;
    }
    return status;
}
