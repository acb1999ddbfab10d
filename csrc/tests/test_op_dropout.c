/*
 * Dropout and Embedding: which elements are kept is a function of the stream, the call and the element alone; what is
 * dropped is zero whatever it was; indices are looked at before anything is written; gradients of equal entries add up.
 */
#include "buffers.h"
#include "runtime/random.h"

/* ---- dropout ----------------------------------------------------------------------------------------- */

/* The definition, word by word of the stream (the numbering of kernels/dropout.tmpl.c). */
static bool kept(const nn_op *op, uint64_t call, int64_t i) {
    const nn_stream stream = nn_stream_of_call(&op->stream, call);
    const int64_t in = i % 64, block = i / 64 * 8 + in % 32 / 4, half = in % 4;
    uint32_t word[4];
    nn_stream_bits(&stream, (uint64_t)block, word);
    const uint32_t pair = word[in / 32 * 2 + half / 2];
    return (double)(half % 2 ? pair >> 16 : pair & 0xFFFF) < (1 - op->parameter[0]) * 65536;
}

static nn_op dropout(nn_kind kind, nn_dtype dtype, double p, int64_t n, int64_t c, int64_t h, int64_t w) {
    return (nn_op){.kind = kind, .dtype = dtype, .x = {n, c, h, w}, .channels = c, .parameter = {p}, .training = true,
                   .stream = nn_stream_make(7, "layer", 0)};
}

/* The bit of element i of the memory. */
static int64_t bit_of(const nn_op *op, int64_t i) {
    const int64_t pixels = op->x[2] * op->x[3];
    if (op->kind == NN_OP_DROPOUT) return i;
    if (pixels == 1) return i / (op->x[1] / op->channels);
    return i / (op->x[1] * pixels) * op->channels + i % op->channels;
}

static void check_dropout(nn_op op, uint64_t call) {
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    const nn_dtype t = op.dtype;
    void *x = array(t, op.x_count), *y = array(t, op.x_count), *dx = array(t, op.x_count);
    for (int64_t i = 0; i < op.x_count; i++) set(x, t, i, i % 5 == 4 ? INFINITY : noise());
    const double scale = op.parameter[0] < 1 ? 1 / (1 - op.parameter[0]) : 0;
    for (int saving = 0; saving < 2; saving++) {
        nn_io io = {.y = y, .x = x, .saved = saving ? block(op.saved_bytes) : NULL, .work = block(op.forward_bytes),
                    .call = call, .training = true, .dx = dx, .dy = x};
        CHECK_EQUAL(nn_op_forward(&op, &io, NULL), NN_OK);
        if (saving) CHECK_EQUAL(nn_op_backward(&op, &io, NULL), NN_OK);
        bool good = true;
        for (int64_t i = 0; i < op.x_count; i++) {
            const double given = get(x, t, i);
            const double wanted = op.parameter[0] == 0 ? given : kept(&op, call, bit_of(&op, i)) ? given * scale : 0;
            const double slack = epsilon_of(t) * (isinf(wanted) ? 0 : fabs(wanted));
            const double got = get(y, t, i), back = saving ? get(dx, t, i) : wanted;
            good &= (got == wanted || fabs(got - wanted) <= slack) && (back == wanted || fabs(back - wanted) <= slack);
        }
        if (!CHECK(good)) fprintf(stderr, "    %s, %s, p %g, channels %d\n", nn_isa_name(nn_isa_active()),
                                  nn_op_name(op.kind), op.parameter[0], (int)op.channels);
        /* Evaluation is the identity. */
        io.training = false;
        CHECK_EQUAL(nn_op_forward(&op, &io, NULL), NN_OK);
        CHECK(same_bytes(x, y, op.x_count * nn_dtype_bytes(t)));
        CHECK_EQUAL(nn_op_backward(&op, &io, NULL), NN_OK);
        CHECK(same_bytes(x, dx, op.x_count * nn_dtype_bytes(t)));
        free(io.saved), free(io.work);
    }
    free(x), free(y), free(dx);
}

static void check_dropouts(nn_dtype dtype, void *unused) {
    (void)unused;
    static const double chances[] = {0, 0.25, 0.5, 0.7, 1};
    for (int k = 0; k < 5; k++) {
        const double p = chances[k];
        for (int64_t count = 0; count < 140; count += 1 + count / 9)
            check_dropout(dropout(NN_OP_DROPOUT, dtype, p, count, 1, 1, 1), 0);
        for (int64_t c = 1; c < 200; c += 1 + c / 3)
            check_dropout(dropout(NN_OP_DROPOUT2D, dtype, p, 3, c, 2, 5), 4);
        nn_op rows = dropout(NN_OP_DROPOUT2D, dtype, p, 3, 5, 1, 1);
        rows.x[1] = 5 * 90;
        check_dropout(rows, 4);
        for (int threads = 1; threads <= 2; threads++) {
            use_threads(threads);
            check_dropout(dropout(NN_OP_DROPOUT, dtype, p, 5, 12, 30, 31), 2);
            check_dropout(dropout(NN_OP_DROPOUT2D, dtype, p, 9, 70, 12, 13), 2);
        }
        use_threads(1);
    }
}

/* As often as p says, for chances that sixteen bits cannot say either. */
static void check_chance(double p, int64_t count, double spread) {
    nn_op op = dropout(NN_OP_DROPOUT, NN_FLOAT32, p, count, 1, 1, 1);
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    float *x = array(NN_FLOAT32, count), *y = array(NN_FLOAT32, count);
    for (int64_t i = 0; i < count; i++) x[i] = 1;
    double dropped = 0;
    for (uint64_t call = 0; call < 16; call++) {
        const nn_io io = {.y = y, .x = x, .call = call, .training = true};
        CHECK_EQUAL(nn_op_forward(&op, &io, NULL), NN_OK);
        for (int64_t i = 0; i < count; i++) dropped += y[i] == 0;
    }
    const double mean = 16 * (double)count * p;
    CHECK(fabs(dropped - mean) < spread * sqrt(mean * (1 - p)));
    free(x), free(y);
}

static void check_dropout_arguments(void) {
    static const double bad[] = {-0.1, 1.1, NAN, INFINITY};
    for (int i = 0; i < 4; i++)
        for (nn_kind kind = NN_OP_DROPOUT; kind <= NN_OP_DROPOUT2D; kind++) {
            nn_op op = dropout(kind, NN_FLOAT32, bad[i], 2, 3, 1, 1);
            CHECK_EQUAL(nn_op_plan(&op, NULL), NN_VALUE_ERROR);
        }
    nn_op op = dropout(NN_OP_DROPOUT2D, NN_FLOAT32, 0.5, 2, 3, 4, 4);
    op.channels = 2;
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_VALUE_ERROR);
}

/* ---- embedding --------------------------------------------------------------------------------------- */

static void check_embedding(nn_dtype dtype, int64_t n, int64_t size, int64_t padding) {
    const int64_t entries = 7;
    nn_op op = {.kind = NN_OP_EMBEDDING, .dtype = dtype, .x = {n, 3, 1, 1}, .channels = size, .entries = entries,
                .padding_entry = padding};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    CHECK(op.indices && op.y[1] == 3 * size && op.weight_count == entries * size);
    int64_t *x = block(op.x_count * 8);
    for (int64_t i = 0; i < op.x_count; i++) x[i] = noise_below((uint32_t)entries);
    void *weight = array(dtype, op.weight_count), *y = array(dtype, op.y_count), *dy = array(dtype, op.y_count);
    void *dweight[2];
    double *wanted = calloc((size_t)op.weight_count + 1, sizeof *wanted);
    for (int64_t i = 0; i < op.weight_count; i++) set(weight, dtype, i, noise());
    for (int64_t i = 0; i < op.y_count; i++) {
        set(dy, dtype, i, noise());
        if (x[i / size] != padding) wanted[x[i / size] * size + i % size] += get(dy, dtype, i);
    }
    for (int threads = 1; threads <= 2; threads++) {
        use_threads(threads);
        void *gradient = dweight[threads - 1] = array(dtype, op.weight_count);
        memset(gradient, 0, (size_t)(op.weight_count * nn_dtype_bytes(dtype)));
        const nn_io io = {.y = y, .x = x, .weight = weight, .dweight = gradient, .dy = dy};
        CHECK_EQUAL(nn_op_forward(&op, &io, NULL), NN_OK);
        CHECK_EQUAL(nn_op_backward(&op, &io, NULL), NN_OK);
        bool good = true;
        for (int64_t i = 0; i < op.y_count; i++)
            good &= get(y, dtype, i) == get(weight, dtype, x[i / size] * size + i % size);
        for (int64_t i = 0; i < op.weight_count; i++)
            good &= fabs(get(gradient, dtype, i) - wanted[i]) <= 3 * (double)n * epsilon_of(dtype);
        CHECK(good);
    }
    use_threads(1);
    CHECK(same_bytes(dweight[0], dweight[1], op.weight_count * nn_dtype_bytes(dtype)));
    free(x), free(weight), free(y), free(dy), free(wanted), free(dweight[0]), free(dweight[1]);
}

static void check_embeddings(nn_dtype dtype, void *unused) {
    (void)unused;
    for (int64_t size = 1; size < 150; size += 1 + size / 2) {
        check_embedding(dtype, 40, size, size % 2 ? 3 : -1);
        check_embedding(dtype, 0, size, -1);
    }
}

static void check_embedding_arguments(void) {
    nn_op op = {.kind = NN_OP_EMBEDDING, .x = {2, 2, 1, 1}, .channels = 1, .entries = 4, .padding_entry = -1};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    static const int64_t bad[] = {4, -1, INT64_MAX, INT64_MIN};
    for (int i = 0; i < 4; i++) {
        const int64_t x[4] = {0, 3, bad[i], bad[i]};
        float y[4] = {5, 5, 5, 5}, weight[4] = {0};
        nn_error error;
        CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = y, .x = x, .weight = weight}, &error), NN_INDEX_ERROR);
        CHECK(error.index == 2 && error.got == bad[i] && strcmp(error.arg, "x") == 0 && y[0] == 5);
    }
    op.channels = INT64_MAX / 4;
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_MEMORY_ERROR);
    op.channels = -1;
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_VALUE_ERROR);
}

int main(void) {
    check_start();
    use_threads(1);
    check_dropout_arguments();
    check_embedding_arguments();
    for_each_kernel_set(check_dropouts, NULL);
    for_each_kernel_set(check_embeddings, NULL);
    check_chance(0.1, 1 << 15, 4);
    check_chance(0.3, 1 << 15, 4);
    check_chance(1e-5, 1 << 18, 4);
    return check_report();
}
