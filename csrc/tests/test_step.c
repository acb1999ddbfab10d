/*
 * test_step: a step over a small network gives the bits that its operations give one by one, for every batch up
 * to its capacity and any number of threads; buffers alive together never share memory; wrong lists are refused.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "nncore.h"
#include "step_network.h"

/* The same by hand, on buffers of exact size. */
static double by_hand(const network *net, int64_t n, float *dw1, float *dw2) {
    nn_op op[NODES];
    float *value[NODES], *grad[NODES];
    void *work[NODES], *saved[NODES];
    double loss = 0;
    const void *x = net->x;
    for (int i = 0; i < NODES; i++) {
        op[i] = net->nodes[i].op;
        op[i].x[0] = n;
        CHECK_EQUAL(nn_op_plan(&op[i], NULL), NN_OK);
        value[i] = malloc((size_t)op[i].y_count * sizeof(float) + sizeof(double));
        grad[i] = malloc((size_t)op[i].y_count * sizeof(float) + sizeof(double));
        const int64_t bytes = op[i].forward_bytes > op[i].backward_bytes ? op[i].forward_bytes : op[i].backward_bytes;
        work[i] = malloc((size_t)bytes + 1);
        saved[i] = malloc((size_t)op[i].saved_bytes + 1);
        nn_io io = {.y = i == NODES - 1 ? (void *)&loss : value[i], .x = x, .weight = net->nodes[i].weight,
                    .bias = net->nodes[i].bias, .target = net->labels, .saved = saved[i], .work = work[i]};
        CHECK_EQUAL(nn_op_forward(&op[i], &io, NULL), NN_OK);
        x = value[i];
    }
    memset(dw1, 0, HIDDEN * IN * sizeof(float));
    memset(dw2, 0, CLASSES * HIDDEN * sizeof(float));
    for (int i = NODES - 1; i >= 0; i--) {
        nn_io io = {.y = i == NODES - 1 ? (void *)&loss : value[i], .x = i ? value[i - 1] : net->x,
                    .weight = net->nodes[i].weight, .target = net->labels, .saved = saved[i], .work = work[i],
                    .dx = i ? grad[i - 1] : NULL, .dy = i == NODES - 1 ? NULL : grad[i],
                    .dweight = i == 0 ? dw1 : i == 2 ? dw2 : NULL};
        CHECK_EQUAL(nn_op_backward(&op[i], &io, NULL), NN_OK);
    }
    for (int i = 0; i < NODES; i++) free(value[i]), free(grad[i]), free(work[i]), free(saved[i]);
    return loss;
}

static void same_bits_as_by_hand(int threads) {
    nn_threads_set(threads, NULL);
    network net = make();
    nn_step *step;
    nn_error error;
    int64_t node;
    CHECK_EQUAL(chain(&step, net.nodes, NODES, &node, &error), NN_OK);
    float *dw1 = malloc(HIDDEN * IN * sizeof *dw1), *dw2 = malloc(CLASSES * HIDDEN * sizeof *dw2);
    const int64_t batches[] = {N, 1, 7, N, 16};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        double loss = -1;
        CHECK_EQUAL(nn_step_run(step, NN_STEP_GRADIENTS, ONE(net.x), net.labels, batches[i], NULL, 0, &loss, &node,
                                &error), NN_OK);
        CHECK(loss == by_hand(&net, batches[i], dw1, dw2));
        CHECK(memcmp(dw1, net.dw1, HIDDEN * IN * sizeof *dw1) == 0);
        CHECK(memcmp(dw2, net.dw2, CLASSES * HIDDEN * sizeof *dw2) == 0);
        double evaluated = -1;
        nn_step_run(step, NN_STEP_EVALUATE, ONE(net.x), net.labels, batches[i], NULL, 0, &evaluated, &node, &error);
        CHECK(evaluated == loss);
    }
    free(dw1), free(dw2);
    nn_step_destroy(step);
    destroy(&net);
}

/* An activation writes over what it reads: that is one place. */
static bool share(nn_place a, nn_place b) {
    const bool one = a.offset == b.offset && a.bytes == b.bytes && a.to == b.to;
    return !one && a.bytes && b.bytes && a.from <= b.to && b.from <= a.to && a.offset < b.offset + b.bytes &&
           b.offset < a.offset + a.bytes;
}

