/*
 * nncore.h: the one public header of the engine.
 *
 * The engine is plain C: it knows nothing of Python. Everything it computes is an *operation*. A caller
 * fills a `struct nn_op` (kind, dtype, input shape, arguments), plans it (`nn_op_plan`: checks, output shape,
 * bytes of saved state and workspace), and runs it forward and backward on buffers it owns. The compiled step
 * (`nn_step`) plans a graph of the same operations over one arena and runs it in one call.
 *
 * Layout. Buffers handed to an operation are dense. Images of logical shape (N, C, H, W) are stored
 * channels-last, that is as (N, H, W, C); everything else is row-major. Weights are stored as PyTorch stores
 * them: Linear (out, in), Conv2d (out, in / groups, kh, kw), ConvTranspose2d (in, out / groups, kh, kw). No buffer needs more alignment than its element.
 *
 * Rounding. Within one instruction set and build a result depends on dtype and shape alone: not on the number
 * of threads, not on addresses.
 */
#ifndef NNCORE_H
#define NNCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Seen from outside of the library that the engine becomes part of, by threadpoolctl for one. */
#if defined(__GNUC__)
#define NN_EXPORT __attribute__((visibility("default")))
#else
#define NN_EXPORT
#endif

/* ---- status ------------------------------------------------------------------------------------------ */

typedef enum nn_status {
    NN_OK = 0,
    NN_TYPE_ERROR,
    NN_VALUE_ERROR,
    NN_INDEX_ERROR,
    NN_MEMORY_ERROR,
    NN_RUNTIME_ERROR,
} nn_status;

/*
 * What was wrong, filled by a function that returns anything but NN_OK. Reads as
 * "<arg>[<index>] is <got>, expected <relation> <expected>"; index < 0 means the argument as a whole.
 */
typedef struct nn_error {
    const char *arg;
    const char *relation; /* "at least", "at most", "equal to", "below" */
    int64_t index, got, expected;
} nn_error;

/* ---- operations -------------------------------------------------------------------------------------- */

typedef enum nn_dtype { NN_FLOAT32 = 0, NN_FLOAT64 = 1 } nn_dtype;
enum { NN_DTYPES = 2 };

typedef enum nn_kind {
#define NN_OP(kind, name) NN_OP_##kind,
#include "ops/ops.def"
#undef NN_OP
    NN_OP_KINDS
} nn_kind;

/* What backward reads besides the incoming gradient. */
enum { NN_NEEDS_X = 1, NN_NEEDS_Y = 2, NN_NEEDS_SAVED = 4, NN_NEEDS_TARGET = 8 };

/* What becomes of the losses of a batch; batchmean is the sum divided by the samples. */
typedef enum nn_reduction { NN_MEAN = 0, NN_SUM, NN_BATCHMEAN, NN_NONE } nn_reduction;

/* A sliding window, (height, width). */
typedef struct nn_window {
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    bool ceil_mode;
    int64_t extra[2]; /* Conv2d: padding at the end beyond that at the beginning; ConvTranspose2d: output_padding */
    bool adaptive;    /* pooling: `kernel` windows that share the input evenly, and nothing else of this counts */
} nn_window;

/* How Resize2d finds the source of an output: the nearest, or two along each axis, weighted. */
typedef enum nn_resize { NN_RESIZE_NEAREST = 0, NN_RESIZE_BILINEAR, NN_RESIZE_ALIGNED } nn_resize;

/* Counter-based random numbers (Philox4x32-10): element i of a stream is a function of (key, nonce, i) alone. */
typedef struct nn_stream {
    uint32_t key[2];
    uint32_t nonce[2];
    uint64_t hash; /* of the name: what the nonce of another call is made from */
} nn_stream;

enum { NN_INPUTS_MAX = 4 }; /* arrays that an operation reads beside its weights */

