/*
 * ReLU, sigmoid and tanh against libm in double: every length from 0 to 67 and lengths of several pieces; apart and
 * in place; what must be exact; both dtypes, every instruction set, one and two threads. How exact the functions
 * are over all numbers is test_vmath's.
 */
#include "buffers.h"

typedef struct activation {
    nn_kind kind;
    double (*value)(double x);
    double (*derivative)(double y); /* from the output */
} activation;

static double relu(double x) { return x <= 0 ? 0 : x; }
static double relu_derivative(double y) { return y <= 0 ? 0 : 1; }
static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double sigmoid_derivative(double y) { return y * (1 - y); }
static double tanh_derivative(double y) { return (1 - y) * (1 + y); }

static const activation activations[] = {
    {NN_OP_RELU, relu, relu_derivative},
    {NN_OP_SIGMOID, sigmoid, sigmoid_derivative},
    {NN_OP_TANH, tanh, tanh_derivative},
};
enum { ACTIVATIONS = sizeof activations / sizeof activations[0] };

static nn_op plan(nn_kind kind, nn_dtype dtype, int64_t count) {
    nn_op op = {.kind = kind, .dtype = dtype, .x = {count, 1, 1, 1}, .groups = 1};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_OK);
    CHECK(op.x_count == count && op.y_count == count && op.needs == NN_NEEDS_Y);
    CHECK(op.saved_bytes == 0 && op.forward_bytes == 0 && op.backward_bytes == 0);
    return op;
}

static void check_length(const activation *a, nn_dtype dtype, int64_t count) {
    const nn_op op = plan(a->kind, dtype, count);
    const int64_t bytes = count * nn_dtype_bytes(dtype);
    const double eps = epsilon_of(dtype);
    double *values = noises(count), *slopes = noises(count);
    for (int64_t i = 0; i < count; i++) values[i] *= 6;
    void *x = array_of(dtype, count, values), *y = array(dtype, count), *both = array_of(dtype, count, values);
    use_threads(1);
    CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = y, .x = x}, NULL), NN_OK);
    use_threads(2);
    CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = both, .x = both}, NULL), NN_OK);
    CHECK(same_bytes(y, both, bytes));
    for (int64_t i = 0; i < count; i++) {
        const double right = a->value(values[i]);
        CHECK(fabs(get(y, dtype, i) - right) <= 4 * eps * fabs(right));
    }

    void *dy = array_of(dtype, count, slopes), *dx = array(dtype, count);
    free(both);
    both = array_of(dtype, count, slopes);
    use_threads(1);
    CHECK_EQUAL(nn_op_backward(&op, &(nn_io){.dx = dx, .dy = dy, .y = y}, NULL), NN_OK);
    use_threads(2);
    CHECK_EQUAL(nn_op_backward(&op, &(nn_io){.dx = both, .dy = both, .y = y}, NULL), NN_OK);
    CHECK(same_bytes(dx, both, bytes));
    for (int64_t i = 0; i < count; i++) {
        const double right = slopes[i] * a->derivative(get(y, dtype, i));
        CHECK(fabs(get(dx, dtype, i) - right) <= 4 * eps * fabs(right));
    }
    CHECK_EQUAL(nn_op_backward(&op, &(nn_io){.dy = dy, .y = y}, NULL), NN_OK); /* no dx asked for */
    free(values), free(slopes), free(x), free(y), free(both), free(dy), free(dx);
}

/* Limits, with the sign of zero; NaN goes through forward and, as y, stops nothing in backward. */
static void check_limits(nn_dtype dtype) {
    static const struct {
        nn_kind kind;
        double x, y;
    } exact[] = {
        {NN_OP_RELU, -0.0, 0},       {NN_OP_RELU, -INFINITY, 0},     {NN_OP_RELU, INFINITY, INFINITY},
        {NN_OP_RELU, NAN, NAN},      {NN_OP_RELU, 1e-30, 1e-30},     {NN_OP_SIGMOID, -1000, 0},
        {NN_OP_SIGMOID, 1000, 1},    {NN_OP_SIGMOID, 0, 0.5},        {NN_OP_SIGMOID, -INFINITY, 0},
        {NN_OP_SIGMOID, NAN, NAN},   {NN_OP_TANH, -0.0, -0.0},       {NN_OP_TANH, INFINITY, 1},
        {NN_OP_TANH, -INFINITY, -1}, {NN_OP_TANH, NAN, NAN},         {NN_OP_TANH, 1000, 1},
    };
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++)
        for (int64_t count = 1; count <= 17; count += 16) { /* in the tail alone; in body and tail */
            const nn_op op = plan(exact[i].kind, dtype, count);
            void *x = array(dtype, count), *y = array(dtype, count), *dx = array(dtype, count);
            for (int64_t k = 0; k < count; k++) set(x, dtype, k, exact[i].x);
            CHECK_EQUAL(nn_op_forward(&op, &(nn_io){.y = y, .x = x}, NULL), NN_OK);
            for (int64_t k = 0; k < count; k++) {
                const double got = get(y, dtype, k), right = dtype == NN_FLOAT32 ? (float)exact[i].y : exact[i].y;
                CHECK(isnan(right) ? isnan(got) : got == right && !signbit(got) == !signbit(right));
            }
            for (int64_t k = 0; k < count; k++) set(x, dtype, k, 3);
            CHECK_EQUAL(nn_op_backward(&op, &(nn_io){.dx = dx, .dy = x, .y = y}, NULL), NN_OK);
            for (int64_t k = 0; k < count; k++)
                if (exact[i].kind == NN_OP_RELU) CHECK(get(dx, dtype, k) == (exact[i].x <= 0 ? 0 : 3));
                else CHECK(!isnan(exact[i].x) || isnan(get(dx, dtype, k)));
            free(x), free(y), free(dx);
        }
}

static void check_all(nn_dtype dtype, void *unused) {
    (void)unused;
    for (int a = 0; a < ACTIVATIONS; a++) {
        for (int64_t count = 0; count <= 67; count++) check_length(&activations[a], dtype, count);
        check_length(&activations[a], dtype, 4096);
        check_length(&activations[a], dtype, 4097);
        check_length(&activations[a], dtype, 12345);
    }
    check_limits(dtype);
}

int main(void) {
    check_start();
    for_each_kernel_set(check_all, NULL);
    CHECK(nn_threads_pieces_by_workers() > 0);
    nn_op op = {.kind = NN_OP_RELU, .dtype = NN_FLOAT32, .x = {INT64_C(1) << 40, INT64_C(1) << 40, 1, 1}, .groups = 1};
    CHECK_EQUAL(nn_op_plan(&op, NULL), NN_MEMORY_ERROR);
    return check_report();
}
