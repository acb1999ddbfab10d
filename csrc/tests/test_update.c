/*
 * SGD (momentum, Nesterov, dampening, weight decay), Adam, AdamW, RMSprop, Adagrad and Lion as calls over many
 * tensors, with clipping by value, against their
 * formulas element by element in double; tensors of 0, 1 and odd sizes, pieces that begin and end within a tensor;
 * what is refused, and that nothing has changed then; both dtypes, every instruction set, one and two threads.
 */
#include "buffers.h"

/* 8192 elements are a piece: the first cut falls into the eighth tensor, the next into the last. */
static const int64_t sizes[] = {0, 1, 7, 64, 0, 33, 8100, 5, 9, 67, 12301};
enum { TENSORS = sizeof sizes / sizeof sizes[0], ARRAYS = 5, STEPS = 3 };

/* The arrays of a tensor: param, grad, state[0], state[1], state[2]. */
static void *part(const nn_tensor *t, int which) {
    return which == 0 ? t->param : which == 1 ? t->grad : t->state[which - 2];
}

/* Tensors of exact size with a first gradient, state zero; the same numbers for the same seed. */
static void make(nn_tensor tensors[TENSORS], nn_dtype dtype, int states) {
    for (int i = 0; i < TENSORS; i++) {
        nn_tensor *t = &tensors[i];
        *t = (nn_tensor){.param = array(dtype, sizes[i]), .grad = array(dtype, sizes[i]), .count = sizes[i]};
        for (int s = 0; s < states; s++) {
            t->state[s] = array(dtype, sizes[i]);
            for (int64_t k = 0; k < sizes[i]; k++) set(t->state[s], dtype, k, 0);
        }
        for (int64_t k = 0; k < sizes[i]; k++) set(t->param, dtype, k, noise()), set(t->grad, dtype, k, noise());
    }
}

static void set_free(nn_tensor tensors[TENSORS]) {
    for (int i = 0; i < TENSORS; i++)
        for (int a = 0; a < ARRAYS; a++) free(part(&tensors[i], a));
}

static bool same_tensors(const nn_tensor a[TENSORS], const nn_tensor b[TENSORS], nn_dtype dtype) {
    bool same = true;
    for (int i = 0; i < TENSORS; i++)
        for (int which = 0; which < ARRAYS; which++)
            if (part(&a[i], which))
                same &= same_bytes(part(&a[i], which), part(&b[i], which), sizes[i] * nn_dtype_bytes(dtype));
    return same;
}

/* ---- the formulas -------------------------------------------------------------------------------------- */

/* One element, as torch.optim.SGD and Adam have it; `done` updates came before. */
static void sgd(const nn_update *u, int64_t done, double *p, double g, double *b) {
    g += u->weight_decay * *p;
    if (u->momentum != 0) {
        *b = done == 0 ? g : u->momentum * *b + (1 - u->dampening) * g;
        g = u->nesterov ? g + u->momentum * *b : *b;
    }
    *p -= u->lr * g;
}

static void adam(const nn_update *u, int64_t done, double *p, double g, double *m, double *v) {
    if (u->decoupled) *p -= u->lr * u->weight_decay * *p;
    else g += u->weight_decay * *p;
    *m = u->beta1 * *m + (1 - u->beta1) * g;
    *v = u->beta2 * *v + (1 - u->beta2) * g * g;
    const double t = (double)done + 1;
    *p -= u->lr * (*m / (1 - pow(u->beta1, t))) / (sqrt(*v / (1 - pow(u->beta2, t))) + u->eps);
}

/* RMSprop, centered and with momentum: v, b, c. */
static void rmsprop(const nn_update *u, double *p, double g, double *v, double *b, double *c) {
    g += u->weight_decay * *p;
    *v = u->beta2 * *v + (1 - u->beta2) * g * g;
    *c = u->beta2 * *c + (1 - u->beta2) * g;
    *b = u->momentum * *b + g / (sqrt(*v - *c * *c) + u->eps);
    *p -= u->lr * *b;
}