typedef struct nn_op {
    /* Set by the caller. Unused trailing sizes of x are 1; x[0] is the batch. */
    nn_kind kind;
    nn_dtype dtype;
    int64_t x[4];      /* logical input shape: (n, features) or (n, c, h, w) */
    int more_count;    /* inputs after the first: of Concatenate; 1 for Add, Subtract, Multiply of two arrays */
    int64_t more[NN_INPUTS_MAX - 1][4]; /* their shapes; of Add, Subtract, Multiply by a weight: its shape, (1, ...) */
    int64_t shape[4];  /* Reshape: of the output */
    int64_t channels;  /* out features of Linear, out channels of Conv2d, ConvTranspose2d, weights of PReLU, classes of
                          Softmax */
    int64_t groups;    /* Conv2d, ConvTranspose2d; 1 otherwise */
    nn_window window;  /* the same, MaxPool2d, AvgPool2d (without dilation); Resize2d: `kernel` is y's size */
    bool bias;         /* Linear, Conv2d, ConvTranspose2d: has a bias */
    bool direct;       /* Conv2d, ConvTranspose2d: direct sums only, never Winograd's algorithm */
    double parameter[2];    /* LeakyReLU: slope; ELU, CELU: alpha; Softplus: beta, threshold; Hardtanh: limits; Scale:
                               factor, summand; losses: label smoothing, beta, delta or margin; Resize2d: cells of x
                               (height, width) from one of y to the next */
    bool count_include_pad; /* AvgPool2d: cells of the padding count in the divisor */
    int64_t divisor;        /* AvgPool2d: divides all sums; 0: the number of cells */
    int mode;               /* Resize2d: an nn_resize */
    bool relu;              /* MaxPool2d: of what ReLU makes of x */
    bool training;          /* Dropout, BatchNorm: the layer is in training mode */
    nn_stream stream;       /* Dropout: made for call 0 */
    nn_reduction reduction; /* losses */
    bool ignores;           /* losses of labels: a row whose label is ignore_index counts for nothing */
    int64_t ignore_index;
    int64_t entries;        /* Embedding: rows of the weight */
    int64_t padding_entry;  /* Embedding: the row that gets no gradient; -1: none */

    /* Set by nn_op_plan. */
    int64_t y[4];           /* logical output shape */
    int64_t x_count, y_count;
    int64_t weight_count, bias_count; /* elements of each, where the operation has one */
    int64_t saved_bytes;    /* state that forward leaves for backward */
    int64_t forward_bytes;  /* workspace of forward */
    int64_t backward_bytes; /* workspace of backward */
    int64_t flops;          /* of forward */
    int needs;              /* NN_NEEDS_* */
    bool overwrites;        /* backward heeds nn_io.overwrite */
    bool finishes;          /* and, where it overwrites, nn_io.finish: it pays for this weight and batch */
    bool descends;          /* the same for a finish that is plain and, from the second batch on, aside */
    bool elementwise;       /* an activation: y may lie where x does, dx where dy does */
    bool tells;             /* an activation of one kernel each way: nn_io.told is heeded */
    bool follows;           /* nn_io.after_y and after_dx are heeded */
    bool indices;           /* Embedding: x is int64, and has no gradient */
    int inputs;             /* arrays read beside weights: 1 + more_count, or planning fails */
    bool loss;              /* a target is read, and unless nothing is reduced y is ONE double */
    bool reads_labels;      /* the target is int64, each at least 0 and below x[1] */
    int64_t target[4];      /* a loss: logical shape of the target; at first that of x */
    int64_t target_count;
} nn_op;

/*
 * What becomes of dweight: each part of it is taken as soon as it is complete, while it is in the cache. `gradient` is
 * the part that begins with element `begin`: where dweight has it, or, if that is allowed, aside. The gradient of one
 * sample is dy (rows) x^T (in): then `outer`, where there is one, takes rows begin to end of the weight, and nobody writes
 * it at all; not if it is plain.
 */
typedef struct nn_finish {
    void (*part)(const struct nn_finish *finish, void *gradient, int64_t begin, int64_t end);
    void (*outer)(const struct nn_finish *finish, const void *dy, const void *x, int64_t in, int64_t begin, int64_t end);
    bool aside; /* dweight need not be written */
    bool plain; /* a part's elements become weight - rate gradient, and that is all: an operation may do it itself */
    double rate;
    void *weight;
} nn_finish;