static void nothing_alive_together_shares(void) {
    network net = make();
    nn_step *step;
    int64_t node;
    chain(&step, net.nodes, NODES, &node, NULL);
    nn_place places[3 * NODES];
    int64_t sum = 0;
    for (int i = 0; i < NODES; i++) {
        nn_step_value_places(step, 1 + i, &places[3 * i], &places[3 * i + 1]);
        places[3 * i + 2] = nn_step_saved_place(step, i);
    }
    for (int i = 0; i < 3 * NODES; i++) {
        sum += places[i].bytes;
        if (places[i].bytes) {
            CHECK_EQUAL(places[i].offset % 64, 0);
            CHECK(places[i].offset + places[i].bytes <= nn_step_bytes(step));
        }
        for (int j = 0; j < i; j++) CHECK(!share(places[i], places[j]));
    }
    CHECK(sum > 0);
    nn_step_destroy(step);
    destroy(&net);
}

static void wrong_lists_and_batches_are_refused(void) {
    network net = make();
    nn_step *step;
    nn_error error;
    int64_t node;
    CHECK_EQUAL(chain(&step, net.nodes, 0, &node, &error), NN_VALUE_ERROR);
    CHECK(step == NULL);

    nn_node bad[NODES];
    memcpy(bad, net.nodes, sizeof bad);
    bad[2].op.x[1] = HIDDEN + 1;
    CHECK_EQUAL(chain(&step, bad, NODES, &node, &error), NN_VALUE_ERROR);
    CHECK_EQUAL(node, 2);
    memcpy(bad, net.nodes, sizeof bad);
    bad[1] = net.nodes[3];
    bad[1].op.x[1] = HIDDEN;
    bad[1].inputs[0] = 1;
    CHECK(chain(&step, bad, NODES, &node, &error) != NN_OK);
    memcpy(bad, net.nodes, sizeof bad);
    bad[0].op.x[0] = INT64_C(1) << 60;
    CHECK(chain(&step, bad, 1, &node, &error) != NN_OK);

    CHECK_EQUAL(chain(&step, net.nodes, NODES, &node, &error), NN_OK);
    double loss = 3;
    CHECK_EQUAL(nn_step_run(step, NN_STEP_GRADIENTS, ONE(net.x), net.labels, N + 1, NULL, 0, &loss, &node, &error),
                NN_VALUE_ERROR);
    CHECK_EQUAL(nn_step_run(step, NN_STEP_GRADIENTS, ONE(net.x), net.labels, -1, NULL, 0, &loss, &node, &error),
                NN_VALUE_ERROR);
    net.labels[4] = CLASSES;
    const float before = net.dw1[0];
    CHECK_EQUAL(nn_step_run(step, NN_STEP_GRADIENTS, ONE(net.x), net.labels, N, NULL, 0, &loss, &node, &error),
                NN_INDEX_ERROR);
    CHECK_EQUAL(node, 3);
    CHECK_EQUAL(error.index, 4);
    CHECK(loss == 3 && net.dw1[0] == before);
    nn_step_destroy(step);

    CHECK_EQUAL(chain(&step, net.nodes, NODES - 1, &node, &error), NN_OK);
    CHECK_EQUAL(nn_step_run(step, NN_STEP_PREDICT, ONE(net.x), NULL, N, NULL, 0, &loss, &node, &error), NN_OK);
    CHECK_EQUAL(nn_step_run(step, NN_STEP_EVALUATE, ONE(net.x), net.labels, N, NULL, 0, &loss, &node, &error),
                NN_RUNTIME_ERROR);
    nn_step_destroy(step);
    destroy(&net);
}

static void an_empty_batch_gives_zero_gradients(void) {
    network net = make();
    nn_step *step;
    nn_error error;
    int64_t node;
    double loss = 0;
    chain(&step, net.nodes, NODES, &node, &error);
    CHECK_EQUAL(nn_step_run(step, NN_STEP_GRADIENTS, ONE(net.x), net.labels, 0, NULL, 0, &loss, &node, &error), NN_OK);
    CHECK(isnan(loss));
    for (int i = 0; i < HIDDEN * IN; i++) CHECK(net.dw1[i] == 0);
    nn_step_destroy(step);
    destroy(&net);
}

int main(void) {
    check_start();
    nn_isa_select(NULL, NULL);
    nn_threads_threshold_set(0);
    for (int threads = 1; threads <= 2; threads++) same_bits_as_by_hand(threads);
    nothing_alive_together_shares();
    wrong_lists_and_batches_are_refused();
    an_empty_batch_gives_zero_gradients();
    return check_report();
}
