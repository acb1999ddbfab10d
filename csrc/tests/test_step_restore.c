/*
 * test_step_restore: a batch that is refused or left changes nothing, buffers and counters of calls neither; indices
 * are a source of their own, checked before anything is run.
 */
#include <math.h>
#include <string.h>

#include "check.h"
#include "step_network.h"

enum { ROWS = 8, LENGTH = 3, SIZE = 4, WIDTH = LENGTH * SIZE, ENTRIES = 5, KINDS = 4 };

/* Indices and floats: embedding, added to x, batch_norm, dropout, mse. */
typedef struct net {
    nn_node nodes[5];
    float *table, *dtable, *mean, *variance;
    uint64_t calls[2];
} net;

static nn_op op_of(nn_kind kind) { return (nn_op){.kind = kind, .x = {ROWS, WIDTH, 1, 1}, .groups = 1, .training = true}; }

static net *make_net(void) {
    net *n = malloc(sizeof *n);
    *n = (net){.table = numbers(ENTRIES * SIZE, 1), .dtable = numbers(ENTRIES * SIZE, 2), .mean = numbers(WIDTH, 3),
               .variance = numbers(WIDTH, 4), .calls = {7, 9}};
    nn_op look = op_of(NN_OP_EMBEDDING), add = op_of(NN_OP_ADD), norm = op_of(NN_OP_BATCH_NORM),
          drop = op_of(NN_OP_DROPOUT);
    look.x[1] = LENGTH, look.channels = SIZE, look.entries = ENTRIES, look.padding_entry = -1;
    add.more_count = 1;
    memcpy(add.more[0], add.x, sizeof add.x);
    norm.channels = WIDTH, norm.parameter[0] = 1e-5, norm.parameter[1] = 0.1;
    drop.parameter[0] = 0.5;
    const nn_node nodes[5] = {
        {.op = look, .inputs = {0}, .weight = n->table, .dweight = n->dtable},
        {.op = add, .inputs = {2, 1}},
        {.op = norm, .inputs = {3}, .buffers = {n->mean, n->variance}, .calls = &n->calls[0]},
        {.op = drop, .inputs = {4}, .calls = &n->calls[1]},
        {.op = op_of(NN_OP_MSE), .inputs = {5}},
    };
    memcpy(n->nodes, nodes, sizeof nodes);
    return n;
}

static void end_net(net *n) {
    free(n->table), free(n->dtable), free(n->mean), free(n->variance), free(n);
}

static void unmoved(const net *n, const net *fresh) {
    CHECK(memcmp(n->mean, fresh->mean, WIDTH * sizeof(float)) == 0);
    CHECK(memcmp(n->variance, fresh->variance, WIDTH * sizeof(float)) == 0);
    CHECK(n->calls[0] == fresh->calls[0] && n->calls[1] == fresh->calls[1]);
}

