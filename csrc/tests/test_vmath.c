/*
 * exp, log, tanh and what is made of them, of every instruction set, against libm in the next wider type.
 *
 * float: every 1009th magnitude and its negative, infinities, NaN and subnormal numbers among them; `test_vmath all
 * [isa]` runs through all 2^32 (minutes). double: random numbers of every range, against long double where that is
 * wider.
 * Errors are in units in the last place of the right result; a result beyond the type counts as the next power of 2.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../kernels/activation.h"
#include "../kernels/kernel.h"
#include "check.h"
#include "nncore.h"

#define FUNCTIONS(F)                                     \
    F(exp) F(log) F(sigmoid) F(tanh) F(exp_nonpositive)  \
    F(expm1_nonpositive) F(gelu) F(gelu_tanh) F(silu) F(softplus)  \
    F(mish) F(log1p_down)
enum {
#define F(name) name##_at,
    FUNCTIONS(F)
#undef F
    COUNT
};
static const char *const names[COUNT] = {
#define F(name) #name,
    FUNCTIONS(F)
#undef F
};

#define F(name) nn_kernel_fn nn_test_##name##_baseline_f32, nn_test_##name##_baseline_f64;
FUNCTIONS(F)
#undef F
#ifdef NN_BUILD_AVX2
#define F(name) nn_kernel_fn nn_test_##name##_avx2_f32, nn_test_##name##_avx2_f64;
FUNCTIONS(F)
#undef F
#endif
#ifdef NN_BUILD_AVX512
#define F(name) nn_kernel_fn nn_test_##name##_avx512_f32, nn_test_##name##_avx512_f64;
FUNCTIONS(F)
#undef F
#endif

static nn_kernel_fn *const units[NN_ISAS][NN_DTYPES][COUNT] = {
#define F(name) nn_test_##name##_baseline_f32,
    [NN_ISA_BASELINE] = {{FUNCTIONS(F)},
#undef F
#define F(name) nn_test_##name##_baseline_f64,
                         {FUNCTIONS(F)}},
#undef F
#ifdef NN_BUILD_AVX2
#define F(name) nn_test_##name##_avx2_f32,
    [NN_ISA_AVX2] = {{FUNCTIONS(F)},
#undef F
#define F(name) nn_test_##name##_avx2_f64,
                     {FUNCTIONS(F)}},
#undef F
#endif
#ifdef NN_BUILD_AVX512
#define F(name) nn_test_##name##_avx512_f32,
    [NN_ISA_AVX512] = {{FUNCTIONS(F)},
#undef F
#define F(name) nn_test_##name##_avx512_f64,
                       {FUNCTIONS(F)}},
#undef F
#endif
};

static const double bounds[NN_DTYPES][COUNT] = {{1.5, 1.5, 2.5, 2.5, 1.5, 1.5, 6, 250, 3.5, 4, 5, 3},
                                                {1.5, 1.5, 2.5, 2.5, 1.5, 1.5, 8, 3000, 3.5, 4, 4.5, 3}};

/*
 * Functions of x >= 0 and of -x in double, from as few calls of libm as there can be: a sweep takes 2^31 of these.
 * Where a left tail is long over the formulas would multiply infinity by 0: there the limit.
 */
static void right_floats(double right[2][COUNT], double x) {
    const double e = exp(-x), square = x * x, twice = e * e;
    right[0][exp_at] = 1 / e, right[1][exp_at] = e;
    right[0][log_at] = log(x), right[1][log_at] = x == 0 ? -INFINITY : NAN;
    right[0][sigmoid_at] = 1 / (1 + e), right[1][sigmoid_at] = e / (1 + e);
    /* Near 0 the difference 1 - e^2 would lose digits: there Taylor's series, to 2^-45. */
    const double small = x * (1 - square * (1 / 3. - square * (2 / 15. - square * (17 / 315. - square * (62 / 2835.)))));
    right[0][tanh_at] = x < 0.0625 ? small : (1 - twice) / (1 + twice), right[1][tanh_at] = -right[0][tanh_at];
    right[0][exp_nonpositive_at] = right[1][exp_nonpositive_at] = e;
    double series = 1; /* of (1 - e) / x, from the last term to the first */
    for (int i = 10; i > 1; i--) series = 1 - x / i * series;
    right[0][expm1_nonpositive_at] = right[1][expm1_nonpositive_at] = x < 0.0625 ? -x * series : e - 1;
    const double tail = erfc(x * 0.70710678118654752440), g = exp(-x * (1.5957691216057307118 + 0.07135481627260024878 * square));
    right[0][gelu_at] = x * (2 - tail) / 2, right[1][gelu_at] = x > 40 ? -0.0 : -x * tail / 2;
    right[0][gelu_tanh_at] = x / (1 + g), right[1][gelu_tanh_at] = x > 40 ? -0.0 : -x * g / (1 + g);
    right[0][silu_at] = x / (1 + e), right[1][silu_at] = x > 2000 ? -0.0 : -x * e / (1 + e);
    right[0][mish_at] = x * (1 + 2 * e) / (1 + 2 * e * (1 + e));
    right[1][mish_at] = x > 2000 ? -0.0 : -x * (e * (e + 2)) / (e * (e + 2) + 2);
    right[0][log1p_down_at] = right[1][log1p_down_at] = log1p(x > 1 ? -1 : -x);
    const double beyond = log1p(e);
    right[0][softplus_at] = x + beyond, right[1][softplus_at] = beyond;
}

