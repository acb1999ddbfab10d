/*
 * step_network.h: a small network as a list of nodes, for the tests of the step.
 */
#ifndef NN_TESTS_STEP_NETWORK_H
#define NN_TESTS_STEP_NETWORK_H

#include <stdlib.h>

#include "nncore.h"

enum { N = 23, IN = 37, HIDDEN = 29, CLASSES = 5, NODES = 4 };

typedef struct network {
    nn_node nodes[NODES];
    float *w1, *b1, *w2, *b2, *dw1, *db1, *dw2, *db2, *x;
    int64_t *labels;
} network;

/* The one array of a step's sources or outputs. */
#define ONE(array) ((const void *const[]){array})
#define TO_ONE(array) ((void *const[]){array})

/* A chain as a graph: one source, and the last node but for a loss as the output. */
static inline nn_status chain(nn_step **step, const nn_node *nodes, int64_t count, int64_t *node, nn_error *error) {
    const nn_graph graph = {.nodes = nodes, .count = count, .sources = 1, .outputs = &count, .output_count = 1};
    return nn_step_create(step, &graph, node, error);
}

static inline float *numbers(int64_t count, int seed) {
    float *a = malloc((size_t)count * sizeof *a);
    for (int64_t i = 0; i < count; i++) a[i] = (float)((i * 37 + seed * 11) % 101 - 50) / 50.0f;
    return a;
}

static inline network make(void) {
    network net = {.w1 = numbers(HIDDEN * IN, 1), .b1 = numbers(HIDDEN, 2), .w2 = numbers(CLASSES * HIDDEN, 3),
                   .b2 = numbers(CLASSES, 4), .dw1 = numbers(HIDDEN * IN, 5), .db1 = numbers(HIDDEN, 6),
                   .dw2 = numbers(CLASSES * HIDDEN, 7), .db2 = numbers(CLASSES, 8), .x = numbers(N * IN, 9),
                   .labels = malloc(N * sizeof(int64_t))};
    for (int i = 0; i < N; i++) net.labels[i] = i % CLASSES;
    const nn_op linear1 = {.kind = NN_OP_LINEAR, .x = {N, IN, 1, 1}, .channels = HIDDEN, .groups = 1, .bias = true};
    const nn_op relu = {.kind = NN_OP_RELU, .x = {N, HIDDEN, 1, 1}, .groups = 1};
    const nn_op linear2 = {.kind = NN_OP_LINEAR, .x = {N, HIDDEN, 1, 1}, .channels = CLASSES, .groups = 1, .bias = true};
    const nn_op loss = {.kind = NN_OP_CROSS_ENTROPY, .x = {N, CLASSES, 1, 1}, .groups = 1};
    net.nodes[0] = (nn_node){.op = linear1, .inputs = {0}, .weight = net.w1, .bias = net.b1, .dweight = net.dw1,
                             .dbias = net.db1};
    net.nodes[1] = (nn_node){.op = relu, .inputs = {1}};
    net.nodes[2] = (nn_node){.op = linear2, .inputs = {2}, .weight = net.w2, .bias = net.b2, .dweight = net.dw2,
                             .dbias = net.db2};
    net.nodes[3] = (nn_node){.op = loss, .inputs = {3}};
    return net;
}

static inline void destroy(network *net) {
    free(net->w1), free(net->b1), free(net->w2), free(net->b2), free(net->dw1), free(net->db1), free(net->dw2);
    free(net->db2), free(net->x), free(net->labels);
}

#endif