int main(void) {
    check_start();
    net *n = make_net(), *fresh = make_net();
    const nn_graph graph = {.nodes = n->nodes, .count = 5, .sources = 2};
    nn_step *step;
    nn_error error;
    int64_t node;
    CHECK_EQUAL(nn_step_create(&step, &graph, &node, &error), NN_OK);
    int64_t *indices = malloc(ROWS * LENGTH * sizeof *indices), order[ROWS];
    for (int i = 0; i < ROWS * LENGTH; i++) indices[i] = i % ENTRIES;
    for (int i = 0; i < ROWS; i++) order[i] = ROWS - 1 - i;
    float *x = numbers(ROWS * WIDTH, 5), *target = numbers(ROWS * WIDTH, 6);
    const void *const batch[2] = {indices, x};
    double loss = 0, losses[2];

    /* An index out of range: found before anything is run, told by its place in x; by an epoch, in the data set. */
    const int64_t bad[] = {ENTRIES, -1, INT64_MIN, INT64_MAX};
    const nn_rows rows[2] = {{.data = indices}, {.data = x}};
    for (int kind = 0; kind < KINDS; kind++) {
        indices[5 * LENGTH + 1] = bad[kind];
        for (int mode = NN_STEP_PREDICT; mode <= NN_STEP_TRAIN_FINITE; mode++) {
            CHECK_EQUAL(nn_step_run(step, mode, batch, target, ROWS, NULL, 0, &loss, &node, &error), NN_INDEX_ERROR);
            CHECK(node == 0 && error.index == 5 * LENGTH + 1 && error.got == bad[kind]);
        }
        CHECK_EQUAL(nn_step_forward(step, batch, ROWS, &node, &error), NN_INDEX_ERROR);
        for (int ordered = 0; ordered < 2; ordered++) {
            nn_epoch epoch = {.mode = NN_STEP_TRAIN, .x = rows, .target = {.data = target}, .samples = ROWS,
                              .batch = ROWS, .order = ordered ? order : NULL, .loss = losses};
            CHECK_EQUAL(nn_step_epoch(step, &epoch, NULL, 0, 1, &node, &error), NN_INDEX_ERROR);
            CHECK(node == 0 && error.index == 5 * LENGTH + 1 && error.got == bad[kind]);
        }
        unmoved(n, fresh);
    }
    indices[5 * LENGTH + 1] = 0;

    /* One value a channel: refused by a node in the midst. A run that does not train moves nothing. */
    CHECK_EQUAL(nn_step_run(step, NN_STEP_TRAIN, batch, target, 1, NULL, 0, &loss, &node, &error), NN_VALUE_ERROR);
    CHECK_EQUAL(node, 2);
    CHECK_EQUAL(nn_step_run(step, NN_STEP_EVALUATE, batch, target, ROWS, NULL, 0, &loss, &node, &error), NN_OK);
    unmoved(n, fresh);

    /* An update that is refused; a loss that is not finite; an epoch left in each of its breaks. */
    float *spoilt = numbers(ROWS * WIDTH, 5);
    spoilt[0] = NAN;
    const void *const poison[2] = {indices, spoilt};
    const nn_rows poisoned[2] = {{.data = indices}, {.data = spoilt}};
    nn_tensor tensor = {n->table, n->dtable, {NULL}, ENTRIES * SIZE};
    nn_update update = {.kind = NN_SGD, .tensors = &tensor, .tensor_count = 1, .lr = 0.1, .clear_grad = true,
                        .finite = true};
    nn_update *const updates[1] = {&update};
    CHECK_EQUAL(nn_step_run(step, NN_STEP_TRAIN, poison, target, ROWS, updates, 1, &loss, &node, &error),
                NN_VALUE_ERROR);
    unmoved(n, fresh);
    CHECK_EQUAL(nn_step_run(step, NN_STEP_TRAIN_FINITE, poison, target, ROWS, updates, 1, &loss, &node, &error), NN_OK);
    CHECK(isnan(loss));
    unmoved(n, fresh);
    for (int stop = 0; stop < 2; stop++) {
        nn_epoch epoch = {.mode = NN_STEP_TRAIN, .x = poisoned, .target = {.data = target}, .samples = ROWS,
                          .batch = ROWS, .order = order, .loss = losses, .stop_at_nonfinite = stop};
        CHECK_EQUAL(nn_step_epoch(step, &epoch, updates, 1, 1, &node, &error), stop ? NN_OK : NN_VALUE_ERROR);
        CHECK_EQUAL(epoch.nonfinite, stop);
        unmoved(n, fresh);
    }
    nn_step_give_up(step);
    unmoved(n, fresh);

    /* A batch that is done stays done; the halves, too; indices get no gradient whatever dx is. */
    CHECK_EQUAL(nn_step_run(step, NN_STEP_TRAIN_FINITE, batch, target, ROWS, updates, 1, &loss, &node, &error), NN_OK);
    CHECK(n->calls[0] == 8 && n->calls[1] == 10 && n->mean[0] != fresh->mean[0]);
    nn_step_give_up(step);
    CHECK_EQUAL(n->calls[1], 10);
    CHECK_EQUAL(nn_step_forward(step, batch, ROWS, &node, &error), NN_OK);
    CHECK_EQUAL(n->calls[1], 11);
    float *dy = numbers(ROWS * WIDTH, 8), *dx = numbers(ROWS * WIDTH, 9);
    void *const given[2] = {indices, dx};
    CHECK_EQUAL(nn_step_backward(step, (const void *const[]){dy}, given, true, &node, &error), NN_OK);
    for (int i = 0; i < ROWS * LENGTH; i++) CHECK_EQUAL(indices[i], i == 5 * LENGTH + 1 ? 0 : i % ENTRIES);
    nn_step_destroy(step);

    /* Whole numbers come with the batch, and an embedding alone reads them. */
    n->nodes[1].inputs[1] = 0;
    memcpy(n->nodes[1].op.more[0], n->nodes[0].op.x, sizeof n->nodes[0].op.x);
    CHECK_EQUAL(nn_step_create(&step, &graph, &node, &error), NN_VALUE_ERROR); /* shapes that cannot be added */
    nn_node embeddings[2] = {n->nodes[0], n->nodes[0]};
    embeddings[1].inputs[0] = 1;
    embeddings[1].op.x[1] = WIDTH;
    const nn_graph deep = {.nodes = embeddings, .count = 2, .sources = 1, .outputs = (int64_t[]){2}, .output_count = 1};
    CHECK_EQUAL(nn_step_create(&step, &deep, &node, &error), NN_TYPE_ERROR);
    nn_node both[2] = {n->nodes[0], {.op = op_of(NN_OP_RELU), .inputs = {0}}};
    both[1].op.x[1] = LENGTH;
    const nn_graph shared = {.nodes = both, .count = 2, .sources = 1, .outputs = (int64_t[]){2}, .output_count = 1};
    CHECK_EQUAL(nn_step_create(&step, &shared, &node, &error), NN_TYPE_ERROR);

    free(dy), free(dx), free(spoilt), free(indices), free(x), free(target);
    end_net(n), end_net(fresh);
    return check_report();
}
