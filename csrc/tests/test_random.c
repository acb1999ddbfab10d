/*
 * test_random: Philox against the known answers of its authors' distribution (kat_vectors, philox 4x32 10 rounds).
 */
#include <string.h>

#include "check.h"
#include "runtime/random.h"

static void known_answer(const uint32_t counter[4], const uint32_t key[2], const uint32_t expected[4]) {
    uint32_t out[4];
    nn_philox(counter, key, out);
    for (int i = 0; i < 4; i++) CHECK_EQUAL(out[i], expected[i]);
}

static void known_answers(void) {
    known_answer((uint32_t[]){0, 0, 0, 0}, (uint32_t[]){0, 0},
                 (uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    known_answer((uint32_t[]){0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, (uint32_t[]){0xffffffff, 0xffffffff},
                 (uint32_t[]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    known_answer((uint32_t[]){0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, (uint32_t[]){0xa4093822, 0x299f31d0},
                 (uint32_t[]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

static void streams_differ_in_all_three(void) {
    const nn_stream a = nn_stream_make(1, "weight", 0);
    const nn_stream others[] = {nn_stream_make(2, "weight", 0), nn_stream_make(1, "bias", 0), nn_stream_make(1, "weight", 1)};
    uint32_t bits[4], other[4];
    nn_stream_bits(&a, 5, bits);
    for (int i = 0; i < 3; i++) {
        nn_stream_bits(&others[i], 5, other);
        CHECK(memcmp(bits, other, sizeof bits) != 0);
    }
}

static void permutations_hold_every_number_once(void) {
    int64_t order[257];
    const nn_stream stream = nn_stream_make(9, "shuffle", 3);
    for (int64_t count = 0; count <= 257; count += 1 + count) {
        bool seen[257] = {false};
        nn_stream_permutation(&stream, order, count);
        for (int64_t i = 0; i < count; i++) {
            CHECK(order[i] >= 0 && order[i] < count && !seen[order[i]]);
            seen[order[i]] = true;
        }
    }
}

static void a_stream_knows_its_other_calls(void) {
    const nn_stream first = nn_stream_make(3, "dropout", 0), eighth = nn_stream_make(3, "dropout", 8);
    const nn_stream other = nn_stream_of_call(&first, 8);
    uint32_t right[4], bits[4];
    nn_stream_bits(&eighth, 5, right);
    nn_stream_bits(&other, 5, bits);
    CHECK(memcmp(bits, right, sizeof bits) == 0);
}

int main(void) {
    check_start();
    known_answers();
    streams_differ_in_all_three();
    a_stream_knows_its_other_calls();
    permutations_hold_every_number_once();
    return check_report();
}
