/* Predictions in blocks; which of a block, as the bits of a word. */

#ifndef MMDET_UOT_BLOCKS_H
#define MMDET_UOT_BLOCKS_H

#include <stdint.h>
#include <string.h>

enum { BLOCK = 64 };

/* Flags of 0 and 1 (BLOCK,); the first is the lowest bit. */
static inline uint64_t to_bits(const uint8_t *flags)
{
    uint64_t bits = 0;
    for (int k = 0; k < 8; k++) {
        uint64_t eight;
        memcpy(&eight, flags + 8 * k, sizeof eight);
        /* Moves the lowest bits of the bytes into the highest byte. */
        bits |= (eight * 0x0102040810204080ull >> 56) << 8 * k;
    }
    return bits;
}

/* Flags of all predictions to words; the last is filled with zeros. */
static inline void to_words(const uint8_t *flags, int64_t size, uint64_t *words)
{
    for (int64_t start = 0; start < size; start += BLOCK) {
        int64_t left = size - start;
        uint8_t of_word[BLOCK] = {0};
        memcpy(of_word, flags + start, left < BLOCK ? left : BLOCK);
        words[start / BLOCK] = to_bits(of_word);
    }
}

#endif
