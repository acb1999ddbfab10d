/*
 * Conv2d by Winograd's algorithm against the definition in double, over odd sizes, paddings and channels, on
 * every instruction set. Every buffer is a heap block of exact size: a sanitizer sees one element too many.
 * Also: when it is chosen, that a smaller batch fits the workspace of a larger one, and that a step keeps its
 * choice.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "nncore.h"
#include "ops/conv2d.h"

/* ---- an operation and its buffers --------------------------------------------------------------------- */

typedef struct run {
    nn_op op;
    float *x, *weight, *bias, *dy; /* (n, h, w, c), as PyTorch has them, dy like y */
    float *y, *dx, *dweight, *dbias;
} run;

static int64_t weight_count(const nn_op *op) { return op->channels * op->x[1] * 9; }

static float *numbers(int64_t count, uint32_t state) {
    float *a = malloc((size_t)count * sizeof *a);
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        a[i] = (float)(state >> 8) / (1 << 23) - 1;
    }
    return a;
}

static float *nothing(int64_t count, float value) {
    float *a = malloc((size_t)count * sizeof *a);
    for (int64_t i = 0; i < count; i++) a[i] = value;
    return a;
}

static nn_op operation(int64_t n, int64_t in, int64_t out, int64_t h, int64_t w, int64_t padding_h, int64_t padding_w) {
    return (nn_op){.kind = NN_OP_CONV2D, .x = {n, in, h, w}, .channels = out, .groups = 1, .bias = true,
                   .window = {{3, 3}, {1, 1}, {padding_h, padding_w}, {1, 1}, false}};
}

static run compute(nn_op op) {
    run r = {.op = op};
    CHECK_EQUAL(nn_op_plan(&r.op, NULL), NN_OK);
    const nn_op *o = &r.op;
    r.x = numbers(o->x_count, 1), r.weight = numbers(weight_count(o), 2), r.bias = numbers(o->channels, 3);
    r.dy = numbers(o->y_count, 4);
    r.y = nothing(o->y_count, NAN), r.dx = nothing(o->x_count, NAN);
    r.dweight = nothing(weight_count(o), 0), r.dbias = nothing(o->channels, 0);
    void *work = malloc((size_t)o->forward_bytes);
    memset(work, 0xff, (size_t)o->forward_bytes);
    nn_io io = {.y = r.y, .x = r.x, .weight = r.weight, .bias = r.bias, .work = work};
    CHECK_EQUAL(nn_op_forward(o, &io, NULL), NN_OK);
    free(work);
    io = (nn_io){.dx = r.dx, .dweight = r.dweight, .dbias = r.dbias, .x = r.x, .weight = r.weight, .dy = r.dy};
    io.work = work = malloc((size_t)o->backward_bytes);
    memset(work, 0xff, (size_t)o->backward_bytes);
    CHECK_EQUAL(nn_op_backward(o, &io, NULL), NN_OK);
    free(work);
    return r;
}

static void release(run *r) {
    free(r->x), free(r->weight), free(r->bias), free(r->dy);
    free(r->y), free(r->dx), free(r->dweight), free(r->dbias);
}

static bool same_bits(const run *a, const run *b) {
    const size_t element = sizeof(float);
    return memcmp(a->y, b->y, (size_t)a->op.y_count * element) == 0 &&
           memcmp(a->dx, b->dx, (size_t)a->op.x_count * element) == 0 &&
           memcmp(a->dweight, b->dweight, (size_t)weight_count(&a->op) * element) == 0 &&
           memcmp(a->dbias, b->dbias, (size_t)a->op.channels * element) == 0;
}

/* ---- the definition ----------------------------------------------------------------------------------- */

/* The largest distance over the largest magnitude. */
static double error_of(const float *ours, const double *exact, int64_t count) {
    double distance = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!(fabs((double)ours[i] - exact[i]) <= distance)) distance = fabs((double)ours[i] - exact[i]);
        if (fabs(exact[i]) > size) size = fabs(exact[i]);
    }
    return distance / size;
}

