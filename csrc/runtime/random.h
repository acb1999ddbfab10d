/*
 * random.h: the words beneath the random stream, for operations and tests.
 */
#ifndef NN_RANDOM_H
#define NN_RANDOM_H

#include "../nncore.h"

/* Philox4x32-10 itself: out = f(counter, key). */
void nn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Block number `block` of a stream: four words, each bit as likely 0 as 1. */
void nn_stream_bits(const nn_stream *stream, uint64_t block, uint32_t out[4]);

#endif
