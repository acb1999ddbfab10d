/*
 * test_step_epoch: an epoch gives the bits of its batches one by one, in any order, from numbers and from bytes, in
 * one call or broken off wherever the clock says; the two halves of a step give those of the whole.
 */
#include <math.h>
#include <string.h>

#include "check.h"
#include "step_network.h"

enum { ROWS = 57, BATCH = 10, BATCHES = 8, SAMPLES = 77, PARAMS = 4 };

/* A network with its optimiser and a data set on blocks of exact size. */
typedef struct trainer {
    network net;
    nn_step *step;
    nn_tensor tensors[PARAMS];
    nn_update update;
    nn_update *updates[1];
} trainer;

static trainer make_trainer(void) {
    trainer t = {.net = make()};
    const network *n = &t.net;
    const nn_tensor tensors[PARAMS] = {
        {n->w1, n->dw1, {numbers(HIDDEN * IN, 0), numbers(HIDDEN * IN, 0)}, HIDDEN * IN},
        {n->b1, n->db1, {numbers(HIDDEN, 0), numbers(HIDDEN, 0)}, HIDDEN},
        {n->w2, n->dw2, {numbers(CLASSES * HIDDEN, 0), numbers(CLASSES * HIDDEN, 0)}, CLASSES * HIDDEN},
        {n->b2, n->db2, {numbers(CLASSES, 0), numbers(CLASSES, 0)}, CLASSES}};
    for (int i = 0; i < PARAMS; i++)
        for (int state = 0; state < 2; state++) memset(tensors[i].state[state], 0, (size_t)tensors[i].count * sizeof(float));
    memcpy(t.tensors, tensors, sizeof tensors);
    t.update = (nn_update){.kind = NN_ADAM, .dtype = NN_FLOAT32, .tensor_count = PARAMS, .lr = 0.01, .beta1 = 0.9,
                           .beta2 = 0.999, .eps = 1e-8, .clear_grad = true};
    int64_t node;
    CHECK_EQUAL(chain(&t.step, t.net.nodes, NODES, &node, NULL), NN_OK);
    return t;
}

/* Pointers into the trainer itself, once it has come to rest. */
static void settle(trainer *t) {
    t->update.tensors = t->tensors;
    t->updates[0] = &t->update;
}

static void end_trainer(trainer *t) {
    nn_step_destroy(t->step);
    for (int i = 0; i < PARAMS; i++)
        for (int state = 0; state < 2; state++) free(t->tensors[i].state[state]);
    destroy(&t->net);
}

static void same_parameters(const trainer *a, const trainer *b) {
    CHECK_EQUAL(a->update.steps, b->update.steps);
    for (int i = 0; i < PARAMS; i++) {
        const size_t bytes = (size_t)a->tensors[i].count * sizeof(float);
        CHECK(memcmp(a->tensors[i].param, b->tensors[i].param, bytes) == 0);
        CHECK(memcmp(a->tensors[i].state[1], b->tensors[i].state[1], bytes) == 0);
        for (int64_t j = 0; j < a->tensors[i].count; j++) CHECK(((float *)a->tensors[i].grad)[j] == 0);
    }
}

/* A data set of bytes, the same as numbers, its labels and an order with repetitions. */
typedef struct data {
    uint8_t *bytes;
    float *x;
    int64_t *labels, *order;
} data;

static data make_data(void) {
    data d = {malloc(ROWS * IN), malloc(ROWS * IN * sizeof(float)), malloc(ROWS * sizeof(int64_t)),
              malloc(SAMPLES * sizeof(int64_t))};
    for (int i = 0; i < ROWS * IN; i++) {
        d.bytes[i] = (uint8_t)(i * 7 + i / IN);
        d.x[i] = (float)d.bytes[i] / 255.0f;
    }
    for (int i = 0; i < ROWS; i++) d.labels[i] = i % CLASSES;
    for (int i = 0; i < SAMPLES; i++) d.order[i] = i * 31 % ROWS;
    return d;
}

static void end_data(data *d) { free(d->bytes), free(d->x), free(d->labels), free(d->order); }