/* y, and the three gradients, in the order of the definition; checks those of r. */
static void check_definition(const run *r, double bound) {
    const nn_op *op = &r->op;
    const int64_t in = op->x[1], out = op->channels;
    double *y = calloc((size_t)op->y_count, sizeof *y), *dx = calloc((size_t)op->x_count, sizeof *dx);
    double *dweight = calloc((size_t)weight_count(op), sizeof *dweight), *dbias = calloc((size_t)out, sizeof *dbias);
    for (int64_t e = 0; e < op->y_count / out; e++) {
        const int64_t n = e / (op->y[2] * op->y[3]), i = e / op->y[3] % op->y[2], j = e % op->y[3];
        for (int64_t o = 0; o < out; o++) {
            y[e * out + o] = r->bias[o];
            dbias[o] += r->dy[e * out + o];
        }
        for (int64_t tap = 0; tap < 9; tap++) {
            const int64_t h = i - op->window.padding[0] + tap / 3, w = j - op->window.padding[1] + tap % 3;
            if (h < 0 || h >= op->x[2] || w < 0 || w >= op->x[3]) continue;
            const int64_t cell = ((n * op->x[2] + h) * op->x[3] + w) * in;
            for (int64_t o = 0; o < out; o++) {
                const double dy = r->dy[e * out + o];
                for (int64_t c = 0; c < in; c++) {
                    const int64_t k = (o * in + c) * 9 + tap;
                    y[e * out + o] += (double)r->weight[k] * r->x[cell + c];
                    dx[cell + c] += (double)r->weight[k] * dy;
                    dweight[k] += dy * r->x[cell + c];
                }
            }
        }
    }
    CHECK(error_of(r->y, y, op->y_count) <= bound);
    CHECK(error_of(r->dx, dx, op->x_count) <= bound);
    CHECK(error_of(r->dweight, dweight, weight_count(op)) <= bound);
    CHECK(error_of(r->dbias, dbias, out) <= bound);
    free(y), free(dx), free(dweight), free(dbias);
}

/* ---- tests -------------------------------------------------------------------------------------------- */