/* The same by libm alone, to hold right_floats against. */
static double right_double(int function, double x) {
    switch (function) {
    case exp_at: return exp(x);
    case log_at: return log(x);
    case sigmoid_at: return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
    case tanh_at: return tanh(x);
    case expm1_nonpositive_at: return expm1(-fabs(x));
    /* Where the left tail is long over, the limit: there the formulas multiply infinity by 0. */
    case gelu_at: return x < -40 ? -0.0 : x * erfc(x * -0.70710678118654752440) / 2;
    case gelu_tanh_at: return x < -40 ? -0.0 : x / (1 + exp(-x * (1.5957691216057307118 + 0.07135481627260024878 * x * x)));
    case silu_at: return x < -2000 ? -0.0 : x / (1 + exp(-x));
    case softplus_at: return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    case mish_at: return x < -2000 ? -0.0 : x * tanh(log1p(exp(x)));
    case log1p_down_at: return log1p(fabs(x) > 1 ? -1 : -fabs(x));
    default: return exp(-fabs(x));
    }
}

/* x Phi(x); erfc is steep, so what rounding took from its argument counts. */
static long double right_gelu(long double x) {
    if (x > 40) return x;
    const long double root = -0.707106781186547524400844362104849L;
    const long double missing = LDBL_MANT_DIG == 64 ? -1.895032559e-20L : 0; /* of the root, as it is stored */
    const long double z = x * root, error = fmal(x, root, -z) + x * missing;
    return x * (erfcl(z) - error * 1.12837916709551257389615890312155L * expl(-z * z)) / 2;
}

static long double right_long(int function, long double x) {
    switch (function) {
    case exp_at: return expl(x);
    case log_at: return logl(x);
    case sigmoid_at: return x >= 0 ? 1 / (1 + expl(-x)) : expl(x) / (1 + expl(x));
    case tanh_at: return tanhl(x);
    case expm1_nonpositive_at: return expm1l(-fabsl(x));
    case gelu_at: return x < -40 ? -0.0L : right_gelu(x);
    case gelu_tanh_at:
        return x < -40 ? -0.0L
                       : x / (1 + expl(-x * (1.59576912160573071175978423973752L +
                                             0.0713548162726002487763387522798635L * x * x)));
    case silu_at: return x < -2000 ? -0.0L : x / (1 + expl(-x));
    case softplus_at: return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x));
    case mish_at: return x < -2000 ? -0.0L : x * tanhl(log1pl(expl(x)));
    case log1p_down_at: return log1pl(fabsl(x) > 1 ? -1 : -fabsl(x));
    default: return expl(-fabsl(x));
    }
}

/* 2^(exponent of x - digits + 1), but not below the smallest subnormal number */
static double unit_of(double x, int digits, int lowest) {
    int exponent;
    frexp(x, &exponent);
    return ldexp(1, x == 0 || exponent - digits < lowest ? lowest : exponent - digits);
}

/* unit_of, a result beyond the largest number counted as 2^128, and this in few instructions: it runs 2^34 times. */
static double float_error(float got, double right) {
    const double top = 0x1p128;
    const double wanted = right > top ? top : right < -top ? -top : right;
    const double value = got > FLT_MAX ? top : got < -FLT_MAX ? -top : got;
    uint64_t bits;
    memcpy(&bits, &wanted, sizeof bits);
    int64_t exponent = (int64_t)(bits >> 52 & 0x7ff) - 1023; /* 1024 for NaN */
    if (exponent < FLT_MIN_EXP - 1) exponent = FLT_MIN_EXP - 1;
    if (exponent > FLT_MAX_EXP - 1) exponent = FLT_MAX_EXP - 1;
    bits = (uint64_t)(1023 + FLT_MANT_DIG - 1 - exponent) << 52;
    double per_unit;
    memcpy(&per_unit, &bits, sizeof bits);
    return fabs(value - wanted) * per_unit;
}