/* Batches gathered by hand into blocks of exact size, one step each. */
static void one_by_one(trainer *t, const data *d, bool ordered, int64_t samples, double *losses) {
    for (int64_t first = 0, k = 0; first < samples; first += BATCH, k++) {
        const int64_t n = samples - first < BATCH ? samples - first : BATCH;
        float *x = malloc((size_t)(n * IN) * sizeof *x);
        int64_t *labels = malloc((size_t)n * sizeof *labels);
        for (int64_t i = 0; i < n; i++) {
            const int64_t row = ordered ? d->order[first + i] : first + i;
            memcpy(x + i * IN, d->x + row * IN, IN * sizeof *x);
            labels[i] = d->labels[row];
        }
        int64_t node;
        CHECK_EQUAL(nn_step_run(t->step, NN_STEP_TRAIN, ONE(x), labels, n, t->updates, 1, &losses[k], &node, NULL), NN_OK);
        free(x), free(labels);
    }
}

static void same_bits_as_one_by_one(bool ordered, bool bytes, double seconds) {
    trainer a = make_trainer(), b = make_trainer();
    settle(&a), settle(&b);
    data d = make_data();
    const int64_t samples = ordered ? SAMPLES : ROWS;
    double expected[BATCHES], losses[BATCHES];
    int64_t correct[BATCHES], node;
    one_by_one(&a, &d, ordered, samples, expected);
    const nn_rows rows = {bytes ? (void *)d.bytes : d.x, bytes, false};
    nn_epoch epoch = {.mode = NN_STEP_TRAIN, .x = &rows, .target = {.data = d.labels},
                      .order = ordered ? d.order : NULL, .samples = samples, .batch = BATCH, .loss = losses,
                      .correct = correct};
    const int64_t batches = (samples + BATCH - 1) / BATCH;
    int calls = 0;
    while (epoch.done < batches) {
        CHECK_EQUAL(nn_step_epoch(b.step, &epoch, b.updates, 1, seconds, &node, NULL), NN_OK);
        if (++calls > 1000) break;
    }
    CHECK_EQUAL(calls, seconds > 0 ? 1 : batches);
    CHECK(memcmp(losses, expected, (size_t)batches * sizeof *losses) == 0);
    same_parameters(&a, &b);
    end_data(&d), end_trainer(&a), end_trainer(&b);
}

static void measuring_changes_nothing(void) {
    trainer t = make_trainer(), untouched = make_trainer();
    data d = make_data();
    double losses[BATCHES];
    int64_t correct[BATCHES], node, rights = 0;
    float *outputs = malloc(ROWS * CLASSES * sizeof *outputs), *alone = malloc(ROWS * CLASSES * sizeof *alone);
    const nn_rows rows = {.data = d.x};
    nn_epoch epoch = {.mode = NN_STEP_EVALUATE, .x = &rows, .target = {.data = d.labels}, .samples = ROWS,
                      .batch = BATCH, .loss = losses, .correct = correct, .output = outputs};
    CHECK_EQUAL(nn_step_epoch(t.step, &epoch, NULL, 0, 1, &node, NULL), NN_OK);
    nn_epoch predict = {.mode = NN_STEP_PREDICT, .x = &rows, .samples = ROWS, .batch = BATCH, .output = alone};
    CHECK_EQUAL(nn_step_epoch(t.step, &predict, NULL, 0, 1, &node, NULL), NN_OK);
    CHECK(memcmp(outputs, alone, ROWS * CLASSES * sizeof *outputs) == 0);
    for (int i = 0; i < ROWS; i++) {
        int best = 0;
        for (int j = 1; j < CLASSES; j++)
            if (outputs[i * CLASSES + j] > outputs[i * CLASSES + best]) best = j;
        rights += best == d.labels[i];
    }
    int64_t sum = 0;
    for (int64_t k = 0; k < epoch.done; k++) sum += correct[k];
    CHECK_EQUAL(sum, rights);
    CHECK(memcmp(t.net.w1, untouched.net.w1, HIDDEN * IN * sizeof(float)) == 0);
    free(outputs), free(alone);
    end_data(&d), end_trainer(&t), end_trainer(&untouched);
}

