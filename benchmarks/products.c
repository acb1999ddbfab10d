/*
 * products: one of the three products of a fully connected layer, many times over in one call, by the engine or by a
 * library that has the BLAS's gemm: so that a product of a fifth of a microsecond can be timed from Python.
 *
 * The engine adds the bias, and the bias gradient; the libraries compute the product alone.
 */
#include "nncore.h"

enum { FORWARD, DX, DW };

typedef struct products_task {
    int32_t way, dtype; /* one of the above; nn_dtype */
    int64_t n, in, out, repetitions;
    void *x, *weight, *bias, *y, *dy, *dx, *dweight, *dbias, *work;
} products_task;

/* Fortran's interface. A library whose integers are of 32 bits reads the lower halves of these. */
typedef void gemm_fn(const char *transa, const char *transb, const int64_t *m, const int64_t *n, const int64_t *k,
                     const void *alpha, const void *a, const int64_t *lda, const void *b, const int64_t *ldb,
                     const void *beta, void *c, const int64_t *ldc);

#define EXPORT __attribute__((visibility("default")))
EXPORT int32_t products_start(const char *isa, int32_t threads);
EXPORT int64_t products_workspace(const products_task *t);
EXPORT int32_t products_engine(const products_task *t);
EXPORT void products_blas(const products_task *t, gemm_fn *gemm);

/* The instruction set, NULL for the default, and the number of threads. */
int32_t products_start(const char *isa, int32_t threads) {
    const nn_status status = nn_isa_select(isa, NULL);
    return status ? (int32_t)status : (int32_t)nn_threads_set(threads, NULL);
}

static nn_op planned(const products_task *t, nn_status *status) {
    nn_op op = {.kind = NN_OP_LINEAR, .dtype = (nn_dtype)t->dtype, .x = {t->n, t->in, 1, 1}, .channels = t->out,
                .groups = 1, .bias = true};
    *status = nn_op_plan(&op, NULL);
    return op;
}

/* Bytes of `work`. */
int64_t products_workspace(const products_task *t) {
    nn_status status;
    const nn_op op = planned(t, &status);
    return op.forward_bytes + op.backward_bytes;
}

int32_t products_engine(const products_task *t) {
    nn_status status;
    const nn_op op = planned(t, &status);
    nn_io io = {.x = t->x, .weight = t->weight, .bias = t->bias, .y = t->y, .dy = t->dy, .work = t->work};
    if (t->way == DX) io.dx = t->dx;
    if (t->way == DW) io.dweight = t->dweight, io.dbias = t->dbias;
    for (int64_t i = 0; status == NN_OK && i < t->repetitions; i++)
        status = t->way == FORWARD ? nn_op_forward(&op, &io, NULL) : nn_op_backward(&op, &io, NULL);
    return status;
}

/* Fortran's matrices lie column by column: ours are their transposes, and the factors change places. */
void products_blas(const products_task *t, gemm_fn *gemm) {
    const float ones = 1, zeros = 0;
    const double oned = 1, zerod = 0;
    const void *one = t->dtype == NN_FLOAT32 ? (const void *)&ones : &oned;
    const void *zero = t->dtype == NN_FLOAT32 ? (const void *)&zeros : &zerod;
    const int64_t n = t->n, in = t->in, out = t->out;
    for (int64_t i = 0; i < t->repetitions; i++) {
        if (t->way == FORWARD)
            gemm("T", "N", &out, &n, &in, one, t->weight, &in, t->x, &in, zero, t->y, &out);
        else if (t->way == DX)
            gemm("N", "N", &in, &n, &out, one, t->weight, &in, t->dy, &out, zero, t->dx, &in);
        else
            gemm("N", "T", &in, &out, &n, one, t->x, &in, t->dy, &out, one, t->dweight, &in);
    }
}