static double double_error(double got, long double right) {
    if (isnan(right)) return isnan(got) ? 0 : INFINITY;
    if (isinf(got) || fabsl(right) > (long double)DBL_MAX) return isinf(got) && fabsl(right) >= (long double)DBL_MAX ? 0 : INFINITY;
    return (double)(fabsl((long double)got - right) / (long double)unit_of((double)right, DBL_MANT_DIG, -1074));
}

enum { BLOCK = 4096 };
typedef struct worst {
    double error, x;
} worst;

static void note(worst *w, double error, double x) {
    if (!(error <= w->error)) *w = (worst){error, x};
}

static void note_floats(worst *w, const float *x, const float *y, const double *right, int count) {
    for (int i = 0; i < count; i++) {
        if (isnan(right[i])) {
            if (!isnan(y[i])) note(w, INFINITY, x[i]);
        } else {
            note(w, float_error(y[i], right[i]), x[i]);
        }
    }
}

/* x and -x for every step-th magnitude. */
static void floats(worst found[NN_ISAS][COUNT], uint64_t step, bool isas[NN_ISAS]) {
    static float x[2][BLOCK], y[BLOCK];
    static double right[2][COUNT][BLOCK];
    for (uint64_t bits = 0; bits < UINT64_C(1) << 31;) {
        int count = 0;
        for (; count < BLOCK && bits < UINT64_C(1) << 31; count++, bits += step) {
            const uint32_t pattern = (uint32_t)bits;
            memcpy(&x[0][count], &pattern, sizeof pattern);
            x[1][count] = -x[0][count];
            double both[2][COUNT];
            right_floats(both, x[0][count]);
            for (int sign = 0; sign < 2; sign++)
                for (int f = 0; f < COUNT; f++) right[sign][f][count] = both[sign][f];
        }
        for (int sign = 0; sign < 2; sign++)
            for (int f = 0; f < COUNT; f++)
                for (int isa = 0; isa < NN_ISAS; isa++) {
                    if (!isas[isa]) continue;
                    units[isa][NN_FLOAT32][f](&(nn_activation_args){.y = y, .x = x[sign]}, 0, count);
                    note_floats(&found[isa][f], x[sign], y, right[sign][f], count);
                }
    }
}

/* right_floats is right itself. */
static void oracle(void) {
    for (uint64_t bits = 0; bits < UINT64_C(1) << 31; bits += 4099) {
        const uint32_t pattern = (uint32_t)bits;
        float x;
        memcpy(&x, &pattern, sizeof x);
        double right[2][COUNT];
        right_floats(right, x);
        for (int sign = 0; sign < 2; sign++)
            for (int f = 0; f < COUNT; f++) {
                const double got = right[sign][f], libm = right_double(f, sign ? -x : x);
                /* 2^-40, or too small or too large for a float */
                CHECK(isnan(libm) ? isnan(got)
                                  : got == libm || fabs(got - libm) <= 0x1p-40 * fabs(libm) || fabs(libm) < 0x1p-160 ||
                                        (got > 0x1p128 && libm > 0x1p128));
            }
    }
}

