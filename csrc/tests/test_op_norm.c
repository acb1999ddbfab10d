/*
 * Normalisations against their definition in long double: every instruction set and dtype, images and rows, sizes around
 * every width of vector, means far from zero, running statistics, bits that do not depend on threads, bad arguments.
 */
#include "buffers.h"

/* ---- the definition ---------------------------------------------------------------------------------- */

typedef long double wide;

/* Element i of the memory: the set that shares a mean, and the weight it meets. */
typedef struct place {
    int64_t set, weight;
} place;

static bool by_channel(const nn_op *op) { return op->kind == NN_OP_BATCH_NORM || op->kind == NN_OP_GROUP_NORM; }

static place place_of(const nn_op *op, int64_t i) {
    const int64_t pixels = op->x[2] * op->x[3], channels = op->x[1];
    const int64_t n = i / (channels * pixels), in = i % (channels * pixels);
    const int64_t c = in % channels, p = in / channels; /* channels-last */
    if (by_channel(op)) {
        const int64_t k = pixels == 1 ? in / (channels / op->channels) : c;
        const int64_t group = op->kind == NN_OP_BATCH_NORM ? k : n * op->groups + k / (op->channels / op->groups);
        return (place){group, k};
    }
    const int64_t logical = n * channels * pixels + c * pixels + p;
    return (place){logical / op->channels, logical % op->channels};
}

static int64_t sets_of(const nn_op *op) {
    if (op->kind == NN_OP_BATCH_NORM) return op->channels;
    if (op->kind == NN_OP_GROUP_NORM) return op->x[0] * op->groups;
    return op->x_count / op->channels;
}

/* A case: its buffers, and what the definition says of every set and weight. */
typedef struct run {
    nn_op op;
    nn_io io;
    bool batch; /* the statistics are those of the data */
    int64_t sets;
    wide *mean, *variance, *sum, *products; /* of a set */
    wide *size;
    wide *dweight, *dbias, *weight_size; /* of a weight: sums, and that of their absolute values */
} run;

static double weight_of(const run *r, int64_t k) { return r->io.weight ? get(r->io.weight, r->op.dtype, k) : 1; }

static wide xhat_of(const run *r, int64_t i) {
    const int64_t s = place_of(&r->op, i).set;
    return ((wide)get(r->io.x, r->op.dtype, i) - r->mean[s]) / sqrtl(r->variance[s] + (wide)r->op.parameter[0]);
}

static wide *zeros(int64_t count) { return calloc((size_t)count + 1, sizeof(wide)); }

static run open_run(nn_op op, double centre, bool affine) {
    run r = {.op = op, .batch = true};
    CHECK_EQUAL(nn_op_plan(&r.op, NULL), NN_OK);
    op = r.op;
    const nn_dtype t = op.dtype;
    void *x = array(t, op.x_count), *dy = array(t, op.x_count);
    for (int64_t i = 0; i < op.x_count; i++) {
        set(x, t, i, centre * (1 + 0.01 * (double)(place_of(&op, i).set % 7)) + noise());
        set(dy, t, i, noise());
    }
    r.io = (nn_io){.y = array(t, op.x_count), .x = x, .saved = block(op.saved_bytes), .training = true,
                   .dx = array(t, op.x_count), .dy = dy};
    void *weight = array(t, op.channels), *bias = array(t, op.channels);
    void *dweight = array(t, op.channels), *dbias = array(t, op.channels);
    for (int64_t k = 0; k < op.channels; k++) {
        set(weight, t, k, 1.5 + noise());
        set(bias, t, k, noise());
        set(dweight, t, k, 2), set(dbias, t, k, -3); /* added to */
    }
    if (affine) r.io.weight = weight, r.io.bias = bias, r.io.dweight = dweight, r.io.dbias = dbias;
    else free(weight), free(bias), free(dweight), free(dbias);
    if (op.kind == NN_OP_RMS_NORM && affine) {
        free(bias), free(dbias);
        r.io.bias = NULL, r.io.dbias = NULL;
    }
    r.sets = sets_of(&op);
    r.mean = zeros(r.sets), r.variance = zeros(r.sets), r.sum = zeros(r.sets), r.products = zeros(r.sets);
    r.size = zeros(r.sets);
    r.dweight = zeros(op.channels), r.dbias = zeros(op.channels), r.weight_size = zeros(op.channels);
    return r;
}

