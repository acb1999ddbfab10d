/*
 * test_step_graph: a step whose values have several readers, with several sources and outputs, gives the bits that its
 * operations give one by one with gradients added up in the order of the backwards; what the graph must refuse.
 */
#include <math.h>
#include <string.h>

#include "check.h"
#include "step_graph.h"

/* ---- the same by hand, on blocks of exact size -------------------------------------------------------- */

typedef struct by_hand {
    float *value[VALUES], *grad[VALUES];
    int64_t count[VALUES];
    nn_op op[GRAPH_NODES];
    void *saved[GRAPH_NODES];
    double loss;
} by_hand;

static nn_io io_of(const by_hand *h, const graph *g, int i) {
    const nn_node *node = &g->nodes[i];
    nn_io io = {.y = h->value[SOURCES + i], .x = h->value[node->inputs[0]], .weight = node->weight, .target = g->target,
                .saved = h->saved[i]};
    for (int j = 0; j < node->op.more_count; j++) io.more[j] = h->value[node->inputs[1 + j]];
    return io;
}

static void forward_by_hand(by_hand *h, const graph *g, int count, int64_t n) {
    *h = (by_hand){.loss = 0};
    for (int v = 0; v < SOURCES; v++) h->count[v] = n * WIDTH, h->value[v] = g->x[v];
    for (int i = 0; i < count; i++) {
        h->op[i] = g->nodes[i].op;
        h->op[i].x[0] = n;
        for (int j = 0; j < h->op[i].more_count; j++) h->op[i].more[j][0] = n;
        CHECK_EQUAL(nn_op_plan(&h->op[i], NULL), NN_OK);
        h->count[SOURCES + i] = h->op[i].y_count;
        h->value[SOURCES + i] = malloc((size_t)h->op[i].y_count * sizeof(float) + sizeof(double));
        h->saved[i] = malloc((size_t)h->op[i].saved_bytes + 1);
        nn_io io = io_of(h, g, i);
        io.work = malloc((size_t)h->op[i].forward_bytes + 1);
        if (h->op[i].loss) io.y = &h->loss;
        CHECK_EQUAL(nn_op_forward(&h->op[i], &io, NULL), NN_OK);
        free(io.work);
    }
}

/* The first gradient of a value is copied, every other one added. */
static void give(by_hand *h, int64_t v, const float *gradient) {
    if (!h->grad[v]) {
        h->grad[v] = malloc((size_t)h->count[v] * sizeof(float) + 1);
        memcpy(h->grad[v], gradient, (size_t)h->count[v] * sizeof(float));
    } else
        for (int64_t i = 0; i < h->count[v]; i++) h->grad[v][i] += gradient[i];
}

/* Values without a gradient lead nowhere. Gradients of weights are added to those that are there. */
static void backward_by_hand(by_hand *h, const graph *g, int count) {
    for (int i = count - 1; i >= 0; i--) {
        if (!h->grad[SOURCES + i] && !h->op[i].loss) continue;
        nn_io io = io_of(h, g, i);
        float *part[NN_INPUTS_MAX] = {NULL};
        const int inputs = 1 + h->op[i].more_count;
        for (int j = 0; j < inputs; j++) {
            part[j] = malloc((size_t)h->count[g->nodes[i].inputs[j]] * sizeof(float) + 1);
            *(j ? &io.dmore[j - 1] : &io.dx) = part[j];
        }
        io.work = malloc((size_t)h->op[i].backward_bytes + 1);
        io.dy = h->op[i].loss ? NULL : h->grad[SOURCES + i];
        io.dweight = g->nodes[i].dweight;
        CHECK_EQUAL(nn_op_backward(&h->op[i], &io, NULL), NN_OK);
        for (int j = 0; j < inputs; j++) give(h, g->nodes[i].inputs[j], part[j]), free(part[j]);
        free(io.work);
    }
}

static void end_by_hand(by_hand *h) {
    for (int v = 0; v < VALUES; v++) {
        if (v >= SOURCES) free(h->value[v]), free(h->saved[v - SOURCES]);
        free(h->grad[v]);
    }
}

/* ---- tests --------------------------------------------------------------------------------------------- */

