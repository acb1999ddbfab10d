/*
 * test_isa: which kernels run; the list of them is whole.
 */
#include <string.h>

#include "check.h"
#include "runtime/runtime.h"

static void by_name(void) {
    nn_error error = {0};
    int available = 0;
    for (nn_isa isa = 0; isa < NN_ISAS; isa++) {
        const nn_status status = nn_isa_select(nn_isa_name(isa), &error);
        if (nn_isa_available(isa)) {
            CHECK_EQUAL(status, NN_OK);
            CHECK_EQUAL(nn_isa_active(), isa);
            available++;
        } else {
            CHECK_EQUAL(status, NN_RUNTIME_ERROR);
            CHECK(strcmp(error.arg, "isa") == 0 && error.got == isa);
            CHECK(nn_isa_active() != isa); /* what ran before still runs */
        }
    }
    CHECK(available >= 1 && nn_isa_available(NN_ISA_BASELINE));
}

static void by_default(void) {
    const char *const defaults[] = {NULL, ""};
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(nn_isa_select("baseline", NULL), NN_OK);
        CHECK_EQUAL(nn_isa_select(defaults[i], NULL), NN_OK);
        CHECK_EQUAL(nn_isa_active(), nn_isa_available(NN_ISA_AVX2) ? NN_ISA_AVX2 : NN_ISA_BASELINE);
    }
}

/* By default some kernels may be AVX-512's, of either dtype; whoever names AVX2 gets nothing else. */
static void default_kernels(void) {
    if (!nn_isa_available(NN_ISA_AVX2)) return;
    int wider[NN_DTYPES] = {0};
    for (int kernel = 0; kernel < nn_kernel_count(); kernel++)
        for (int dtype = 0; dtype < NN_DTYPES; dtype++) {
            CHECK_EQUAL(nn_isa_select(NULL, NULL), NN_OK);
            nn_kernel_fn *code = nn_kernel((nn_kernel_id)kernel, (nn_dtype)dtype);
            CHECK_EQUAL(nn_isa_select("avx2", NULL), NN_OK);
            if (code == nn_kernel((nn_kernel_id)kernel, (nn_dtype)dtype)) continue;
            CHECK_EQUAL(nn_isa_select("avx512", NULL), NN_OK);
            CHECK(code == nn_kernel((nn_kernel_id)kernel, (nn_dtype)dtype));
            wider[dtype]++;
        }
    for (int dtype = 0; dtype < NN_DTYPES; dtype++)
        CHECK(nn_isa_available(NN_ISA_AVX512) ? wider[dtype] > 0 : wider[dtype] == 0);
}

static void unknown_names_change_nothing(void) {
    const char *const unknown[] = {"avx", "AVX2", "avx2 ", "avx22", "unknown", "native"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        nn_error error = {0};
        const nn_isa before = nn_isa_active();
        CHECK_EQUAL(nn_isa_select(unknown[i], &error), NN_VALUE_ERROR);
        CHECK(error.arg && strcmp(error.arg, "isa") == 0);
        CHECK_EQUAL(nn_isa_active(), before);
        CHECK_EQUAL(nn_isa_select(unknown[i], NULL), NN_VALUE_ERROR);
    }
}

static void every_kernel_has_a_name_and_code(void) {
    CHECK(nn_kernel_count() >= 5);
    for (nn_isa isa = 0; isa < NN_ISAS; isa++) {
        if (nn_isa_select(nn_isa_name(isa), NULL) != NN_OK) continue;
        for (int kernel = 0; kernel < nn_kernel_count(); kernel++)
            for (int dtype = 0; dtype < NN_DTYPES; dtype++) {
                nn_kernel_fn *code = nn_kernel((nn_kernel_id)kernel, (nn_dtype)dtype);
                if (!CHECK(code)) continue;
                /* Its own: no other kernel, dtype or instruction set has the same. */
                CHECK(code != nn_kernel((nn_kernel_id)kernel, (nn_dtype)!dtype));
                for (int other = 0; other < kernel; other++)
                    CHECK(code != nn_kernel((nn_kernel_id)other, (nn_dtype)dtype));
                if (isa == NN_ISA_BASELINE) continue;
                CHECK_EQUAL(nn_isa_select("baseline", NULL), NN_OK);
                CHECK(code != nn_kernel((nn_kernel_id)kernel, (nn_dtype)dtype));
                CHECK_EQUAL(nn_isa_select(nn_isa_name(isa), NULL), NN_OK);
            }
    }
    for (int kernel = 0; kernel < nn_kernel_count(); kernel++) {
        CHECK(strlen(nn_kernel_name(kernel)) > 0 && strcmp(nn_kernel_name(kernel), "unknown") != 0);
        for (int other = 0; other < kernel; other++)
            CHECK(strcmp(nn_kernel_name(kernel), nn_kernel_name(other)) != 0);
    }
    CHECK(strcmp(nn_kernel_name(-1), "unknown") == 0);
    CHECK(strcmp(nn_kernel_name(nn_kernel_count()), "unknown") == 0);
    CHECK(strcmp(nn_isa_name(NN_ISAS), "unknown") == 0);
}

int main(void) {
    check_start();
    by_name();
    by_default();
    default_kernels();
    unknown_names_change_nothing();
    every_kernel_has_a_name_and_code();
    CHECK(strlen(nn_compiler()) > 3);
    return check_report();
}