static void a_bad_batch_changes_nothing(void) {
    trainer a = make_trainer(), b = make_trainer();
    settle(&a), settle(&b);
    data d = make_data();
    double losses[BATCHES], expected[BATCHES];
    int64_t node;
    nn_error error;
    const nn_rows rows = {.data = d.x};
    nn_epoch epoch = {.mode = NN_STEP_TRAIN, .x = &rows, .target = {.data = d.labels}, .order = d.order,
                      .samples = SAMPLES, .batch = BATCH, .loss = losses, .stop_at_nonfinite = true};
    one_by_one(&a, &d, true, 2 * BATCH, expected);
    const int64_t row = d.order[2 * BATCH + 3];
    for (int i = 0; i < 2 * BATCH; i++) CHECK(d.order[i] != row);
    d.labels[row] = CLASSES;
    CHECK_EQUAL(nn_step_epoch(b.step, &epoch, b.updates, 1, 1, &node, &error), NN_INDEX_ERROR);
    CHECK_EQUAL(epoch.done, 2);
    CHECK_EQUAL(error.index, row);
    CHECK_EQUAL(node, NODES - 1);
    same_parameters(&a, &b);

    d.labels[row] = 0;
    d.x[row * IN] = NAN;
    epoch.done = epoch.time = 0;
    one_by_one(&a, &d, true, 2 * BATCH, expected);
    CHECK_EQUAL(nn_step_epoch(b.step, &epoch, b.updates, 1, 1, &node, &error), NN_OK);
    CHECK(epoch.nonfinite && isnan(losses[2]));
    CHECK_EQUAL(epoch.done, 2);
    same_parameters(&a, &b);

    epoch.batch = 0;
    CHECK_EQUAL(nn_step_epoch(b.step, &epoch, b.updates, 1, 1, &node, &error), NN_VALUE_ERROR);
    epoch = (nn_epoch){.mode = NN_STEP_TRAIN, .x = &rows, .target = {.data = d.labels}, .samples = ROWS,
                       .batch = N + 1, .loss = losses};
    CHECK_EQUAL(nn_step_epoch(b.step, &epoch, b.updates, 1, 1, &node, &error), NN_VALUE_ERROR);
    end_data(&d), end_trainer(&a), end_trainer(&b);
}