/*
 * The buffers of one run. Forward writes y (and saved); a loss writes ONE double to y whatever its dtype, or, not
 * reduced, as many elements as there are losses. Backward reads dy and what `needs` says, writes dx and dmore unless
 * they are NULL, and ADDS to dweight and dbias unless they are NULL. A loss may have weights (of the classes, or of each
 * element; bias: of each positive answer), which may be NULL and get no gradient. An operation behaves as in training
 * only if both `training`s hold, the run's and the operation's own.
 */
typedef struct nn_io {
    void *y;
    const void *x;
    const void *more[NN_INPUTS_MAX - 1]; /* the inputs after the first */
    const void *weight, *bias;
    const void *target; /* int64 labels (n) or (n, h, w), or an array of the operation's dtype */
    void *saved;        /* NULL in forward: backward will not come */
    void *work;
    void *buffers[2];   /* BatchNorm: running mean and variance, changed by forward in training */
    uint64_t call;      /* Dropout: which of the stream's calls this forward, and its backward, is */
    bool training;

    void *dx;
    void *dmore[NN_INPUTS_MAX - 1]; /* each may be NULL, as dx may */
    void *dweight, *dbias;
    const void *dy; /* losses: ONE double, the factor on their gradient, NULL means 1; not reduced: an array like y */
    bool overwrite; /* write dweight and dbias instead of adding; only where op.overwrites */
    const nn_finish *finish; /* or NULL: then with dx complete before the first part, since the weight may change */

    /* What is done to each part of y, or of dx unless that is NULL, as soon as it is written; or NULL. */
    const struct nn_after *after_y, *after_dx;
    struct nn_after *told; /* not NULL: an activation is not run, but said how, for others to do it part by part */
} nn_io;

const char *nn_op_name(nn_kind kind);
nn_status nn_op_plan(nn_op *op, nn_error *error);
nn_status nn_op_forward(const nn_op *op, const nn_io *io, nn_error *error);
nn_status nn_op_backward(const nn_op *op, const nn_io *io, nn_error *error);

/* ---- updates ----------------------------------------------------------------------------------------- */

enum { NN_STATES_MAX = 3, NN_UPDATE_PIECE = 8192 /* elements that one partial sum takes in */ };

/* One parameter with its gradient and its arrays of optimiser state, all of `count` elements. */
typedef struct nn_tensor {
    void *param;
    void *grad;
    /*
     * In this order, without gaps; in brackets what an option needs. SGD: [momentum_buffer]; Adam: exp_avg, exp_avg_sq,
     * [max_exp_avg_sq]; RMSprop: square_avg, [momentum_buffer], [grad_avg]; Adagrad: sum; Lion: exp_avg.
     */
    void *state[NN_STATES_MAX];
    int64_t count;
} nn_tensor;

typedef enum nn_update_kind { NN_SGD, NN_ADAM, NN_RMSPROP, NN_ADAGRAD, NN_LION } nn_update_kind;

/* Formulas and names as in torch.optim; Lion's as in its paper. */
typedef struct nn_update {
    nn_update_kind kind;
    nn_dtype dtype;
    nn_tensor *tensors;
    int64_t tensor_count;
    int64_t steps; /* updates done so far; each run adds one */
    double *sums;  /* (elements / NN_UPDATE_PIECE + 1): room for partial sums, where max_norm is set */
    double lr, weight_decay;
    double momentum, dampening;
    bool nesterov;
    double beta1, beta2, eps; /* beta2: RMSprop's alpha, too */
    double lr_decay;          /* Adagrad */
    bool decoupled;           /* AdamW's weight decay */
    bool amsgrad, centered, maximize;
    bool clear_grad; /* leave zeros in grad */

    /* What is done to the gradients on their way in, as they are read: first the norm, then the value. */
    double max_norm;  /* of all gradients of all updates that set it, together; 0: any */
    double max_value; /* of the magnitude of each element; 0: any */
    bool finite;      /* a gradient that is not finite is an error */
} nn_update;