static void close_run(run *r) {
    free(r->io.y), free((void *)r->io.x), free(r->io.saved), free(r->io.dx), free((void *)r->io.dy);
    free((void *)r->io.weight), free((void *)r->io.bias), free(r->io.dweight), free(r->io.dbias);
    free(r->io.buffers[0]), free(r->io.buffers[1]);
    free(r->mean), free(r->variance), free(r->sum), free(r->products), free(r->size);
    free(r->dweight), free(r->dbias), free(r->weight_size);
}

static void define(run *r) {
    const nn_op *op = &r->op;
    for (int64_t i = 0; i < op->x_count; i++) r->size[place_of(op, i).set] += 1;
    if (r->batch) {
        if (op->kind != NN_OP_RMS_NORM)
            for (int64_t i = 0; i < op->x_count; i++) r->mean[place_of(op, i).set] += get(r->io.x, op->dtype, i);
        for (int64_t s = 0; s < r->sets; s++) r->mean[s] /= r->size[s];
        for (int64_t i = 0; i < op->x_count; i++) {
            const int64_t s = place_of(op, i).set;
            const wide far = (wide)get(r->io.x, op->dtype, i) - r->mean[s];
            r->variance[s] += far * far;
        }
        for (int64_t s = 0; s < r->sets; s++) r->variance[s] /= r->size[s];
    } else {
        for (int64_t s = 0; s < r->sets; s++) {
            r->mean[s] = get(r->io.buffers[0], op->dtype, s);
            r->variance[s] = get(r->io.buffers[1], op->dtype, s);
        }
    }
    for (int64_t i = 0; i < op->x_count; i++) {
        const place at = place_of(op, i);
        const wide dy = get(r->io.dy, op->dtype, i), xhat = xhat_of(r, i), g = dy * weight_of(r, at.weight);
        r->sum[at.set] += g;
        r->products[at.set] += g * xhat;
        r->dweight[at.weight] += dy * xhat;
        r->dbias[at.weight] += dy;
        r->weight_size[at.weight] += fabsl(dy) * (1 + fabsl(xhat));
    }
}

/* ---- comparison -------------------------------------------------------------------------------------- */

static bool near(double a, wide b, wide tolerance) { return fabsl((wide)a - b) <= tolerance; }

static bool agrees(const run *r) {
    const nn_op *op = &r->op;
    const double eps = epsilon_of(op->dtype);
    bool good = true;
    for (int64_t i = 0; i < op->x_count; i++) {
        const place at = place_of(op, i);
        const wide xhat = xhat_of(r, i), weight = weight_of(r, at.weight), dy = get(r->io.dy, op->dtype, i);
        const wide bias = r->io.bias ? get(r->io.bias, op->dtype, at.weight) : 0;
        const wide inverse = 1 / sqrtl(r->variance[at.set] + (wide)op->parameter[0]), m = r->size[at.set];
        const wide mean = op->kind == NN_OP_RMS_NORM || !r->batch ? 0 : r->sum[at.set] / m;
        const wide slope = r->batch ? xhat * r->products[at.set] / m : 0;
        good &= near(get(r->io.y, op->dtype, i), xhat * weight + bias,
                     6 * eps * (fabsl(weight) * (1 + fabsl(xhat)) + fabsl(bias)));
        if (r->io.dx)
            good &= near(get(r->io.dx, op->dtype, i), inverse * (dy * weight - mean - slope),
                         12 * eps * inverse * (fabsl(dy * weight) + fabsl(weight) * (2 + fabsl(xhat))));
    }
    for (int64_t k = 0; r->io.dweight && k < op->channels; k++) {
        good &= near(get(r->io.dweight, op->dtype, k), 2 + r->dweight[k], 4 * eps * (2 + r->weight_size[k]));
        if (r->io.dbias)
            good &= near(get(r->io.dbias, op->dtype, k), -3 + r->dbias[k], 4 * eps * (3 + r->weight_size[k]));
    }
    return good;
}