static void zero_gradients(graph *g) {
    memset(g->dshared, 0, SHARED * sizeof(float));
    memset(g->dlast, 0, LAST * sizeof(float));
    memset(g->dfactor, 0, WIDTH * sizeof(float));
}

static void same_gradients(const graph *a, const graph *b) {
    CHECK(memcmp(a->dshared, b->dshared, SHARED * sizeof(float)) == 0);
    CHECK(memcmp(a->dlast, b->dlast, LAST * sizeof(float)) == 0);
    CHECK(memcmp(a->dfactor, b->dfactor, WIDTH * sizeof(float)) == 0);
}

static const int64_t batches[] = {ROWS, 1, 3, 0, ROWS};
enum { BATCHES = sizeof batches / sizeof *batches };

/* Gradients that are there before are written over; the heads that the loss does not read get zeros. */
static void a_loss(int threads) {
    nn_threads_set(threads, NULL);
    graph *g = make_graph(), *other = make_graph();
    nn_step *step;
    int64_t node;
    CHECK_EQUAL(nn_step_create(&step, &g->whole, &node, NULL), NN_OK);
    for (int b = 0; b < BATCHES; b++) {
        by_hand h;
        double loss = -1, evaluated = -1;
        zero_gradients(other);
        forward_by_hand(&h, other, GRAPH_NODES, batches[b]);
        backward_by_hand(&h, other, GRAPH_NODES);
        CHECK_EQUAL(nn_step_run(step, NN_STEP_GRADIENTS, (const void *const *)g->x, g->target, batches[b], NULL, 0, &loss,
                                &node, NULL), NN_OK);
        CHECK(loss == h.loss || (isnan(loss) && batches[b] == 0));
        same_gradients(g, other);
        nn_step_run(step, NN_STEP_EVALUATE, (const void *const *)g->x, g->target, batches[b], NULL, 0, &evaluated, &node,
                    NULL);
        CHECK(evaluated == loss || isnan(loss));
        end_by_hand(&h);
    }
    nn_step_destroy(step);
    end_graph(g), end_graph(other);
}

/* All outputs, one of them read on; all sources; gradients of parameters added to what is there, or left alone. */
static void heads(int threads) {
    nn_threads_set(threads, NULL);
    graph *g = make_graph(), *other = make_graph();
    nn_step *step;
    int64_t node;
    CHECK_EQUAL(nn_step_create(&step, &g->open, &node, NULL), NN_OK);
    for (int b = 0; b < 2 * BATCHES; b++) {
        const int64_t n = batches[b / 2], sizes[HEADS] = {4 * n, WIDTH * n, WIDTH * n};
        const bool parameters = b % 2 == 0;
        by_hand h;
        float *dy[HEADS], *dx[SOURCES];
        forward_by_hand(&h, other, OPEN_NODES, n);
        CHECK_EQUAL(nn_step_forward(step, (const void *const *)g->x, n, &node, NULL), NN_OK);
        for (int k = 0; k < HEADS; k++) {
            const int64_t v = g->outputs[k];
            CHECK(n == 0 || memcmp(nn_step_value(step, v), h.value[v], (size_t)sizes[k] * sizeof(float)) == 0);
            dy[k] = numbers(sizes[k], 20 + k);
            give(&h, v, dy[k]);
        }
        for (int v = 0; v < SOURCES; v++) dx[v] = numbers(n * WIDTH, 0);
        backward_by_hand(&h, other, OPEN_NODES);
        CHECK_EQUAL(nn_step_backward(step, (const void *const *)dy, (void *const *)dx, parameters, &node, NULL), NN_OK);
        for (int v = 0; v < SOURCES; v++)
            CHECK(n == 0 || memcmp(dx[v], h.grad[v], (size_t)(n * WIDTH) * sizeof(float)) == 0);
        if (!parameters) /* added by hand alone */
            memcpy(other->dshared, g->dshared, SHARED * sizeof(float)), memcpy(other->dlast, g->dlast, LAST * sizeof(float)),
                memcpy(other->dfactor, g->dfactor, WIDTH * sizeof(float));
        same_gradients(g, other);
        /* Without the gradients of the sources. */
        nn_step_forward(step, (const void *const *)g->x, n, &node, NULL);
        CHECK_EQUAL(nn_step_backward(step, (const void *const *)dy, NULL, true, &node, NULL), NN_OK);
        for (int v = 0; v < VALUES; v++) free(h.grad[v]), h.grad[v] = NULL;
        for (int k = 0; k < HEADS; k++) give(&h, g->outputs[k], dy[k]);
        backward_by_hand(&h, other, OPEN_NODES);
        same_gradients(g, other);
        for (int k = 0; k < HEADS; k++) free(dy[k]);
        for (int v = 0; v < SOURCES; v++) free(dx[v]);
        end_by_hand(&h);
    }
    nn_step_destroy(step);
    end_graph(g), end_graph(other);
}