static uint64_t random_bits(void) {
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

/* Of all magnitudes; where exp and tanh bend; where they run out; and the special ones. */
static double draw(int i) {
    static const double special[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 5e-324, -5e-324, DBL_MIN, DBL_MAX, -DBL_MAX};
    const double uniform = (double)(random_bits() >> 11) * 0x1p-52 - 1; /* -1 to 1 */
    if (i < 10) return special[i];
    if (i % 4 == 0) return uniform * 2;
    if (i % 4 == 1) return uniform * 40;
    if (i % 4 == 2) return uniform * 760;
    double any;
    const uint64_t bits = random_bits();
    memcpy(&any, &bits, sizeof any);
    return any;
}

static void doubles(worst found[NN_ISAS][COUNT], int blocks, bool isas[NN_ISAS]) {
    static double x[BLOCK], y[BLOCK];
    static long double right[BLOCK];
    nn_activation_args args = {.y = y, .x = x};
    for (int block = 0; block < blocks; block++) {
        for (int i = 0; i < BLOCK; i++) x[i] = draw(i);
        for (int f = 0; f < COUNT; f++) {
            for (int i = 0; i < BLOCK; i++) right[i] = right_long(f, x[i]);
            for (int isa = 0; isa < NN_ISAS; isa++) {
                if (!isas[isa]) continue;
                units[isa][NN_FLOAT64][f](&args, 0, BLOCK);
                for (int i = 0; i < BLOCK; i++) note(&found[isa][f], double_error(y[i], right[i]), x[i]);
            }
        }
    }
}

static void report(nn_dtype dtype, worst found[NN_ISAS][COUNT], bool isas[NN_ISAS]) {
    for (int isa = 0; isa < NN_ISAS; isa++) {
        if (!isas[isa]) continue;
        printf("%-8s %s", nn_isa_name((nn_isa)isa), dtype == NN_FLOAT32 ? "float " : "double");
        for (int f = 0; f < COUNT; f++) {
            printf("  %s %.3f at %.9g", names[f], found[isa][f].error, found[isa][f].x);
            CHECK(found[isa][f].error <= bounds[dtype][f]);
            CHECK(found[isa][f].error > 0.4); /* nothing was measured */
        }
        printf("\n");
    }
}

/* What must be exact, sign of zero included. */
static void limits(void) {
    static const struct {
        int function;
        float x, y;
    } exact[] = {
        {exp_at, 0, 1}, {exp_at, -INFINITY, 0}, {exp_at, INFINITY, INFINITY}, {exp_at, 89, INFINITY},
        {log_at, 1, 0}, {log_at, 0, -INFINITY}, {log_at, -0.0f, -INFINITY}, {log_at, INFINITY, INFINITY},
        {sigmoid_at, 0, 0.5f}, {sigmoid_at, -1000, 0}, {sigmoid_at, 1000, 1}, {sigmoid_at, -INFINITY, 0},
        {sigmoid_at, INFINITY, 1}, {tanh_at, 0, 0}, {tanh_at, -0.0f, -0.0f}, {tanh_at, INFINITY, 1},
        {tanh_at, -INFINITY, -1}, {tanh_at, 1e-10f, 1e-10f}, {tanh_at, -1e-45f, -1e-45f}, {tanh_at, 50, 1},
        {gelu_at, 0, 0}, {gelu_at, INFINITY, INFINITY}, {gelu_at, -INFINITY, -0.0f}, {gelu_at, 1000, 1000},
        {gelu_tanh_at, 0, 0}, {gelu_tanh_at, INFINITY, INFINITY}, {gelu_tanh_at, -INFINITY, -0.0f},
        {silu_at, 0, 0}, {silu_at, -0.0f, -0.0f}, {silu_at, INFINITY, INFINITY}, {silu_at, -INFINITY, -0.0f},
        {softplus_at, -INFINITY, 0}, {softplus_at, INFINITY, INFINITY}, {softplus_at, 1000, 1000},
        {mish_at, 0, 0}, {mish_at, -0.0f, -0.0f}, {mish_at, INFINITY, INFINITY}, {mish_at, -INFINITY, -0.0f},
        {log1p_down_at, 1, -INFINITY}, {log1p_down_at, 1e-30f, -1e-30f},
        {expm1_nonpositive_at, 0, 0}, {expm1_nonpositive_at, INFINITY, -1}, {expm1_nonpositive_at, 1e-30f, -1e-30f},
    };
    for (int isa = 0; isa < NN_ISAS; isa++) {
        if (!nn_isa_available((nn_isa)isa)) continue;
        for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++) {
            float y = 0;
            double wide_x = exact[i].x, wide_y = 0;
            units[isa][NN_FLOAT32][exact[i].function](&(nn_activation_args){.y = &y, .x = &exact[i].x}, 0, 1);
            units[isa][NN_FLOAT64][exact[i].function](&(nn_activation_args){.y = &wide_y, .x = &wide_x}, 0, 1);
            CHECK(y == exact[i].y && !signbit(y) == !signbit(exact[i].y));
            /* 89 is far from overflow there */
            CHECK(exact[i].x == 89 || (wide_y == exact[i].y && !signbit(wide_y) == !signbit(exact[i].y)));
        }
    }
}

int main(int argc, char **argv) {
    static worst found[NN_DTYPES][NN_ISAS][COUNT];
    const bool all = argc > 1 && strcmp(argv[1], "all") == 0;
    bool isas[NN_ISAS];
    for (int isa = 0; isa < NN_ISAS; isa++) /* the one that is named, or those that there are */
        isas[isa] = nn_isa_available((nn_isa)isa) && (argc < 3 || strcmp(argv[2], nn_isa_name((nn_isa)isa)) == 0);
    if (!all) check_start();
    oracle();
    floats(found[NN_FLOAT32], all ? 1 : 1009, isas);
    report(NN_FLOAT32, found[NN_FLOAT32], isas);
    if (LDBL_MANT_DIG > DBL_MANT_DIG) {
        doubles(found[NN_FLOAT64], all ? 4000 : 50, isas);
        report(NN_FLOAT64, found[NN_FLOAT64], isas);
    }
    limits();
    return check_report();
}