static void adagrad(const nn_update *u, int64_t done, double *p, double g, double *sum) {
    g += u->weight_decay * *p;
    *sum += g * g;
    *p -= u->lr / (1 + (double)done * u->lr_decay) * g / (sqrt(*sum) + u->eps);
}

static void lion(const nn_update *u, double *p, double g, double *m) {
    const double c = u->beta1 * *m + (1 - u->beta1) * g;
    *p -= u->lr * ((c > 0) - (c < 0) + u->weight_decay * *p);
    *m = u->beta2 * *m + (1 - u->beta2) * g;
}

/* Within a few roundings of numbers about 1. */
static bool near(double got, double right, nn_dtype dtype) {
    return fabs(got - right) <= 32 * epsilon_of(dtype) * (1 + fabs(right));
}

/* STEPS updates on `threads` threads, new gradients each time; at every one each element against its formula. */
static void run(nn_update u, nn_dtype dtype, int threads, nn_tensor tensors[TENSORS]) {
    const int states = u.kind == NN_RMSPROP ? 3 : u.kind == NN_ADAM ? 2 : u.kind != NN_SGD || u.momentum != 0;
    use_threads(threads);
    noise_state = 99;
    make(tensors, dtype, states);
    u.dtype = dtype, u.tensors = tensors, u.tensor_count = TENSORS, u.steps = 0;
    bool right = true;
    for (int step = 0; step < STEPS; step++) {
        double *expected[TENSORS][ARRAYS];
        for (int i = 0; i < TENSORS; i++)
            for (int a = 0; a < ARRAYS; a++) {
                expected[i][a] = block(sizes[i] * (int64_t)sizeof(double));
                for (int64_t k = 0; k < sizes[i]; k++)
                    expected[i][a][k] = a < 2 + states ? get(part(&tensors[i], a), dtype, k) : 0;
            }
        CHECK_EQUAL(nn_update_run(&(nn_update *){&u}, 1, NULL), NN_OK);
        CHECK_EQUAL(u.steps, step + 1);
        for (int i = 0; i < TENSORS; i++) {
            for (int64_t k = 0; k < sizes[i]; k++) {
                double *p = &expected[i][0][k], *s = &expected[i][2][k], *v = &expected[i][3][k];
                double g = expected[i][1][k];
                if (u.max_value > 0) g = fmax(-u.max_value, fmin(u.max_value, g));
                if (u.maximize) g = -g;
                if (u.kind == NN_SGD) sgd(&u, step, p, g, s);
                else if (u.kind == NN_ADAM) adam(&u, step, p, g, s, v);
                else if (u.kind == NN_RMSPROP) rmsprop(&u, p, g, s, v, &expected[i][4][k]);
                else if (u.kind == NN_ADAGRAD) adagrad(&u, step, p, g, s);
                else lion(&u, p, g, s);
                if (u.clear_grad) expected[i][1][k] = 0;
                right &= get(tensors[i].grad, dtype, k) == expected[i][1][k];
                right &= near(get(tensors[i].param, dtype, k), *p, dtype);
                if (states > 0) right &= near(get(tensors[i].state[0], dtype, k), *s, dtype);
                if (states > 1) right &= near(get(tensors[i].state[1], dtype, k), *v, dtype);
                if (states > 2) right &= near(get(tensors[i].state[2], dtype, k), expected[i][4][k], dtype);
                set(tensors[i].grad, dtype, k, noise());
            }
            for (int a = 0; a < ARRAYS; a++) free(expected[i][a]);
        }
    }
    if (!CHECK(right))
        fprintf(stderr, "    %s, dtype %d, kind %d, momentum %g, dampening %g, nesterov %d, decay %g, decoupled %d\n",
                nn_isa_name(nn_isa_active()), dtype, u.kind, u.momentum, u.dampening, u.nesterov, u.weight_decay,
                u.decoupled);
}