/* y = x x + x and its derivative 2 x + 1, every value with two readers. */
static void a_diamond(void) {
    const nn_node nodes[2] = {{.op = two(NN_OP_MULTIPLY), .inputs = {0, 0}}, {.op = two(NN_OP_ADD), .inputs = {1, 0}}};
    const nn_graph given = {.nodes = nodes, .count = 2, .sources = 1, .outputs = (int64_t[]){2}, .output_count = 1};
    float *x = numbers(ROWS * WIDTH, 1), *dy = numbers(ROWS * WIDTH, 2), *dx = numbers(ROWS * WIDTH, 3);
    nn_step *step;
    int64_t node;
    CHECK_EQUAL(nn_step_create(&step, &given, &node, NULL), NN_OK);
    CHECK_EQUAL(nn_step_forward(step, ONE(x), ROWS, &node, NULL), NN_OK);
    CHECK_EQUAL(nn_step_backward(step, ONE(dy), TO_ONE(dx), true, &node, NULL), NN_OK);
    for (int i = 0; i < ROWS * WIDTH; i++) {
        CHECK(fabsf(((const float *)nn_step_value(step, 2))[i] - (x[i] * x[i] + x[i])) < 1e-6f);
        CHECK(fabsf(dx[i] - dy[i] * (2 * x[i] + 1)) < 1e-6f);
    }
    nn_step_destroy(step);
    free(x), free(dy), free(dx);
}

/* A source that leads to no output gets zeros. */
static void a_dead_source(void) {
    const nn_node nodes[2] = {{.op = op_of(NN_OP_RELU, WIDTH), .inputs = {1}}, {.op = op_of(NN_OP_TANH, WIDTH), .inputs = {0}}};
    const nn_graph given = {.nodes = nodes, .count = 2, .sources = 2, .outputs = (int64_t[]){3}, .output_count = 1};
    graph *g = make_graph();
    float *dx[2] = {numbers(ROWS * WIDTH, 3), numbers(ROWS * WIDTH, 4)};
    nn_step *step;
    int64_t node;
    CHECK_EQUAL(nn_step_create(&step, &given, &node, NULL), NN_OK);
    nn_step_forward(step, (const void *const *)g->x, ROWS, &node, NULL);
    CHECK_EQUAL(nn_step_backward(step, ONE(g->x[1]), (void *const *)dx, true, &node, NULL), NN_OK);
    for (int i = 0; i < ROWS * WIDTH; i++) CHECK(dx[1][i] == 0 && !isnan(dx[0][i]));
    nn_step_destroy(step);
    free(dx[0]), free(dx[1]), end_graph(g);
}

/* An activation writes over what it reads: that is one place. */
static bool share(nn_place a, nn_place b) {
    const bool one = a.offset == b.offset && a.bytes == b.bytes && a.to == b.to;
    return !one && a.bytes && b.bytes && a.from <= b.to && b.from <= a.to && a.offset < b.offset + b.bytes &&
           b.offset < a.offset + a.bytes;
}