static void execute(run *r) {
    nn_io *io = &r->io;
    io->work = block(r->op.forward_bytes);
    CHECK_EQUAL(nn_op_forward(&r->op, io, NULL), NN_OK);
    free(io->work);
    io->work = block(r->op.backward_bytes);
    void *y = io->y; /* backward reads x and what was saved, nothing else */
    io->y = NULL;
    CHECK_EQUAL(nn_op_backward(&r->op, io, NULL), NN_OK);
    io->y = y;
    free(io->work);
}

static void describe(const nn_op *op, double centre, bool affine) {
    fprintf(stderr, "    %s, %s, dtype %d, x (%d, %d, %d, %d), channels %d, groups %d, about %g, affine %d\n",
            nn_isa_name(nn_isa_active()), nn_op_name(op->kind), op->dtype, (int)op->x[0], (int)op->x[1],
            (int)op->x[2], (int)op->x[3], (int)op->channels, (int)op->groups, centre, affine);
}

static void check_norm(nn_op op, double centre, bool affine) {
    run r = open_run(op, centre, affine);
    define(&r);
    execute(&r);
    if (!CHECK(agrees(&r))) describe(&r.op, centre, affine);
    close_run(&r);
}

static nn_op norm(nn_kind kind, nn_dtype dtype, int64_t n, int64_t c, int64_t h, int64_t w, int64_t channels) {
    return (nn_op){.kind = kind, .dtype = dtype, .x = {n, c, h, w}, .channels = channels, .groups = 1,
                   .parameter = {1e-5, 0.1}, .training = true};
}

static void check_shapes(nn_dtype dtype, void *unused) {
    (void)unused;
    static const int64_t widths[] = {1, 2, 3, 5, 8, 12, 16, 17, 31, 33, 64, 67, 100, 129, 513};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        const int64_t c = widths[i];
        const double centre = i % 2 ? 1000 : -3;
        check_norm(norm(NN_OP_BATCH_NORM, dtype, 3, c, 3, 5, c), centre, i % 3 > 0);
        check_norm(norm(NN_OP_BATCH_NORM, dtype, 5, c, 1, 1, c), centre, true);
        check_norm(norm(NN_OP_BATCH_NORM, dtype, 2, c * 5, 1, 1, c), centre, true);
        nn_op group = norm(NN_OP_GROUP_NORM, dtype, 2, 2 * c, 3, 5, 2 * c);
        group.groups = 1 + (int64_t)(i % 2);
        check_norm(group, centre, i % 3 > 0);
        group.x[1] = 14 * c, group.x[2] = group.x[3] = 1;
        check_norm(group, centre, true);
        for (nn_kind kind = NN_OP_LAYER_NORM; kind <= NN_OP_RMS_NORM; kind++) {
            check_norm(norm(kind, dtype, 3, c, 1, 1, c), c > 1 || kind == NN_OP_RMS_NORM ? centre : 0, i % 3 > 0);
            check_norm(norm(kind, dtype, 4, 3 * c, 1, 1, c), c > 1 || kind == NN_OP_RMS_NORM ? centre : 0, true);
            check_norm(norm(kind, dtype, 2, 3, c, 2, 6 * c), centre, true);
        }
    }
    /* Several blocks, strips, segments. */
    check_norm(norm(NN_OP_BATCH_NORM, dtype, 3, 24, 41, 40, 24), 1e4, true);
    check_norm(norm(NN_OP_BATCH_NORM, dtype, 200, 1100, 1, 1, 1100), 1e4, true);
    check_norm(norm(NN_OP_LAYER_NORM, dtype, 3, 9000, 1, 1, 9000), 1e4, true);
    check_norm(norm(NN_OP_LAYER_NORM, dtype, 301, 5, 1, 1, 5), 1, true);
    check_norm(norm(NN_OP_RMS_NORM, dtype, 3, 9000, 1, 1, 9000), 0.5, true);
    nn_op group = norm(NN_OP_GROUP_NORM, dtype, 2, 30, 41, 40, 30);
    group.groups = 5;
    check_norm(group, 1e4, true);
}