static void test_definition(void) {
    static const int64_t cases[][7] = { /* n, in, out, h, w, padding */
        {1, 12, 12, 16, 16, 1, 1}, {3, 12, 24, 12, 12, 0, 0}, {2, 13, 17, 11, 14, 1, 0}, {1, 33, 18, 19, 9, 2, 1},
        {2, 16, 50, 8, 21, 0, 2},  {6, 15, 31, 7, 7, 1, 1},   {1, 40, 25, 10, 33, 2, 2}, {1, 12, 12, 100, 5, 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int64_t *c = cases[i];
        nn_op op = operation(c[0], c[1], c[2], c[3], c[4], c[5], c[6]);
        run winograd = compute(op);
        CHECK(nn_conv2d_is_winograd(&winograd.op, NN_CONV2D_FORWARD));
        check_definition(&winograd, 1e-6);
        op.direct = true;
        run direct = compute(op);
        CHECK(!nn_conv2d_is_winograd(&direct.op, NN_CONV2D_FORWARD));
        check_definition(&direct, 2e-6);
        CHECK(!same_bits(&winograd, &direct));
        nn_error error;
        CHECK_EQUAL(nn_threads_set(3, &error), NN_OK);
        nn_threads_threshold_set(0);
        op.direct = false;
        run shared = compute(op);
        CHECK(same_bits(&winograd, &shared));
        CHECK_EQUAL(nn_threads_set(1, &error), NN_OK);
        release(&winograd), release(&direct), release(&shared);
    }
}

static nn_op planned(nn_op op) {
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    return op;
}

/* Of the three passes, how many the algorithm takes. */
static int chosen(nn_op op) {
    op = planned(op);
    return nn_conv2d_is_winograd(&op, NN_CONV2D_FORWARD) + nn_conv2d_is_winograd(&op, NN_CONV2D_DATA) +
           nn_conv2d_is_winograd(&op, NN_CONV2D_WEIGHT);
}

static void test_choice(void) {
    const nn_op wide = operation(8, 32, 32, 16, 16, 1, 1);
    CHECK_EQUAL(chosen(wide), 3);
    nn_op op = wide;
    op.direct = true;
    CHECK_EQUAL(chosen(op), 0);
    op = wide, op.dtype = NN_FLOAT64;
    CHECK_EQUAL(chosen(op), 0);
    op = wide, op.groups = 2;
    CHECK_EQUAL(chosen(op), 0);
    op = wide, op.x[1] = 8;
    CHECK_EQUAL(chosen(op), 0);
    op = wide, op.channels = 8;
    CHECK_EQUAL(chosen(op), 0);
    for (int axis = 0; axis < 2; axis++) {
        op = wide, op.window.kernel[axis] = 5;
        CHECK_EQUAL(chosen(op), 0);
        op = wide, op.window.stride[axis] = 2;
        CHECK_EQUAL(chosen(op), 0);
        op = wide, op.window.dilation[axis] = 2;
        CHECK_EQUAL(chosen(op), 0);
    }
    op = operation(1, 32, 32, 4, 4, 1, 1); /* too little to repay transformed weights */
    CHECK_EQUAL(chosen(op), 0);
    /* Both gradients at once: where dy has fewer quads than x, and there are pieces and room. */
    const nn_op unpadded = planned(operation(8, 32, 32, 16, 16, 0, 0));
    CHECK(nn_conv2d_is_joint(&unpadded));
    op = planned(wide);
    CHECK(!nn_conv2d_is_joint(&op));
    op = planned(operation(1, 32, 32, 16, 16, 0, 0));
    CHECK(!nn_conv2d_is_joint(&op));
    op = planned(operation(8, 64, 64, 16, 16, 0, 0));
    CHECK(!nn_conv2d_is_joint(&op));
    op = planned(operation(8, 32, 32, 16, 100, 0, 0));
    CHECK(!nn_conv2d_is_joint(&op));
    op = operation(100, 32, 32, 3, 3, 0, 0); /* one element of four in its quad */
    CHECK(!nn_conv2d_is_winograd(&op, NN_CONV2D_FORWARD));
}

/* The step plans for its largest batch and runs any smaller one in that workspace. */
static void test_smaller_batches_fit(void) {
    /* With 512 channels three pieces of the direct sum have room in what one of Winograd's takes. */
    static const int64_t channels[] = {12, 40, 512};
    for (int c = 0; c < 6; c++)
        for (int64_t size = 3; size <= 12; size++) {
            const int64_t padding = c % 2;
            int64_t forward = 0, backward = 0;
            for (int64_t n = 1; n <= 40; n++) {
                nn_op op = operation(n, channels[c / 2], channels[c / 2], size, size, padding, padding);
                CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
                CHECK(op.forward_bytes >= forward && op.backward_bytes >= backward);
                forward = op.forward_bytes, backward = op.backward_bytes;
            }
        }
}

static void test_step_keeps_its_choice(void) {
    const nn_op op = operation(8, 12, 12, 8, 8, 1, 1);
    float *weight = numbers(12 * 12 * 9, 2), *bias = numbers(12, 3);
    const nn_node node = {.op = op, .weight = weight, .bias = bias};
    const nn_graph graph = {.nodes = &node, .count = 1, .sources = 1, .outputs = (int64_t[]){1}, .output_count = 1};
    nn_step *step[2];
    nn_error error;
    int64_t at;
    CHECK(nn_winograd_get());
    for (int on = 0; on < 2; on++) {
        nn_winograd_set(on);
        CHECK_EQUAL(nn_step_create(&step[on], &graph, &at, &error), NN_OK);
    }
    for (int now = 0; now < 2; now++) {
        nn_winograd_set(now);
        for (int64_t n = 1; n <= 8; n++)
            for (int on = 0; on < 2; on++) {
                nn_op alone = op;
                alone.x[0] = n, alone.direct = !on;
                run r = compute(alone);
                double loss;
                CHECK_EQUAL(nn_step_run(step[on], NN_STEP_PREDICT, (const void *const[]){r.x}, NULL, n, NULL, 0, &loss, &at,
                                        &error), NN_OK);
                CHECK(memcmp(nn_step_value(step[on], 1), r.y, (size_t)r.op.y_count * sizeof(float)) == 0);
                release(&r);
            }
    }
    for (int on = 0; on < 2; on++) nn_step_destroy(step[on]);
    free(weight), free(bias);
}

int main(void) {
    check_start();
    nn_error error;
    nn_threads_set(1, &error);
    for (int isa = 0; isa < NN_ISAS; isa++) {
        if (!nn_isa_available((nn_isa)isa)) continue;
        CHECK_EQUAL(nn_isa_select(nn_isa_name((nn_isa)isa), &error), NN_OK);
        test_definition();
    }
    test_choice();
    test_smaller_batches_fit();
    test_step_keeps_its_choice();
    return check_report();
}
