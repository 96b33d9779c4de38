/* SPDX-License-Identifier: MIT
 * SipHash-2-4-128, after the paper's pseudocode; little-endian machines read whole words where they lie. */
#include "base/siphash.h"

#include <string.h>

typedef struct state {
    uint64_t a, b, c, d; /* v0 .. v3 */
} state;

static inline uint64_t rotate(uint64_t x, unsigned bits) { return x << bits | x >> (64 - bits); }

static inline void mix(state *s, unsigned rounds) {
    while (rounds-- > 0) {
        s->a += s->b, s->b = rotate(s->b, 13) ^ s->a, s->a = rotate(s->a, 32);
        s->c += s->d, s->d = rotate(s->d, 16) ^ s->c;
        s->a += s->d, s->d = rotate(s->d, 21) ^ s->a;
        s->c += s->b, s->b = rotate(s->b, 17) ^ s->c, s->c = rotate(s->c, 32);
    }
}

static inline void take(state *s, uint64_t word) {
    s->d ^= word;
    mix(s, 2);
    s->a ^= word;
}

/* The last 0 to 7 bytes, with the length in the top byte. */
static uint64_t last_word(const uint8_t *tail, size_t size) {
    uint64_t word = (uint64_t)size << 56;
    for (size_t i = 0; i < size % 8; i++) word |= (uint64_t)tail[i] << 8 * i;
    return word;
}

static inline uint64_t fold(const state *s) { return s->a ^ s->b ^ s->c ^ s->d; }

mpr_digest mpr_siphash(const uint64_t key[2], const void *data, size_t size) {
    const uint8_t *at = data, *end = at + size / 8 * 8;
    state s = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
               key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    mpr_digest out;
    for (; at < end; at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        take(&s, word);
    }
    take(&s, last_word(at, size));
    s.c ^= 0xee;
    mix(&s, 4);
    out.word[0] = fold(&s);
    s.b ^= 0xdd;
    mix(&s, 4);
    out.word[1] = fold(&s);
    return out;
}
