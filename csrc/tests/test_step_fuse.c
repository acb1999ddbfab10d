/*
 * test_step_fuse: training by updates that follow the gradients gives the bits of gradients and updates one after the
 * other, in every size of batch; gradients nobody holds are left alone, all others read zero; what the optimiser
 * wants to see whole is not taken.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "nncore.h"
#include "step_network.h"

enum { WIDE_OUT = 127, BIG = 260 };
static int wide_in = 133; /* with a tail; else, of one sample, the rule makes the gradient itself */
#define WEIGHTS (wide_in * WIDE_OUT)

/* Linear and MSE, with all that an optimiser may hold. */
typedef struct wide {
    float *w, *b, *dw, *db, *state[2][2], *x, *target;
    nn_node nodes[2];
    nn_tensor tensors[2];
    nn_update update;
    nn_step *step;
} wide;

static wide *make_wide(nn_update_kind kind) {
    wide *w = malloc(sizeof *w);
    *w = (wide){.w = numbers(WEIGHTS, 1), .b = numbers(WIDE_OUT, 2), .dw = numbers(WEIGHTS, 3), .db = numbers(WIDE_OUT, 4),
                .x = numbers(BIG * wide_in, 5), .target = numbers(BIG * WIDE_OUT, 6)};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) w->state[i][k] = calloc(i ? WIDE_OUT : WEIGHTS, sizeof(float));
    const nn_op linear = {.kind = NN_OP_LINEAR, .x = {BIG, wide_in, 1, 1}, .channels = WIDE_OUT, .groups = 1, .bias = true};
    w->nodes[0] = (nn_node){.op = linear, .inputs = {0}, .weight = w->w, .bias = w->b, .dweight = w->dw, .dbias = w->db};
    w->nodes[1] = (nn_node){.op = {.kind = NN_OP_MSE, .x = {BIG, WIDE_OUT, 1, 1}, .groups = 1}, .inputs = {1}};
    w->tensors[0] = (nn_tensor){.param = w->b, .grad = w->db, .count = WIDE_OUT, .state = {w->state[1][0], w->state[1][1]}};
    w->tensors[1] = (nn_tensor){.param = w->w, .grad = w->dw, .count = WEIGHTS, .state = {w->state[0][0], w->state[0][1]}};
    w->update = (nn_update){.kind = kind, .tensors = w->tensors, .tensor_count = 2, .lr = 0.1, .beta1 = 0.9,
                            .beta2 = 0.99, .eps = 1e-8, .clear_grad = true};
    int64_t node;
    nn_error error;
    CHECK_EQUAL(chain(&w->step, w->nodes, 2, &node, &error), NN_OK);
    return w;
}

static void end_wide(wide *w) {
    nn_step_destroy(w->step);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) free(w->state[i][k]);
    free(w->w), free(w->b), free(w->dw), free(w->db), free(w->x), free(w->target), free(w);
}

static void train(wide *w, int64_t n, bool apart) {
    nn_update *const updates[] = {&w->update};
    int64_t node;
    nn_error error;
    double loss;
    CHECK_EQUAL(nn_step_run(w->step, apart ? NN_STEP_GRADIENTS : NN_STEP_TRAIN, ONE(w->x), w->target, n, updates, 1, &loss,
                            &node, &error), NN_OK);
    if (apart) CHECK_EQUAL(nn_update_run(updates, 1, &error), NN_OK);
}

static void same_bits(nn_update_kind kind) {
    wide *fused = make_wide(kind), *apart = make_wide(kind);
    const int64_t sizes[] = {1, 1, 1, 7, 8, 9, 32, 33, 256, BIG, 2, 2, 0, 1};
    nn_step_unseen(fused->step, true);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        train(fused, sizes[i], false);
        train(apart, sizes[i], true);
        CHECK(memcmp(fused->w, apart->w, WEIGHTS * sizeof(float)) == 0);
        CHECK(memcmp(fused->b, apart->b, WIDE_OUT * sizeof(float)) == 0);
        CHECK(memcmp(fused->state[0][0], apart->state[0][0], WEIGHTS * sizeof(float)) == 0);
        for (int k = 0; k < WEIGHTS; k++) CHECK(fused->dw[k] == 0);
        CHECK_EQUAL(fused->update.steps, apart->update.steps);
    }
    end_wide(fused), end_wide(apart);
}

static void gradients_are_left_alone_or_zero(void) {
    wide *w = make_wide(NN_SGD);
    nn_step_unseen(w->step, true);
    train(w, 1, false);
    CHECK(nn_step_fusible(w->step, 0, false) && nn_step_fusible(w->step, 0, true));
    w->dw[5] = 3;
    train(w, 1, false); /* nobody holds it: it is not even looked at */
    CHECK(w->dw[5] == 3);
    nn_step_unseen(w->step, false);
    for (int i = 0; i < 2; i++) {
        w->dw[5] = 3;
        train(w, 1, false);
        CHECK(w->dw[5] == 0);
    }
    nn_step_unseen(w->step, true);
    train(w, 1, false);
    train(w, 1, true); /* gradients were written meanwhile */
    train(w, 1, false);
    for (int k = 0; k < WEIGHTS; k++) CHECK(w->dw[k] == 0);
    end_wide(w);
}

static void an_optimiser_that_is_wrong_changes_nothing(void) {
    wide *w = make_wide(NN_ADAM);
    nn_update *const updates[] = {&w->update};
    float *before = malloc(WEIGHTS * sizeof *before);
    memcpy(before, w->w, WEIGHTS * sizeof *before);
    int64_t node;
    nn_error error;
    double loss;
    w->tensors[0].state[1] = NULL;
    CHECK_EQUAL(nn_step_run(w->step, NN_STEP_TRAIN, ONE(w->x), w->target, 1, updates, 1, &loss, &node, &error),
                NN_VALUE_ERROR);
    w->tensors[0].state[1] = w->state[1][1];
    w->update.finite = true; /* looked at whole: a gradient that is not finite is found before a weight changes */
    w->x[3] = 1e38f * 1e38f;
    CHECK_EQUAL(nn_step_run(w->step, NN_STEP_TRAIN, ONE(w->x), w->target, 1, updates, 1, &loss, &node, &error),
                NN_VALUE_ERROR);
    CHECK(error.arg == nn_gradient);
    CHECK(memcmp(before, w->w, WEIGHTS * sizeof *before) == 0);
    free(before);
    end_wide(w);
}

int main(void) {
    check_start();
    nn_isa_select(NULL, NULL);
    nn_threads_threshold_set(0);
    for (int threads = 1; threads <= 2; threads++) {
        nn_threads_set(threads, NULL);
        for (wide_in = 128; wide_in <= 133; wide_in += 5)
            same_bits(NN_SGD), same_bits(NN_ADAM), same_bits(NN_LION);
        wide_in = 133;
    }
    gradients_are_left_alone_or_zero();
    an_optimiser_that_is_wrong_changes_nothing();
    return check_report();
}
