/*
 * step_graph.h: a small graph that has everything a graph may have, for the tests of the step.
 */
#ifndef NN_TESTS_STEP_GRAPH_H
#define NN_TESTS_STEP_GRAPH_H

#include <string.h>

#include "step_network.h"

enum { ROWS = 7, WIDTH = 6, HEADS = 3, SOURCES = 2, GRAPH_NODES = 12, OPEN_NODES = 11, VALUES = SOURCES + GRAPH_NODES };
enum { SHARED = WIDTH * WIDTH, LAST = 4 * 3 * WIDTH };

/*
 * Two sources, a residual, a weight shared by three (one of them in a dead branch), a value that is multiplied by
 * itself, three outputs one of which is read on, and at the end a loss that leaves two of them without a use.
 */
typedef struct graph {
    nn_node nodes[GRAPH_NODES];
    int64_t outputs[HEADS];
    nn_graph whole; /* with the loss, and without */
    nn_graph open;
    float *shared, *dshared, *last, *dlast, *factor, *dfactor, *x[SOURCES], *target;
    uint64_t calls;
} graph;

static inline nn_op op_of(nn_kind kind, int64_t features) {
    return (nn_op){.kind = kind, .x = {ROWS, features, 1, 1}, .groups = 1};
}

static inline nn_op two(nn_kind kind) {
    nn_op op = op_of(kind, WIDTH);
    op.more_count = 1;
    memcpy(op.more[0], op.x, sizeof op.x);
    return op;
}

static inline graph *make_graph(void) {
    graph *g = malloc(sizeof *g);
    *g = (graph){.outputs = {10, 11, 12}, .shared = numbers(SHARED, 1), .dshared = numbers(SHARED, 2),
                 .last = numbers(LAST, 3), .dlast = numbers(LAST, 4), .factor = numbers(WIDTH, 5),
                 .dfactor = numbers(WIDTH, 6), .x = {numbers(ROWS * WIDTH, 7), numbers(ROWS * WIDTH, 8)},
                 .target = numbers(ROWS * 4, 9)};
    nn_op linear = op_of(NN_OP_LINEAR, WIDTH), join = two(NN_OP_CONCATENATE), head = op_of(NN_OP_LINEAR, 3 * WIDTH);
    nn_op scale = op_of(NN_OP_SCALE, 3 * WIDTH), by_weight = op_of(NN_OP_MULTIPLY, WIDTH), relu = op_of(NN_OP_RELU, WIDTH);
    linear.channels = WIDTH, head.channels = 4, relu.training = true;
    join.more_count = 2;
    memcpy(join.more[1], join.x, sizeof join.x);
    scale.parameter[0] = 0.5, scale.parameter[1] = 0.25;
    by_weight.more[0][0] = 1, by_weight.more[0][1] = WIDTH, by_weight.more[0][2] = by_weight.more[0][3] = 1;
    const nn_node nodes[GRAPH_NODES] = {
        {.op = linear, .inputs = {0}, .weight = g->shared, .dweight = g->dshared},
        {.op = relu, .inputs = {2}, .calls = &g->calls},
        {.op = two(NN_OP_ADD), .inputs = {3, 0}},
        {.op = linear, .inputs = {4}, .weight = g->shared, .dweight = g->dshared},
        {.op = two(NN_OP_MULTIPLY), .inputs = {5, 5}},
        {.op = join, .inputs = {6, 1, 4}},
        {.op = scale, .inputs = {7}},
        {.op = linear, .inputs = {4}, .weight = g->shared, .dweight = g->dshared}, /* dead */
        {.op = head, .inputs = {8}, .weight = g->last, .dweight = g->dlast},
        {.op = by_weight, .inputs = {4}, .weight = g->factor, .dweight = g->dfactor},
        {.op = two(NN_OP_SUBTRACT), .inputs = {11, 1}},
        {.op = op_of(NN_OP_MSE, 4), .inputs = {10}},
    };
    memcpy(g->nodes, nodes, sizeof nodes);
    g->whole = (nn_graph){.nodes = g->nodes, .count = GRAPH_NODES, .sources = SOURCES};
    g->open = (nn_graph){.nodes = g->nodes, .count = OPEN_NODES, .sources = SOURCES, .outputs = g->outputs,
                         .output_count = HEADS};
    return g;
}

static inline void end_graph(graph *g) {
    float *all[] = {g->shared, g->dshared, g->last, g->dlast, g->factor, g->dfactor, g->x[0], g->x[1], g->target};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(g);
}

#endif
