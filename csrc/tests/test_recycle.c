/*
 * test_recycle: a block given back comes again for about the same size, others are never mixed up, and what is kept
 * is bounded. The address sanitizer is to see every block's end, so there nothing is kept.
 */
#include <string.h>

#include "check.h"
#include "nncore.h"


static void *take(int64_t want, int64_t *bytes) {
    *bytes = want;
    char *block = nn_block_take(bytes);
    if (!CHECK(block)) return NULL;
    CHECK(*bytes >= want);
    CHECK_EQUAL((uintptr_t)block % 64, 0);
    memset(block, 1, (size_t)*bytes); /* all of it is ours */
    return block;
}

int main(void) {
    check_start();
    enum { MIB = 1 << 20 };
    int64_t size, other_size;

    char *first = take(MIB, &size);
    nn_block_give(first, size);
    char *again = take(MIB - 1000, &size);
    if (size > MIB - 1000) CHECK(again == first); /* sizes are exact only where nothing is kept */
    char *other = take(MIB, &other_size);
    CHECK(other != again); /* taken: not to be had twice */
    nn_block_give(again, size);
    nn_block_give(other, other_size);
    char *small = take(MIB / 2, &size); /* a block twice as large would be a waste */
    CHECK(small != again && small != other);
    nn_block_give(small, size);

    /* More blocks than are kept, and more bytes. */
    char *blocks[40];
    int64_t sizes[40];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 40; i++) blocks[i] = take((round ? 100 * 1024 : 4 * MIB) + i, &sizes[i]);
        for (int i = 0; i < 40; i++)
            for (int j = 0; j < i; j++) CHECK(blocks[i] != blocks[j]);
        for (int i = 0; i < 40; i++) nn_block_give(blocks[i], sizes[i]);
    }
    size = INT64_C(65) * MIB; /* more than is kept at all */
    char *huge = nn_block_take(&size);
    if (CHECK(huge)) nn_block_give(huge, size);

    const int64_t impossible[] = {INT64_MAX, INT64_MAX - 20000, INT64_C(1) << 62};
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        size = impossible[i];
        CHECK(!nn_block_take(&size));
    }
    nn_block_give(NULL, 0);
    return check_report();
}

/* Asked for too much the sanitizers are to say NULL too. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1:detect_leaks=0"; }
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }
