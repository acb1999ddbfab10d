/*
 * test_alloc: aligned, never NULL but for a failure, and a failure for every size that cannot be.
 */
#include <string.h>

#include "check.h"
#include "runtime/runtime.h"

int main(void) {
    check_start();
    for (int64_t bytes = 0; bytes < 300; bytes++) {
        char *block = nn_alloc(bytes);
        if (!CHECK(block)) continue;
        CHECK_EQUAL((uintptr_t)block % 64, 0);
        memset(block, 1, (size_t)bytes); /* all of it is ours: the address sanitizer looks on */
        nn_free(block);
    }
    char *big = nn_alloc(INT64_C(64) << 20);
    CHECK(big && (uintptr_t)big % 64 == 0);
    nn_free(big);
    nn_free(NULL);
    const int64_t impossible[] = {-1, -64, INT64_MIN, INT64_MAX, INT64_MAX - 63, INT64_MAX - 64, INT64_C(1) << 62};
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) CHECK(!nn_alloc(impossible[i]));
    return check_report();
}

/* Asked for too much the address sanitizer is to say NULL too. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }
