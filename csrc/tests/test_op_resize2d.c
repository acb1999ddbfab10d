/*
 * Resize2d against its definition: both modes, aligned or not, larger, smaller, the same; both dtypes, every
 * instruction set, one and two threads, over buffers of exact size.
 */
#include "buffers.h"

/* Element i of an axis of y: cell of x and the share of the next one. */
static int64_t cell(const nn_op *op, int axis, int64_t i, double *share) {
    const double step = op->parameter[axis];
    const int64_t last = op->x[2 + axis] - 1;
    double place = op->mode == NN_RESIZE_BILINEAR ? ((double)i + 0.5) * step - 0.5 : (double)i * step;
    if (place < 0) place = 0;
    int64_t at = (int64_t)floor(place + (op->mode == NN_RESIZE_NEAREST ? 1e-6 : 0)); /* thirds are no floats */
    if (at > last) at = last;
    *share = op->mode == NN_RESIZE_NEAREST ? 0 : place - (double)at;
    if (at == last) *share = 0; /* it and itself */
    return at;
}

static int64_t element(const int64_t sizes[4], int64_t n, int64_t c, int64_t h, int64_t w) {
    return ((n * sizes[2] + h) * sizes[3] + w) * sizes[1] + c;
}

static void define(const nn_op *op, const double *x, const double *dy, double *y, double *dx) {
    for (int64_t n = 0; n < op->y[0]; n++)
        for (int64_t i = 0; i < op->y[2]; i++)
            for (int64_t j = 0; j < op->y[3]; j++) {
                double down, across;
                const int64_t h = cell(op, 0, i, &down), w = cell(op, 1, j, &across);
                for (int part = 0; part < 4; part++) {
                    const double share = (part & 2 ? down : 1 - down) * (part & 1 ? across : 1 - across);
                    if (share == 0) continue;
                    for (int64_t c = 0; c < op->y[1]; c++) {
                        const int64_t from = element(op->x, n, c, h + (part >> 1), w + (part & 1));
                        const int64_t to = element(op->y, n, c, i, j);
                        y[to] += share * x[from];
                        dx[from] += share * dy[to];
                    }
                }
            }
}

static bool near(const void *got, nn_dtype dtype, int64_t count, const double *expected, double terms) {
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(get(got, dtype, i) - expected[i]) <= terms * 8 * epsilon_of(dtype))) return false;
    return true;
}

static void check_dtype(nn_dtype dtype, void *context) {
    nn_op op = *(nn_op *)context;
    op.dtype = dtype;
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    double *x_values = noises(op.x_count), *dy_values = noises(op.y_count);
    double *y_right = calloc((size_t)op.y_count + 1, sizeof *y_right);
    double *dx_right = calloc((size_t)op.x_count + 1, sizeof *dx_right);
    define(&op, x_values, dy_values, y_right, dx_right);
    void *x = array_of(dtype, op.x_count, x_values), *dy = array_of(dtype, op.y_count, dy_values);
    void *y[2], *dx[2];
    for (int threads = 1; threads <= 2; threads++) {
        use_threads(threads);
        void *work = block(op.forward_bytes);
        y[threads - 1] = array(dtype, op.y_count), dx[threads - 1] = array(dtype, op.x_count);
        CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = y[threads - 1], .x = x, .work = work}, NULL), NN_OK);
        free(work);
        work = block(op.backward_bytes);
        CHECK_EQUAL(nn_op_backward(&op, &(nn_io){.dx = dx[threads - 1], .dy = dy, .work = work}, NULL), NN_OK);
        free(work);
    }
    const double terms = 4 * (double)(op.y[2] / op.x[2] + 2) * (double)(op.y[3] / op.x[3] + 2);
    bool right = CHECK(near(y[0], dtype, op.y_count, y_right, 4));
    right &= CHECK(near(dx[0], dtype, op.x_count, dx_right, terms));
    right &= CHECK(same_bytes(y[0], y[1], op.y_count * nn_dtype_bytes(dtype)));
    right &= CHECK(same_bytes(dx[0], dx[1], op.x_count * nn_dtype_bytes(dtype)));
    if (!right)
        fprintf(stderr, "    %s, dtype %d, mode %d, x (%d, %d, %d, %d), y %d x %d\n", nn_isa_name(nn_isa_active()), dtype,
                op.mode, (int)op.x[0], (int)op.x[1], (int)op.x[2], (int)op.x[3], (int)op.y[2], (int)op.y[3]);
    for (int i = 0; i < 2; i++) free(y[i]), free(dx[i]);
    free(x), free(dy), free(x_values), free(dy_values), free(y_right), free(dx_right);
}

static nn_op resize(int mode, const int64_t x[4], int64_t h, int64_t w) {
    nn_op op = {.kind = NN_OP_RESIZE2D, .mode = mode, .x = {x[0], x[1], x[2], x[3]}, .window = {.kernel = {h, w}}};
    for (int axis = 0; axis < 2; axis++) {
        const double in = (double)x[2 + axis], out = (double)op.window.kernel[axis];
        op.parameter[axis] = mode != NN_RESIZE_ALIGNED ? in / out : out > 1 ? (in - 1) / (out - 1) : 0;
    }
    return op;
}

static void check_sizes(void) {
    static const int64_t sizes[][4] = {{1, 1, 1, 1}, {3, 5, 3, 5}, {5, 3, 10, 6}, {7, 8, 3, 3}, {4, 6, 4, 6},
                                       {9, 2, 1, 7}, {6, 7, 13, 2}, {1, 4, 5, 1}};
    static const int64_t channels[] = {1, 3, 4, 8, 9, 17, 33};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (size_t c = 0; c < sizeof channels / sizeof channels[0]; c++)
            for (int mode = 0; mode < 3; mode++) {
                const int64_t x[4] = {1 + (int64_t)(s + c) % 3, channels[c], sizes[s][0], sizes[s][1]};
                nn_op op = resize(mode, x, sizes[s][2], sizes[s][3]);
                for_each_kernel_set(check_dtype, &op);
            }
    nn_op pieces = resize(NN_RESIZE_BILINEAR, (const int64_t[]){3, 33, 21, 40}, 45, 31);
    for_each_kernel_set(check_dtype, &pieces);
    nn_op none = resize(NN_RESIZE_BILINEAR, (const int64_t[]){0, 3, 4, 5}, 8, 9);
    for_each_kernel_set(check_dtype, &none);
}

static void check_refused(nn_op op, nn_status expected, const char *arg) {
    nn_error error = {0};
    CHECK_EQUAL(nn_op_plan(&op, &error), expected);
    CHECK(error.arg && strcmp(error.arg, arg) == 0);
}

static void check_plans(void) {
    const int64_t x[4] = {2, 3, 4, 5};
    nn_op op = resize(NN_RESIZE_NEAREST, x, 8, 0);
    check_refused(op, NN_VALUE_ERROR, "output_size");
    check_refused(resize(NN_RESIZE_NEAREST, x, INT64_C(1) << 62, 1), NN_VALUE_ERROR, "output_size");
    check_refused(resize(NN_RESIZE_NEAREST, (const int64_t[]){2, 0, 4, 5}, 8, 8), NN_VALUE_ERROR, "channels");
    check_refused(resize(NN_RESIZE_NEAREST, (const int64_t[]){2, 3, 4, 0}, 8, 8), NN_VALUE_ERROR, "width");
    check_refused(resize(3, x, 8, 8), NN_VALUE_ERROR, "mode");
    check_refused(resize(-1, x, 8, 8), NN_VALUE_ERROR, "mode");
    op = resize(NN_RESIZE_BILINEAR, x, 8, 8);
    const double wrong[] = {NAN, -1, INFINITY};
    for (int i = 0; i < 3; i++) {
        op.parameter[1] = wrong[i];
        check_refused(op, NN_VALUE_ERROR, "scale");
    }
    check_refused(resize(NN_RESIZE_NEAREST, (const int64_t[]){INT64_C(1) << 40, 1 << 10, 4, 4}, 1 << 20, 1 << 20),
                  NN_MEMORY_ERROR, "x");
}

int main(void) {
    check_start();
    check_plans();
    check_sizes();
    CHECK(nn_threads_pieces_by_workers() > 0);
    return check_report();
}