static const nn_update updates[] = {
    {.kind = NN_SGD, .lr = 0.1},
    {.kind = NN_SGD, .lr = 0.1, .weight_decay = 0.01, .clear_grad = true},
    {.kind = NN_SGD, .lr = 0.1, .momentum = 0.9},
    {.kind = NN_SGD, .lr = 0.1, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.05, .clear_grad = true},
    {.kind = NN_SGD, .lr = 0.1, .momentum = 0.9, .nesterov = true, .weight_decay = 0.05},
    {.kind = NN_ADAM, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
    {.kind = NN_ADAM, .lr = 0.01, .beta1 = 0.3, .beta2 = 0.99, .eps = 1e-3, .clear_grad = true},
    {.kind = NN_ADAM, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1},
    {.kind = NN_ADAM, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1, .decoupled = true},
    {.kind = NN_RMSPROP, .lr = 0.01, .beta2 = 0.9, .eps = 0.1, .momentum = 0.5, .centered = true, .max_value = 0.3},
    {.kind = NN_ADAGRAD, .lr = 0.1, .lr_decay = 0.1, .eps = 1e-3, .weight_decay = 0.1, .maximize = true},
    {.kind = NN_LION, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.99, .weight_decay = 0.1, .clear_grad = true},
};
enum { UPDATES = sizeof updates / sizeof updates[0] };

static void check_updates(nn_dtype dtype, void *unused) {
    (void)unused;
    for (int i = 0; i < UPDATES; i++) {
        nn_tensor one[TENSORS], two[TENSORS];
        run(updates[i], dtype, 1, one);
        run(updates[i], dtype, 2, two);
        CHECK(same_tensors(one, two, dtype));
        set_free(one), set_free(two);
    }
}

/* ---- what is refused ----------------------------------------------------------------------------------- */

static void check_refused(nn_update u, const nn_tensor before[TENSORS], nn_status expected, const char *arg,
                          int64_t index) {
    nn_error error = {0};
    const int64_t steps = u.steps;
    CHECK_EQUAL(nn_update_run(&(nn_update *){&u}, 1, &error), expected);
    CHECK(error.arg && strcmp(error.arg, arg) == 0);
    CHECK_EQUAL(error.index, index);
    CHECK_EQUAL(u.steps, steps);
    CHECK(same_tensors(u.tensors, before, NN_FLOAT32));
}

static void check_errors(void) {
    nn_tensor tensors[TENSORS], before[TENSORS];
    noise_state = 7;
    make(tensors, NN_FLOAT32, 2);
    noise_state = 7;
    make(before, NN_FLOAT32, 2);
    nn_update u = updates[5];
    u.tensors = tensors, u.tensor_count = TENSORS;
    nn_update wrong = u;
    wrong.kind = (nn_update_kind)5;
    check_refused(wrong, before, NN_VALUE_ERROR, "kind", -1);
    wrong = u, wrong.dtype = (nn_dtype)2;
    check_refused(wrong, before, NN_TYPE_ERROR, "dtype", -1);
    wrong = u, wrong.steps = -1;
    check_refused(wrong, before, NN_VALUE_ERROR, "steps", -1);
    tensors[3].count = -1;
    check_refused(u, before, NN_VALUE_ERROR, "count", 3);
    tensors[3].count = INT64_MAX / 2;
    check_refused(u, before, NN_VALUE_ERROR, "count", 3);
    tensors[3].count = sizes[3];
    for (int s = 0; s < 2; s++) { /* Adam needs both, of the last tensor, too */
        void *state = tensors[TENSORS - 1].state[s];
        tensors[TENSORS - 1].state[s] = NULL;
        check_refused(u, before, NN_VALUE_ERROR, "states", TENSORS - 1);
        tensors[TENSORS - 1].state[s] = state;
    }
    u.max_norm = 1; /* without room for the sums */
    check_refused(u, before, NN_VALUE_ERROR, "sums", -1);
    u.max_norm = 0, u.finite = true;
    set(tensors[5].grad, NN_FLOAT32, 3, NAN), set(before[5].grad, NN_FLOAT32, 3, NAN);
    check_refused(u, before, NN_VALUE_ERROR, nn_gradient, 5);
    u.tensor_count = 0;
    CHECK_EQUAL(nn_update_run(&(nn_update *){&u}, 1, NULL), NN_OK); /* nothing to do is done */
    CHECK(same_tensors(tensors, before, NN_FLOAT32));
    set_free(tensors), set_free(before);
}

/* ---- the norm of two updates together ------------------------------------------------------------------ */

static void check_norm(nn_dtype dtype, void *unused) {
    (void)unused;
    nn_tensor tensors[TENSORS];
    make(tensors, dtype, 0);
    double sums[2][8], squares = 0;
    int64_t total = 0;
    for (int i = 0; i < TENSORS; i++) {
        total += sizes[i];
        for (int64_t k = 0; k < sizes[i]; k++) squares += pow(get(tensors[i].grad, dtype, k), 2);
    }
    CHECK(total / NN_UPDATE_PIECE + 1 <= 8);
    const int half = TENSORS / 2;
    nn_update a = {.kind = NN_SGD, .dtype = dtype, .tensors = tensors, .tensor_count = half, .sums = sums[0],
                   .lr = 1, .max_norm = 1};
    nn_update b = a;
    b.tensors = tensors + half, b.tensor_count = TENSORS - half, b.sums = sums[1];
    CHECK(near((nn_update_squares(&a) + nn_update_squares(&b)) / squares, 1, NN_FLOAT64));
    const double first = nn_update_squares(&b), p = get(tensors[TENSORS - 1].param, dtype, 7);
    use_threads(1);
    CHECK(nn_update_squares(&b) == first);
    CHECK_EQUAL(nn_update_run((nn_update *[]){&a, &b}, 2, NULL), NN_OK);
    const double step = get(tensors[TENSORS - 1].grad, dtype, 7) / (sqrt(squares) + 1e-6);
    CHECK(near(get(tensors[TENSORS - 1].param, dtype, 7), p - step, dtype));
    set_free(tensors);
}

/* ---- gradients that are not finite --------------------------------------------------------------------- */

static void check_nonfinite(nn_dtype dtype, void *unused) {
    (void)unused;
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    nn_tensor tensors[TENSORS];
    make(tensors, dtype, 0);
    const nn_update u = {.kind = NN_SGD, .dtype = dtype, .tensors = tensors, .tensor_count = TENSORS};
    for (int threads = 1; threads <= 2; threads++) {
        use_threads(threads);
        CHECK_EQUAL(nn_update_nonfinite(&u), -1);
        for (int i = 0; i < TENSORS; i++) {
            if (sizes[i] == 0) continue;
            const int64_t places[] = {0, sizes[i] / 2, sizes[i] - 1};
            for (int k = 0; k < 3; k++) {
                const double kept = get(tensors[i].grad, dtype, places[k]);
                set(tensors[i].grad, dtype, places[k], bad[(i + k) % 3]);
                CHECK_EQUAL(nn_update_nonfinite(&u), i);
                set(tensors[i].grad, dtype, places[k], kept);
            }
        }
        /* Two of them: the first is told. */
        set(tensors[TENSORS - 1].grad, dtype, 0, NAN), set(tensors[2].grad, dtype, 6, INFINITY);
        CHECK_EQUAL(nn_update_nonfinite(&u), 2);
        set(tensors[TENSORS - 1].grad, dtype, 0, 1), set(tensors[2].grad, dtype, 6, 1);
    }
    set_free(tensors);
}

int main(void) {
    check_start();
    for_each_kernel_set(check_updates, NULL);
    for_each_kernel_set(check_norm, NULL);
    for_each_kernel_set(check_nonfinite, NULL);
    check_errors();
    CHECK(nn_threads_pieces_by_workers() > 0);
    return check_report();
}
