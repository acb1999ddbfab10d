/*
 * winner.h: the index of max pooling in memory (a byte for each winner, 2 or 4 for large windows) and in
 * vectors (a lane of INT).
 *
 * GCC 12 converts between bytes and wider lanes one by one; here a shuffle of the bytes does it. A byte is
 * spread over all bytes of its lane, so a lane is compared with winner_pattern(position), not with position.
 */
#ifndef NN_KERNELS_WINNER_H
#define NN_KERNELS_WINNER_H

typedef uint8_t bytes_in_vec __attribute__((vector_size(VEC_BYTES)));

/* The lowest byte of every lane, to VL bytes at p. */
NN_INLINE void winner_pack(uint8_t *p, ivec winner) {
    const bytes_in_vec b = (bytes_in_vec)winner;
#if VEC_BYTES == 16 && NN_BITS == 32
    const bytes_in_vec packed = __builtin_shufflevector(b, b, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                                        -1, -1, -1);
#elif VEC_BYTES == 16
    const bytes_in_vec packed = __builtin_shufflevector(b, b, 0, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                                        -1, -1, -1);
#else
    typedef uint8_t packed_bytes __attribute__((vector_size(VL)));
#if VEC_BYTES == 32 && NN_BITS == 32
    const packed_bytes packed = __builtin_shufflevector(b, b, 0, 4, 8, 12, 16, 20, 24, 28);
#elif VEC_BYTES == 32
    const packed_bytes packed = __builtin_shufflevector(b, b, 0, 8, 16, 24);
#elif NN_BITS == 32
    const packed_bytes packed = __builtin_shufflevector(b, b, 0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48,
                                                        52, 56, 60);
#else
    const packed_bytes packed = __builtin_shufflevector(b, b, 0, 8, 16, 24, 32, 40, 48, 56);
#endif
#endif
    memcpy(p, &packed, VL);
}

/* Two vectors of winners to VL bytes each at p and q, which may overlap if the winners do. */
NN_INLINE void winner_pack2(uint8_t *p, uint8_t *q, const ivec winner[2]) {
#if VEC_BYTES == 32 && NN_BITS == 32
    const __m256i words = _mm256_packs_epi32((__m256i)winner[0], (__m256i)winner[1]);
    /* Packing works within halves: groups of four bytes come out as 0 2 1 3. */
    const __m128i mixed = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    int64_t packed[2];
    _mm_storeu_si128((__m128i *)packed, _mm_shuffle_epi32(mixed, _MM_SHUFFLE(3, 1, 2, 0)));
    memcpy(p, &packed[0], VL);
    memcpy(q, &packed[1], VL);
#else
    winner_pack(p, winner[0]);
    winner_pack(q, winner[1]);
#endif
}

/* Four vectors of winners to 4 VL bytes at p. */
NN_INLINE void winner_pack4(uint8_t *p, const ivec winner[4]) {
#if VEC_BYTES == 32 && NN_BITS == 32
    const __m256i low = _mm256_packs_epi32((__m256i)winner[0], (__m256i)winner[1]);
    const __m256i high = _mm256_packs_epi32((__m256i)winner[2], (__m256i)winner[3]);
    /* Packing works within halves: groups of four bytes come out as 0 2 4 6 1 3 5 7. */
    const __m256i mixed = _mm256_packus_epi16(low, high);
    _mm256_storeu_si256((__m256i *)p,
                        _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
#else
    for (int v = 0; v < 4; v++) winner_pack(p + v * VL, winner[v]);
#endif
}

/* The first `count` lanes as elements `at` and on of an index of 1, 2 or 4 bytes. */
NN_INLINE void winner_store(void *index, int64_t at, ivec winner, int64_t count, int bytes) {
    if (bytes == 1 && count == VL) {
        winner_pack((uint8_t *)index + at, winner);
    } else if (bytes == 1) {
        uint8_t packed[VL], *to = (uint8_t *)index + at;
        winner_pack(packed, winner);
        int64_t i = 0;
        for (int64_t width = VL / 2; width > 0; width /= 2) {
            if (!(count & width)) continue;
            memcpy(to + i, packed + i, (size_t)width);
            i += width;
        }
    } else {
        INT lane[VL];
        memcpy(lane, &winner, sizeof lane);
        for (int64_t i = 0; i < count; i++) {
            if (bytes == 2) ((uint16_t *)index)[at + i] = (uint16_t)lane[i];
            else ((int32_t *)index)[at + i] = (int32_t)lane[i];
        }
    }
}

/* Every byte of lane i is byte i at p. */
NN_INLINE ivec winner_spread(const uint8_t *p) {
#if VEC_BYTES == 16 && NN_BITS == 32
    uint32_t some;
    memcpy(&some, p, VL);
    const bytes_in_vec b = (bytes_in_vec)(some - (uint32_t __attribute__((vector_size(16)))){0});
    return (ivec)__builtin_shufflevector(b, b, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
#elif VEC_BYTES == 16
    uint16_t some;
    memcpy(&some, p, VL);
    const bytes_in_vec b = (bytes_in_vec)(some - (uint16_t __attribute__((vector_size(16)))){0});
    return (ivec)__builtin_shufflevector(b, b, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
#elif VEC_BYTES == 32 && NN_BITS == 32
    uint64_t some;
    memcpy(&some, p, VL);
    const bytes_in_vec b = (bytes_in_vec)(some - (uint64_t __attribute__((vector_size(32)))){0});
    return (ivec)__builtin_shufflevector(b, b, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 20, 20, 20, 20, 21,
                                         21, 21, 21, 22, 22, 22, 22, 23, 23, 23, 23);
#elif VEC_BYTES == 32
    uint32_t some;
    memcpy(&some, p, VL);
    const bytes_in_vec b = (bytes_in_vec)(some - (uint32_t __attribute__((vector_size(32)))){0});
    return (ivec)__builtin_shufflevector(b, b, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 18, 18, 18, 18, 18,
                                         18, 18, 18, 19, 19, 19, 19, 19, 19, 19, 19);
#elif NN_BITS == 32
    const __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
    return (ivec)_mm512_mullo_epi32(wide, _mm512_set1_epi32(0x01010101));
#else
    const __m512i wide = _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)p));
    return (ivec)_mm512_shuffle_epi8(wide, _mm512_set4_epi32(0x08080808, 0x08080808, 0, 0));
#endif
}

/* The lane that winner_load gives for a window's position. */
NN_INLINE ivec winner_pattern(int64_t position, int bytes) {
    return ivset(bytes == 1 ? (INT)((UINT)position * (UINT)0x0101010101010101) : (INT)position);
}

/* `count` elements from `at` on; up to `end` more may be read. The lanes beyond hold anything. */
NN_INLINE ivec winner_load(const void *index, int64_t at, int64_t count, int64_t end, int bytes) {
    if (bytes == 1 && (count == VL || end - at >= VL)) return winner_spread((const uint8_t *)index + at);
    INT lane[VL] = {0};
    for (int64_t i = 0; i < count; i++) {
        if (bytes == 1) lane[i] = (INT)(((const uint8_t *)index)[at + i] * (UINT)0x0101010101010101);
        else if (bytes == 2) lane[i] = ((const uint16_t *)index)[at + i];
        else lane[i] = ((const int32_t *)index)[at + i];
    }
    ivec winner;
    memcpy(&winner, lane, sizeof winner);
    return winner;
}

#endif