/* A step without its loss, whose gradient comes from one with it. */
static void two_halves_make_a_whole(int threads) {
    nn_threads_set(threads, NULL);
    network whole = make(), halves = make();
    nn_step *step, *open;
    int64_t node;
    chain(&step, whole.nodes, NODES, &node, NULL);
    chain(&open, halves.nodes, NODES - 1, &node, NULL);
    double loss;
    nn_step_run(step, NN_STEP_GRADIENTS, ONE(whole.x), whole.labels, N, NULL, 0, &loss, &node, NULL);

    float *dy = malloc(N * CLASSES * sizeof *dy), *dx = malloc(N * IN * sizeof *dx), *kept = malloc(N * IN * sizeof *kept);
    nn_error error;
    CHECK_EQUAL(nn_step_backward(open, ONE(dy), TO_ONE(dx), true, &node, &error), NN_RUNTIME_ERROR);
    float *x = malloc(N * IN * sizeof *x);
    memcpy(x, halves.x, N * IN * sizeof *x);
    CHECK_EQUAL(nn_step_forward(open, ONE(x), N, &node, NULL), NN_OK);
    CHECK_EQUAL(nn_step_recorded(open), N);
    memset(x, 0, N * IN * sizeof *x); /* it was copied */
    /* softmax - onehot, from the engine's own loss */
    nn_op op = whole.nodes[NODES - 1].op;
    nn_op_plan(&op, NULL);
    float *saved = malloc((size_t)op.saved_bytes);
    void *work = malloc((size_t)op.forward_bytes + 1);
    nn_io io = {.y = &loss, .x = nn_step_value(open, NODES - 1), .target = whole.labels, .saved = saved, .work = work, .dx = dy};
    nn_op_forward(&op, &io, NULL);
    nn_op_backward(&op, &io, NULL);
    for (int i = 0; i < HIDDEN * IN; i++) halves.dw1[i] = 0;
    CHECK_EQUAL(nn_step_backward(open, ONE(dy), TO_ONE(dx), true, &node, NULL), NN_OK);
    CHECK(memcmp(whole.dw1, halves.dw1, HIDDEN * IN * sizeof(float)) == 0);
    CHECK_EQUAL(nn_step_backward(open, ONE(dy), TO_ONE(dx), true, &node, NULL), NN_RUNTIME_ERROR);

    /* dx needs no gradients of parameters: not asked for, or frozen. */
    memcpy(kept, dx, N * IN * sizeof *kept);
    nn_step_forward(open, ONE(halves.x), N, &node, NULL);
    memset(dx, 0, N * IN * sizeof *dx);
    CHECK_EQUAL(nn_step_backward(open, ONE(dy), TO_ONE(dx), false, &node, NULL), NN_OK);
    CHECK(memcmp(dx, kept, N * IN * sizeof *dx) == 0);
    CHECK(memcmp(whole.dw1, halves.dw1, HIDDEN * IN * sizeof(float)) == 0);
    nn_step_destroy(open);
    for (int i = 0; i < NODES; i++) halves.nodes[i].dweight = halves.nodes[i].dbias = NULL;
    chain(&open, halves.nodes, NODES - 1, &node, NULL);
    nn_step_forward(open, ONE(halves.x), N, &node, NULL);
    memset(dx, 0, N * IN * sizeof *dx);
    CHECK_EQUAL(nn_step_backward(open, ONE(dy), TO_ONE(dx), true, &node, NULL), NN_OK);
    CHECK(memcmp(dx, kept, N * IN * sizeof *dx) == 0);
    nn_step_forward(open, ONE(halves.x), N, &node, NULL);
    nn_step_forget(open);
    CHECK_EQUAL(nn_step_backward(open, ONE(dy), TO_ONE(dx), true, &node, NULL), NN_RUNTIME_ERROR);
    free(dy), free(dx), free(kept), free(x), free(saved), free(work);
    nn_step_destroy(step), nn_step_destroy(open);
    destroy(&whole), destroy(&halves);
}

/* A step of one thread asks no worker, one of two does. */
static void a_step_has_its_own_number_of_threads(void) {
    nn_threads_set(2, NULL);
    network net = make();
    net.nodes[0].op.channels = HIDDEN;
    nn_step *step;
    int64_t node;
    float *out = malloc(1 << 20), *in = malloc(1 << 20);
    memset(in, 0, 1 << 20);
    const nn_node relu = {.op = {.kind = NN_OP_RELU, .x = {1 << 18, 1, 1, 1}, .groups = 1}};
    CHECK_EQUAL(chain(&step, &relu, 1, &node, NULL), NN_OK);
    for (int threads = 1; threads <= 2; threads++) {
        const int64_t before = nn_threads_pieces_by_workers();
        nn_step_threads(step, threads);
        double loss;
        CHECK_EQUAL(nn_step_run(step, NN_STEP_PREDICT, ONE(in), NULL, 1 << 18, NULL, 0, &loss, &node, NULL), NN_OK);
        CHECK((nn_threads_pieces_by_workers() > before) == (threads == 2));
    }
    nn_step_destroy(step);
    free(out), free(in);
    destroy(&net);
}

int main(void) {
    check_start();
    nn_isa_select(NULL, NULL);
    nn_threads_threshold_set(0);
    for (int threads = 1; threads <= 2; threads++) {
        nn_threads_set(threads, NULL);
        for (int variant = 0; variant < 8; variant++)
            same_bits_as_one_by_one(variant & 1, variant & 2, variant & 4 ? 1e9 : 0);
        two_halves_make_a_whole(threads);
    }
    measuring_changes_nothing();
    a_bad_batch_changes_nothing();
    a_step_has_its_own_number_of_threads();
    return check_report();
}