static void nothing_alive_together_shares(const nn_graph *given) {
    nn_place places[2 + 2 * VALUES + (1 + NN_INPUTS_MAX) * GRAPH_NODES];
    nn_step *step;
    int64_t node;
    int count = 2;
    CHECK_EQUAL(nn_step_create(&step, given, &node, NULL), NN_OK);
    nn_step_common_places(step, &places[0], &places[1]);
    for (int64_t v = 0; v < given->sources + given->count; v++, count += 2)
        nn_step_value_places(step, v, &places[count], &places[count + 1]);
    bool aside = false;
    for (int64_t i = 0; i < given->count; i++) {
        places[count++] = nn_step_saved_place(step, i);
        for (int j = 0; j <= given->nodes[i].op.more_count; j++, count++) {
            places[count] = nn_step_aside_place(step, i, j);
            aside |= places[count].bytes > 0;
        }
    }
    CHECK(aside);
    for (int i = 0; i < count; i++) {
        CHECK(!places[i].bytes || places[i].offset + places[i].bytes <= nn_step_bytes(step));
        for (int j = 0; j < i; j++) CHECK(!share(places[i], places[j]));
    }
    nn_step_destroy(step);
}

/* Only forwards in training are calls; a batch that is refused is none. */
static void calls_are_counted(void) {
    graph *g = make_graph();
    network net = make();
    nn_step *step;
    int64_t node;
    double loss;
    CHECK_EQUAL(nn_step_create(&step, &g->whole, &node, NULL), NN_OK);
    const void *const *x = (const void *const *)g->x;
    for (int mode = NN_STEP_PREDICT; mode <= NN_STEP_TRAIN; mode++)
        CHECK_EQUAL(nn_step_run(step, (nn_step_mode)mode, x, g->target, ROWS, NULL, 0, &loss, &node, NULL), NN_OK);
    CHECK_EQUAL(g->calls, 2);
    CHECK_EQUAL(nn_step_forward(step, x, ROWS, &node, NULL), NN_OK);
    CHECK_EQUAL(g->calls, 3);
    CHECK(nn_step_run(step, NN_STEP_TRAIN, x, g->target, ROWS + 1, NULL, 0, &loss, &node, NULL) != NN_OK);
    CHECK_EQUAL(g->calls, 3);
    nn_step_destroy(step);

    net.nodes[1].calls = &g->calls, net.nodes[1].op.training = true;
    CHECK_EQUAL(chain(&step, net.nodes, NODES, &node, NULL), NN_OK);
    net.labels[3] = CLASSES;
    CHECK_EQUAL(nn_step_run(step, NN_STEP_TRAIN, ONE(net.x), net.labels, N, NULL, 0, &loss, &node, NULL), NN_INDEX_ERROR);
    CHECK_EQUAL(g->calls, 3);
    nn_step_destroy(step);
    net.nodes[1].op.training = false; /* the layer is in evaluation mode */
    CHECK_EQUAL(chain(&step, net.nodes, NODES, &node, NULL), NN_OK);
    net.labels[3] = 0;
    CHECK_EQUAL(nn_step_run(step, NN_STEP_TRAIN, ONE(net.x), net.labels, N, NULL, 0, &loss, &node, NULL), NN_OK);
    CHECK_EQUAL(g->calls, 3);
    nn_step_destroy(step);
    destroy(&net);
    end_graph(g);
}

