/*
 * test_step_follow: activations that layers apply to what they write, part by part, give the bits of passes of their own;
 * where somebody else reads the value between, they are passes of their own.
 */
#include <string.h>

#include "check.h"
#include "nncore.h"
#include "step_network.h"

enum { BATCH = 5, COUNT = 11, LAYERS = 5 };

/* Winograd's algorithm both ways, pairs, the direct sum, and Linear with more columns than a piece has. */
typedef struct deep {
    nn_node nodes[COUNT];
    float *w[LAYERS], *b[LAYERS], *dw[LAYERS], *db[LAYERS], *x;
    int64_t labels[BATCH];
    uint64_t calls; /* a layer that counts its calls is nobody's to apply */
    nn_step *step;
} deep;

static void layer(deep *d, int64_t i, int k, nn_op op) {
    op.groups = 1, op.bias = true;
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    d->w[k] = numbers(op.weight_count, k), d->b[k] = numbers(op.bias_count, k + 9);
    d->dw[k] = numbers(op.weight_count, k), d->db[k] = numbers(op.bias_count, k);
    for (int64_t j = 0; j < op.weight_count; j++) d->w[k][j] /= 16;
    d->nodes[i] = (nn_node){.op = op, .inputs = {i}, .weight = d->w[k], .bias = d->b[k], .dweight = d->dw[k],
                            .dbias = d->db[k]};
}

static nn_window square(int64_t kernel, int64_t stride, int64_t padding) {
    return (nn_window){.kernel = {kernel, kernel}, .stride = {stride, stride}, .padding = {padding, padding},
                       .dilation = {1, 1}};
}

static deep *make_deep(bool apart) {
    deep *d = malloc(sizeof *d);
    *d = (deep){.x = numbers(BATCH * 12 * 9 * 7, 3), .labels = {0, 2, 1, 1, 0}};
    layer(d, 0, 0, (nn_op){.kind = NN_OP_CONV2D, .x = {BATCH, 12, 9, 7}, .channels = 16, .window = square(3, 1, 1)});
    layer(d, 2, 1, (nn_op){.kind = NN_OP_CONV2D, .x = {BATCH, 16, 9, 7}, .channels = 6, .window = square(3, 1, 0)});
    layer(d, 4, 2, (nn_op){.kind = NN_OP_CONV2D, .x = {BATCH, 6, 7, 5}, .channels = 16, .window = square(2, 2, 0)});
    layer(d, 7, 3, (nn_op){.kind = NN_OP_LINEAR, .x = {BATCH, 96, 1, 1}, .channels = 70});
    layer(d, 9, 4, (nn_op){.kind = NN_OP_LINEAR, .x = {BATCH, 70, 1, 1}, .channels = 3});
    d->nodes[1] = (nn_node){.op = {.kind = NN_OP_TANH, .x = {BATCH, 16, 9, 7}, .groups = 1}, .inputs = {1}};
    d->nodes[3] = (nn_node){.op = {.kind = NN_OP_GELU, .x = {BATCH, 6, 7, 5}, .groups = 1}, .inputs = {3}};
    d->nodes[5] = (nn_node){.op = {.kind = NN_OP_RELU, .x = {BATCH, 16, 3, 2}, .groups = 1}, .inputs = {5}};
    d->nodes[6] = (nn_node){.op = {.kind = NN_OP_FLATTEN, .x = {BATCH, 16, 3, 2}, .groups = 1}, .inputs = {6}};
    d->nodes[8] = (nn_node){.op = {.kind = NN_OP_SIGMOID, .x = {BATCH, 70, 1, 1}, .groups = 1}, .inputs = {8}};
    d->nodes[10] = (nn_node){.op = {.kind = NN_OP_CROSS_ENTROPY, .x = {BATCH, 3, 1, 1}, .groups = 1}, .inputs = {10}};
    for (int i = 1; i <= 8 && apart; i++)
        if (i != 2 && i != 4 && i != 6 && i != 7) d->nodes[i].calls = &d->calls;
    int64_t node;
    nn_error error;
    CHECK_EQUAL(chain(&d->step, d->nodes, COUNT, &node, &error), NN_OK);
    return d;
}

static void end_deep(deep *d) {
    nn_step_destroy(d->step);
    for (int k = 0; k < LAYERS; k++) free(d->w[k]), free(d->b[k]), free(d->dw[k]), free(d->db[k]);
    free(d->x), free(d);
}

static double run(deep *d, nn_step_mode mode, int64_t n) {
    int64_t node;
    nn_error error;
    double loss = 0;
    CHECK_EQUAL(nn_step_run(d->step, mode, ONE(d->x), d->labels, n, NULL, 0, &loss, &node, &error), NN_OK);
    return loss;
}

static void same_bits(void) {
    deep *followed = make_deep(false), *apart = make_deep(true);
    const int64_t sizes[] = {BATCH, 2, 1, BATCH};
    for (int i = 0; i < COUNT; i++)
        for (int forward = 0; forward < 2; forward++) {
            const bool activation = i == 1 || i == 3 || i == 5 || i == 8;
            const int64_t by = !activation || (i == 5 && !forward) ? -1 : forward ? i - 1 : i + 1;
            CHECK_EQUAL(nn_step_followed(followed->step, i, forward), by);
            CHECK_EQUAL(nn_step_followed(apart->step, i, forward), -1);
        }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CHECK(run(followed, NN_STEP_GRADIENTS, sizes[i]) == run(apart, NN_STEP_GRADIENTS, sizes[i]));
        for (int k = 0; k < LAYERS; k++) {
            nn_op op = followed->nodes[k < 3 ? 2 * k : 2 * k + 1].op;
            CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
            CHECK(memcmp(followed->dw[k], apart->dw[k], (size_t)op.weight_count * sizeof(float)) == 0);
            CHECK(memcmp(followed->db[k], apart->db[k], (size_t)op.bias_count * sizeof(float)) == 0);
        }
        run(followed, NN_STEP_PREDICT, sizes[i]), run(apart, NN_STEP_PREDICT, sizes[i]);
        const void *y = nn_step_value(followed->step, COUNT - 1), *other = nn_step_value(apart->step, COUNT - 1);
        CHECK(memcmp(y, other, (size_t)sizes[i] * 3 * sizeof(float)) == 0);
    }
    run(followed, NN_STEP_GRADIENTS, 0);
    end_deep(followed), end_deep(apart);
}

int main(void) {
    for (int isa = 0; isa < NN_ISAS; isa++) {
        if (!nn_isa_available((nn_isa)isa)) continue;
        CHECK_EQUAL(nn_isa_select(nn_isa_name((nn_isa)isa), NULL), NN_OK);
        for (int threads = 1; threads <= 2; threads++) {
            CHECK_EQUAL(nn_threads_set(threads, NULL), NN_OK);
            nn_threads_threshold_set(threads > 1 ? 0 : 1 << 22);
            same_bits();
        }
    }
    return check_report();
}