/* ---- running statistics ------------------------------------------------------------------------------ */

static void give_buffers(run *r, double mean, double variance) {
    for (int k = 0; k < 2; k++) {
        r->io.buffers[k] = array(r->op.dtype, r->op.channels);
        for (int64_t c = 0; c < r->op.channels; c++) set(r->io.buffers[k], r->op.dtype, c, k ? variance : mean);
    }
}

static void check_running(nn_dtype dtype, void *unused) {
    (void)unused;
    const double eps = epsilon_of(dtype);
    for (int cumulative = 0; cumulative < 2; cumulative++) {
        nn_op op = norm(NN_OP_BATCH_NORM, dtype, 3, 5, 2, 4, 5);
        if (cumulative) op.parameter[1] = NAN;
        run r = open_run(op, 2, true);
        give_buffers(&r, 0.5, 2);
        r.io.call = 3; /* the fourth batch */
        define(&r);
        execute(&r);
        CHECK(agrees(&r));
        const double m = cumulative ? 0.25 : 0.1;
        for (int64_t c = 0; c < 5; c++) {
            CHECK(near(get(r.io.buffers[0], dtype, c), (1 - m) * 0.5 + m * r.mean[c], 2 * eps * 3));
            CHECK(near(get(r.io.buffers[1], dtype, c), (1 - m) * 2 + m * r.variance[c] * 24 / 23, 2 * eps * 3));
        }
        close_run(&r);
    }
    for (int where = 0; where < 2; where++) { /* evaluation: of the run, or of the layer */
        nn_op op = norm(NN_OP_BATCH_NORM, dtype, 1, 5, 1, 1, 5);
        op.training = where == 1;
        run r = open_run(op, 2, true);
        r.io.training = where == 0;
        r.batch = false;
        give_buffers(&r, 0.5, 2);
        define(&r);
        execute(&r);
        CHECK(agrees(&r));
        CHECK(get(r.io.buffers[0], dtype, 4) == 0.5 && get(r.io.buffers[1], dtype, 4) == 2);
        close_run(&r);
    }
    /* One value a channel: refused, and nothing moves. No values: nothing to refuse, and nothing moves. */
    for (int64_t n = 0; n < 2; n++) {
        run r = open_run(norm(NN_OP_BATCH_NORM, dtype, n, 5, 1, 1, 5), 2, true);
        give_buffers(&r, 0.5, 2);
        r.io.work = block(r.op.forward_bytes + r.op.backward_bytes);
        nn_error error;
        CHECK_EQUAL(nn_op_forward(&r.op, &r.io, &error), n ? NN_VALUE_ERROR : NN_OK);
        if (n == 0) CHECK_EQUAL(nn_op_backward(&r.op, &r.io, NULL), NN_OK);
        CHECK(get(r.io.buffers[0], dtype, 0) == 0.5 && get(r.io.buffers[1], dtype, 4) == 2);
        CHECK(get(r.io.dweight, dtype, 4) == 2 && get(r.io.dbias, dtype, 0) == -3);
        free(r.io.work);
        close_run(&r);
    }
    for (nn_kind kind = NN_OP_GROUP_NORM; kind <= NN_OP_RMS_NORM; kind++) check_norm(norm(kind, dtype, 0, 6, 1, 1, 6), 0, true);
}

