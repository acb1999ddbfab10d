# The process: instruction set, threads, and what the build is.

def isa_select(name=None):
    """Choose the kernels: "baseline", "avx2", "avx512", or None for the default of this CPU."""
    cdef nn_error error
    names = isa_names()
    if name and name not in names:
        raise ValueError(f"NNCORE_ISA: unknown instruction set {name!r}, expected one of {', '.join(names)}")
    if name and name not in isa_available():
        raise RuntimeError(f"NNCORE_ISA: this CPU cannot run {name!r}, it can run {', '.join(isa_available())}")
    encoded = (name or "").encode()
    check(nn_isa_select(encoded, &error), &error, "NNCORE_ISA")


def isa_names():
    return tuple([(<bytes>nn_isa_name(<nn_isa>isa)).decode() for isa in range(NN_ISAS)])


def isa_available():
    return tuple([name for isa, name in enumerate(isa_names()) if nn_isa_available(<nn_isa><int>isa)])


def isa_active():
    return (<bytes>nn_isa_name(nn_isa_active())).decode()


def kernel_names():
    return tuple([(<bytes>nn_kernel_name(kernel)).decode() for kernel in range(nn_kernel_count())])


def compiler():
    return (<bytes>nn_compiler()).decode()


def threads_get():
    return nn_threads_get()


def threads_default():
    return nn_threads_default()


def threads_set(threads):
    cdef nn_error error
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)):
        raise TypeError(f"set_num_threads: threads must be an integer, got {threads!r}")
    if not 1 <= threads <= NN_THREADS_MAX:
        raise ValueError(f"set_num_threads: threads must be 1 to {NN_THREADS_MAX}, got {threads}")
    check(nn_threads_set(threads, &error), &error, "set_num_threads")


def threads_threshold_get():
    return nn_threads_threshold_get()


def threads_threshold_set(int64_t work):
    nn_threads_threshold_set(work)


def threads_pieces_by_workers():
    return nn_threads_pieces_by_workers()


def run_fma(double flops):
    """For benchmarks: so many float32 multiply-adds' operations on each thread; how many in all."""
    if not 0 <= flops <= 1e13:
        raise ValueError(f"run_fma: flops must be 0 to 1e13, got {flops}")
    cdef double done
    with nogil:
        done = nn_probe_fma(flops)
    return done

def winograd_set(bint on):
    nn_winograd_set(on)


def winograd_get():
    return nn_winograd_get()


isa_select(os.environ.get("NNCORE_ISA"))