/* Two sources, one of bytes, in the order asked for: as batch by batch. */
static void an_epoch(void) {
    graph *g = make_graph(), *other = make_graph();
    nn_step *step, *single;
    int64_t node, order[2 * ROWS];
    uint8_t *bytes = malloc(ROWS * WIDTH);
    for (int i = 0; i < ROWS * WIDTH; i++) bytes[i] = (uint8_t)(i * 5), other->x[1][i] = (float)bytes[i] / 255.0f;
    for (int i = 0; i < 2 * ROWS; i++) order[i] = (i * 3 + 1) % ROWS;
    const nn_rows rows[SOURCES] = {{.data = g->x[0]}, {.data = bytes, .bytes = true}};
    double losses[4];
    CHECK_EQUAL(nn_step_create(&step, &g->whole, &node, NULL), NN_OK);
    CHECK_EQUAL(nn_step_create(&single, &other->whole, &node, NULL), NN_OK);
    nn_epoch epoch = {.mode = NN_STEP_EVALUATE, .x = rows, .target = {.data = g->target}, .order = order,
                      .samples = 2 * ROWS, .batch = 4, .loss = losses};
    CHECK_EQUAL(nn_step_epoch(step, &epoch, NULL, 0, 1, &node, NULL), NN_OK);
    CHECK_EQUAL(epoch.done, 4);
    for (int b = 0; b < 4; b++) {
        const int64_t n = b < 3 ? 4 : 2;
        float *x[SOURCES] = {malloc((size_t)n * WIDTH * sizeof(float)), malloc((size_t)n * WIDTH * sizeof(float))};
        float *target = malloc((size_t)n * 4 * sizeof(float));
        for (int64_t i = 0; i < n; i++) {
            for (int v = 0; v < SOURCES; v++)
                memcpy(x[v] + i * WIDTH, other->x[v] + order[4 * b + i] * WIDTH, WIDTH * sizeof(float));
            memcpy(target + i * 4, other->target + order[4 * b + i] * 4, 4 * sizeof(float));
        }
        double loss;
        nn_step_run(single, NN_STEP_EVALUATE, (const void *const *)x, target, n, NULL, 0, &loss, &node, NULL);
        CHECK(loss == losses[b]);
        free(x[0]), free(x[1]), free(target);
    }
    nn_step_destroy(step), nn_step_destroy(single);
    free(bytes), end_graph(g), end_graph(other);
}

static void refused(const nn_graph *given, int64_t at) {
    nn_step *step;
    nn_error error;
    int64_t node;
    CHECK_EQUAL(nn_step_create(&step, given, &node, &error), NN_VALUE_ERROR);
    CHECK(step == NULL);
    CHECK_EQUAL(node, at);
}

static void wrong_graphs_are_refused(void) {
    graph *g = make_graph();
    g->nodes[2].inputs[1] = -1, refused(&g->whole, 2), g->nodes[2].inputs[1] = 0;
    g->nodes[2].inputs[0] = 4, refused(&g->whole, 2), g->nodes[2].inputs[0] = 3;       /* its own output */
    g->nodes[2].inputs[1] = 7, refused(&g->whole, 2), g->nodes[2].inputs[1] = 0;       /* a later one */
    g->nodes[2].op.more_count = 0, refused(&g->whole, 2), g->nodes[2].op.more_count = 1; /* no weight's shape */
    g->nodes[1].op.more_count = 1, refused(&g->whole, 1), g->nodes[1].op.more_count = 0;
    g->nodes[2].op.more_count = NN_INPUTS_MAX, refused(&g->whole, 2), g->nodes[2].op.more_count = 1;
    g->nodes[5].op.more[1][1]++, refused(&g->whole, 5), g->nodes[5].op.more[1][1]--; /* not that value's shape */
    g->nodes[11].inputs[0] = 1, refused(&g->whole, 11), g->nodes[11].inputs[0] = 10;
    g->outputs[1] = 0, refused(&g->open, -1), g->outputs[1] = 13, refused(&g->open, -1);
    g->outputs[1] = 10, refused(&g->open, -1), g->outputs[1] = 11;
    g->open.output_count = 0, refused(&g->open, -1), g->open.output_count = HEADS;
    g->open.sources = 0, refused(&g->open, -1), g->open.sources = SOURCES;
    const nn_node alone = {.op = op_of(NN_OP_MSE, 4), .inputs = {0}}, relu = {.op = op_of(NN_OP_RELU, 4), .inputs = {0}};
    refused(&(nn_graph){.nodes = &alone, .count = 1, .sources = 1}, -1); /* a loss of a source */
    refused(&(nn_graph){.nodes = &relu, .count = 1, .sources = 2, .outputs = (int64_t[]){2}, .output_count = 1}, -1);
    nothing_alive_together_shares(&g->whole);
    nothing_alive_together_shares(&g->open);
    end_graph(g);
}

int main(void) {
    check_start();
    nn_isa_select(NULL, NULL);
    nn_threads_threshold_set(0);
    for (int threads = 1; threads <= 2; threads++) a_loss(threads), heads(threads);
    a_diamond();
    a_dead_source();
    calls_are_counted();
    an_epoch();
    wrong_graphs_are_refused();
    return check_report();
}