/* ---- threads, arguments ------------------------------------------------------------------------------ */

static void check_threads(nn_dtype dtype, void *unused) {
    (void)unused;
    const nn_op ops[] = {norm(NN_OP_BATCH_NORM, dtype, 4, 12, 33, 50, 12), norm(NN_OP_GROUP_NORM, dtype, 40, 16, 9, 9, 16),
                         norm(NN_OP_LAYER_NORM, dtype, 700, 70, 1, 1, 70)};
    for (int k = 0; k < 3; k++) {
        void *y[2], *dx[2], *dweight[2];
        run r = open_run(ops[k], 10, true);
        free(r.io.y), free(r.io.dx), free(r.io.dweight);
        for (int threads = 1; threads <= 2; threads++) {
            use_threads(threads);
            y[threads - 1] = r.io.y = array(dtype, r.op.x_count);
            dx[threads - 1] = r.io.dx = array(dtype, r.op.x_count);
            dweight[threads - 1] = r.io.dweight = array(dtype, r.op.channels);
            memset(r.io.dweight, 0, (size_t)(r.op.channels * nn_dtype_bytes(dtype)));
            execute(&r);
        }
        use_threads(1);
        const int64_t bytes = nn_dtype_bytes(dtype);
        CHECK(same_bytes(y[0], y[1], r.op.x_count * bytes));
        CHECK(same_bytes(dx[0], dx[1], r.op.x_count * bytes));
        CHECK(same_bytes(dweight[0], dweight[1], r.op.channels * bytes));
        free(y[0]), free(dx[0]), free(dweight[0]);
        close_run(&r);
    }
}

static void check_arguments(void) {
    nn_op op = norm(NN_OP_BATCH_NORM, NN_FLOAT32, 2, 6, 3, 3, 5);
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_VALUE_ERROR);
    op.channels = 0;
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_VALUE_ERROR);
    op = norm(NN_OP_GROUP_NORM, NN_FLOAT32, 2, 6, 3, 3, 6);
    op.groups = 4;
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_VALUE_ERROR);
    op.groups = 0;
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_VALUE_ERROR);
    op = norm(NN_OP_LAYER_NORM, NN_FLOAT32, 2, 6, 1, 1, 4);
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_VALUE_ERROR);
    for (nn_kind kind = NN_OP_BATCH_NORM; kind <= NN_OP_RMS_NORM; kind++) {
        op = norm(kind, NN_FLOAT32, INT64_C(1) << 40, 1 << 20, 1, 1, 1 << 20);
        CHECK_EQUAL(nn_op_plan(&op, NULL), NN_MEMORY_ERROR);
        op = norm(kind, NN_FLOAT32, 0, INT64_MAX / 2, 1, 1, INT64_MAX / 2);
        CHECK(nn_op_plan(&op, NULL) == NN_MEMORY_ERROR);
    }
    /* A smaller batch needs no more than a larger one. */
    for (nn_kind kind = NN_OP_BATCH_NORM; kind <= NN_OP_RMS_NORM; kind++) {
        nn_op before = norm(kind, NN_FLOAT32, 0, 48, 1, 1, 12);
        CHECK_EQUAL(nn_op_plan(&before, NULL), NN_OK);
        for (int64_t n = 1; n < 3000; n += 1 + n / 50) {
            op = norm(kind, NN_FLOAT32, n, 48, 1, 1, 12);
            CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
            if (!CHECK(op.forward_bytes >= before.forward_bytes && op.backward_bytes >= before.backward_bytes)) break;
            before = op;
        }
    }
}

int main(void) {
    check_start();
    use_threads(1);
    check_arguments();
    for_each_kernel_set(check_shapes, NULL);
    for_each_kernel_set(check_running, NULL);
    for_each_kernel_set(check_threads, NULL);
    return check_report();
}