/*
 * Runs all of them. Everything is checked before anything is changed: a gradient that is not finite, where it is
 * asked for, is NN_VALUE_ERROR with arg nn_gradient, index of the tensor and `got` the number of the update.
 */
nn_status nn_update_run(nn_update *const *updates, int64_t count, nn_error *error);
extern const char nn_gradient[];
/* The sum of the squares of all gradients, in double, in a fixed order; infinite or NaN where one of them is. */
double nn_update_squares(const nn_update *update);
/* The first tensor with an infinite or NaN gradient, -1 if there is none. */
int64_t nn_update_nonfinite(const nn_update *update);

/* ---- random stream ----------------------------------------------------------------------------------- */

nn_stream nn_stream_make(uint64_t seed, const char *name, uint64_t call);
/* The stream of another call, from one made for call 0: nn_stream_make(seed, name, call). */
nn_stream nn_stream_of_call(const nn_stream *stream, uint64_t call);
/* count elements of [low, high); low <= high, finite, and finitely apart. */
void nn_stream_uniform(const nn_stream *stream, nn_dtype dtype, void *out, int64_t count, double low, double high);
void nn_stream_normal(const nn_stream *stream, nn_dtype dtype, void *out, int64_t count, double mean, double std);
/* 0 to count - 1, all orders equally likely. */
void nn_stream_permutation(const nn_stream *stream, int64_t *out, int64_t count);

/* ---- layout ------------------------------------------------------------------------------------------ */

/*
 * dst (n, cols, rows) = src (n, rows, cols), both dense: from channels-first to channels-last and back.
 */
void nn_transpose(void *dst, const void *src, nn_dtype dtype, int64_t n, int64_t rows, int64_t cols);

/* ---- memory ------------------------------------------------------------------------------------------ */

/*
 * A 64-byte aligned block of at least *bytes, 1 or more, which becomes the size to give it back with; NULL: none to be
 * had. A block given back is kept for the next taker, up to 64 MiB in all.
 */
void *nn_block_take(int64_t *bytes);
void nn_block_give(void *block, int64_t bytes);

/* ---- process ----------------------------------------------------------------------------------------- */

typedef enum nn_isa {
    NN_ISA_BASELINE = 0,
    NN_ISA_AVX2,
    NN_ISA_AVX512,
    NN_ISAS
} nn_isa;

/* Chooses the kernels: the best tested set this CPU has, or `name` (NULL or "": the default). */
nn_status nn_isa_select(const char *name, nn_error *error);
nn_isa nn_isa_active(void);
const char *nn_isa_name(nn_isa isa);
bool nn_isa_available(nn_isa isa); /* built in, and this CPU runs it */

int nn_kernel_count(void);
const char *nn_kernel_name(int kernel);

enum { NN_THREADS_MAX = 1024 };
NN_EXPORT int nn_threads_get(void);
nn_status nn_threads_set(int threads, nn_error *error); /* 0: the default of this process */
int nn_threads_default(void);                           /* from affinity and cgroup quota */
/*
 * Work (in flops or bytes touched, whichever is more) below which one thread is used; while workers are still
 * awake from work just done, an eighth of it. 0, for tests: work of two pieces or more is always shared, the
 * caller and some worker run one at least.
 */
void nn_threads_threshold_set(int64_t work);
int64_t nn_threads_threshold_get(void);
/* Pieces run by workers other than the caller since the process started: lets a test see the pool at work. */
int64_t nn_threads_pieces_by_workers(void);

/*
 * For benchmarks: runs at least so many float32 operations (a multiply-add is two) on each thread, on registers
 * alone, by the active kernels; returns how many in all.
 */
double nn_probe_fma(double flops);

/*
 * Whether Conv2d may use Winograd's algorithm (at first: yes). Who plans an operation decides by it: the bindings
 * at every call, nn_step_create once, for as long as the step lives.
 */
void nn_winograd_set(bool on);
bool nn_winograd_get(void);

const char *nn_compiler(void);

#include "nncore_step.h"

#ifdef __cplusplus
}
#endif
#endif
