# The engine's public header (csrc/nncore.h), as far as the bindings use it.
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t


cdef extern from "nncore.h" nogil:
    ctypedef bint cbool "bool"

    ctypedef enum nn_status:
        NN_OK
        NN_TYPE_ERROR
        NN_VALUE_ERROR
        NN_INDEX_ERROR
        NN_MEMORY_ERROR
        NN_RUNTIME_ERROR

    ctypedef struct nn_error:
        const char *arg
        const char *relation
        int64_t index
        int64_t got
        int64_t expected

    ctypedef enum nn_dtype:
        NN_FLOAT32
        NN_FLOAT64

    ctypedef enum nn_kind:
        NN_OP_KINDS
        NN_OP_LINEAR
        NN_OP_RELU
        NN_OP_SIGMOID
        NN_OP_TANH
        NN_OP_CROSS_ENTROPY
        NN_OP_MSE
        NN_OP_FLATTEN
        NN_OP_CONV2D
        NN_OP_MAXPOOL2D
        NN_OP_LEAKY_RELU
        NN_OP_ELU
        NN_OP_GELU
        NN_OP_GELU_TANH
        NN_OP_SILU
        NN_OP_SOFTPLUS
        NN_OP_EXP
        NN_OP_LOG
        NN_OP_AVGPOOL2D
        NN_OP_CONV_TRANSPOSE2D
        NN_OP_RESIZE2D
        NN_OP_ADD
        NN_OP_SUBTRACT
        NN_OP_MULTIPLY
        NN_OP_SCALE
        NN_OP_CONCATENATE
        NN_OP_RESHAPE

    ctypedef enum nn_reduction:
        NN_MEAN
        NN_NONE

    int NN_NEEDS_X
    int NN_NEEDS_Y
    int NN_NEEDS_SAVED
    int NN_NEEDS_TARGET

    ctypedef struct nn_window:
        int64_t kernel[2]
        int64_t stride[2]
        int64_t padding[2]
        int64_t dilation[2]
        cbool ceil_mode
        int64_t extra[2]
        cbool adaptive

    ctypedef struct nn_stream:
        pass

    int NN_INPUTS_MAX

    ctypedef struct nn_op:
        nn_kind kind
        nn_dtype dtype
        int64_t x[4]
        int more_count
        int64_t more[3][4]
        int64_t shape[4]
        int64_t channels
        int64_t groups
        nn_window window
        cbool bias
        cbool direct
        double parameter[2]
        cbool count_include_pad
        int64_t divisor
        int mode
        cbool training
        nn_stream stream
        nn_reduction reduction
        cbool ignores
        int64_t ignore_index
        int64_t entries
        int64_t padding_entry
        int64_t y[4]
        int64_t x_count
        int64_t y_count
        int64_t weight_count
        int64_t bias_count
        int64_t saved_bytes
        int64_t forward_bytes
        int64_t backward_bytes
        int64_t flops
        int needs
        cbool indices
        cbool loss
        cbool reads_labels
        int64_t target[4]
        int64_t target_count

    ctypedef struct nn_io:
        void *y
        const void *x
        const void *more[3]
        const void *weight
        const void *bias
        const void *target
        void *saved
        void *work
        void *buffers[2]
        uint64_t call
        cbool training
        void *dx
        void *dmore[3]
        void *dweight
        void *dbias
        const void *dy

    const char *nn_op_name(nn_kind kind)
    nn_status nn_op_plan(nn_op *op, nn_error *error)
    nn_status nn_op_forward(const nn_op *op, const nn_io *io, nn_error *error)
    nn_status nn_op_backward(const nn_op *op, const nn_io *io, nn_error *error)

    void *nn_block_take(int64_t *bytes) nogil
    void nn_block_give(void *block, int64_t bytes) nogil
    void nn_transpose(void *dst, const void *src, nn_dtype dtype, int64_t n, int64_t rows, int64_t cols)

    enum:
        NN_STATES_MAX
        NN_UPDATE_PIECE

    ctypedef struct nn_tensor:
        void *param
        void *grad
        void *state[3]
        int64_t count

    ctypedef enum nn_update_kind:
        NN_SGD
        NN_ADAM
        NN_RMSPROP
        NN_ADAGRAD
        NN_LION

    ctypedef struct nn_update:
        nn_update_kind kind
        nn_dtype dtype
        nn_tensor *tensors
        int64_t tensor_count
        int64_t steps
        double *sums
        double lr
        double weight_decay
        double momentum
        double dampening
        cbool nesterov
        double beta1
        double beta2
        double eps
        double lr_decay
        cbool decoupled
        cbool amsgrad
        cbool centered
        cbool maximize
        cbool clear_grad
        double max_norm
        double max_value
        cbool finite

    const char *nn_gradient
    nn_status nn_update_run(nn_update **updates, int64_t count, nn_error *error)
    double nn_update_squares(const nn_update *update)
    int64_t nn_update_nonfinite(const nn_update *update)

    ctypedef struct nn_node:
        nn_op op
        int64_t inputs[4]
        const void *weight
        const void *bias
        void *dweight
        void *dbias
        void *buffers[2]
        uint64_t *calls

    ctypedef struct nn_graph:
        const nn_node *nodes
        int64_t count
        int64_t sources
        const int64_t *outputs
        int64_t output_count

    ctypedef struct nn_step:
        pass

    ctypedef enum nn_step_mode:
        NN_STEP_PREDICT
        NN_STEP_EVALUATE
        NN_STEP_GRADIENTS
        NN_STEP_TRAIN
        NN_STEP_TRAIN_FINITE

    ctypedef struct nn_place:
        int64_t offset
        int64_t bytes
        int64_t from_ "from"
        int64_t to

    nn_status nn_step_create(nn_step **step, const nn_graph *graph, int64_t *node, nn_error *error)
    void nn_step_destroy(nn_step *step)
    nn_status nn_step_run(nn_step *step, nn_step_mode mode, const void **x, const void *target, int64_t n,
                          nn_update **updates, int64_t update_count, double *loss, int64_t *node, nn_error *error)
    nn_status nn_step_forward(nn_step *step, const void **x, int64_t n, int64_t *node, nn_error *error)
    nn_status nn_step_backward(nn_step *step, const void **dy, void **dx, cbool parameters, int64_t *node,
                               nn_error *error)
    int64_t nn_step_recorded(const nn_step *step)
    bint nn_step_merged(const nn_step *step, int64_t node)
    int64_t nn_step_followed(const nn_step *step, int64_t node, cbool forward)
    bint nn_step_learns(const nn_step *step, int64_t node)
    void nn_step_forget(nn_step *step)
    void nn_step_unseen(nn_step *step, cbool unseen)
    cbool nn_step_fusible(const nn_step *step, int64_t node, cbool plain)

    ctypedef struct nn_rows:
        const void *data
        cbool bytes
        cbool channels_first

    void nn_gather(void *rows, const nn_rows *source, const void *scaled, const int64_t *order, nn_dtype dtype,
                   int64_t n, int64_t channels, int64_t pixels)
    void nn_crop(void *windows, const void *images, const int64_t *places, nn_dtype dtype, int64_t n, int64_t height,
                 int64_t width, int64_t channels, int64_t window_height, int64_t window_width)

    ctypedef struct nn_epoch:
        nn_step_mode mode
        const nn_rows *x
        nn_rows target
        const int64_t *order
        int64_t samples
        int64_t batch
        cbool stop_at_nonfinite
        double *loss
        int64_t *correct
        void *output
        int64_t done
        int64_t time
        cbool nonfinite

    nn_status nn_step_epoch(nn_step *step, nn_epoch *epoch, nn_update **updates, int64_t update_count,
                            double seconds, int64_t *node, nn_error *error)
    void nn_step_give_up(nn_step *step)
    void nn_step_threads(nn_step *step, int threads)
    int64_t nn_step_bytes(const nn_step *step)
    int64_t nn_step_capacity(const nn_step *step)
    const void *nn_step_value(const nn_step *step, int64_t value)
    const nn_op *nn_step_op(const nn_step *step, int64_t node)
    void nn_step_value_places(const nn_step *step, int64_t value, nn_place *y, nn_place *dy)
    nn_place nn_step_saved_place(const nn_step *step, int64_t node)
    nn_place nn_step_aside_place(const nn_step *step, int64_t node, int input)
    void nn_step_common_places(const nn_step *step, nn_place *target, nn_place *work)

    nn_stream nn_stream_make(uint64_t seed, const char *name, uint64_t call)
    void nn_stream_uniform(const nn_stream *stream, nn_dtype dtype, void *out, int64_t count, double low, double high)
    void nn_stream_normal(const nn_stream *stream, nn_dtype dtype, void *out, int64_t count, double mean, double std)
    void nn_stream_permutation(const nn_stream *stream, int64_t *out, int64_t count)

    ctypedef enum nn_isa:
        NN_ISA_BASELINE
        NN_ISAS

    nn_status nn_isa_select(const char *name, nn_error *error)
    nn_isa nn_isa_active()
    const char *nn_isa_name(nn_isa isa)
    cbool nn_isa_available(nn_isa isa)
    int nn_kernel_count()
    const char *nn_kernel_name(int kernel)
    int NN_THREADS_MAX
    int nn_threads_get()
    nn_status nn_threads_set(int threads, nn_error *error)
    int nn_threads_default()
    void nn_threads_threshold_set(int64_t work)
    int64_t nn_threads_threshold_get()
    int64_t nn_threads_pieces_by_workers()
    double nn_probe_fma(double flops) nogil
    void nn_winograd_set(cbool on)
    cbool nn_winograd_get()
    const char *nn_compiler()
