/* SPDX-License-Identifier: MIT
 * Bytes out, bytes in, and their sum.
 *
 * CRC-32C is computed by the instruction of SSE4.2 where the machine has it (about 8 bytes in three cycles), else by "slicing by
 * eight": table[s][b] is the sum of byte b followed by s zero bytes, so eight bytes are eight independent look-ups. The sum is
 * linear over GF(2): a row of the table is given by the sums of the eight single bits, and the preprocessor derives the rest. */
#include "base/bytes.h"

#include <string.h>

#include "base/status.h"

/* ---- CRC-32C ---------------------------------------------------------------------------------------------------------- */

#define BIT(n, b, value) ((n) >> (b) & 1 ? (value) : 0)
#define SUM(n, a, b, c, d, e, f, g, h)                                                                                             \
    (BIT(n, 0, a) ^ BIT(n, 1, b) ^ BIT(n, 2, c) ^ BIT(n, 3, d) ^ BIT(n, 4, e) ^ BIT(n, 5, f) ^ BIT(n, 6, g) ^ BIT(n, 7, h))
#define SUMS_4(n, ...) SUM((n), __VA_ARGS__), SUM((n) + 1, __VA_ARGS__), SUM((n) + 2, __VA_ARGS__), SUM((n) + 3, __VA_ARGS__)
#define SUMS_16(n, ...)                                                                                                            \
    SUMS_4((n), __VA_ARGS__), SUMS_4((n) + 4, __VA_ARGS__), SUMS_4((n) + 8, __VA_ARGS__), SUMS_4((n) + 12, __VA_ARGS__)
#define SUMS_64(n, ...)                                                                                                            \
    SUMS_16((n), __VA_ARGS__), SUMS_16((n) + 16, __VA_ARGS__), SUMS_16((n) + 32, __VA_ARGS__), SUMS_16((n) + 48, __VA_ARGS__)
#define ROW(...) {SUMS_64(0, __VA_ARGS__), SUMS_64(64, __VA_ARGS__), SUMS_64(128, __VA_ARGS__), SUMS_64(192, __VA_ARGS__)}

/* clang-format off */
static const uint32_t table[8][256] = {
    ROW(0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu, 0x82f63b78u),
    ROW(0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u, 0x3fc5f181u, 0x7f8be302u, 0xff17c604u, 0xfbc3faf9u),
    ROW(0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u, 0x70a27d8au, 0xe144fb14u, 0xc76580d9u, 0x8b277743u),
    ROW(0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u, 0xe964b13du, 0xd725148bu, 0xaba65fe7u, 0x52a0c93fu),
    ROW(0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u, 0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu, 0x6ea2d55cu),
    ROW(0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu, 0xc00c303eu, 0x85f4168du, 0x0e045bebu, 0x1c08b7d6u),
    ROW(0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u, 0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au, 0xf56e0ef4u),
    ROW(0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau, 0x847609b4u, 0x0d006599u, 0x1a00cb32u, 0x34019664u),
};
/* clang-format on */

static uint32_t load_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t sum_bytes(uint32_t crc, const uint8_t *at, size_t size) {
    for (size_t i = 0; i < size; i++) crc = crc >> 8 ^ table[0][(crc ^ at[i]) & 255];
    return crc;
}

static uint32_t sum_table(uint32_t crc, const uint8_t *at, size_t size) {
    for (; size >= 8; at += 8, size -= 8) {
        uint32_t low = crc ^ load_u32(at), high = load_u32(at + 4);
        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
              table[3][high & 255] ^ table[2][high >> 8 & 255] ^ table[1][high >> 16 & 255] ^ table[0][high >> 24];
    }
    return sum_bytes(crc, at, size);
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("sse4.2"))) static uint32_t sum_instruction(uint32_t crc, const uint8_t *at, size_t size) {
    uint64_t wide = crc;
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    return sum_bytes((uint32_t)wide, at, size);
}

static bool has_instruction(void) { return __builtin_cpu_supports("sse4.2") != 0; }
#else
static uint32_t sum_instruction(uint32_t crc, const uint8_t *at, size_t size) { return sum_table(crc, at, size); }
static bool has_instruction(void) { return false; }
#endif

uint32_t mpr_bytes_crc(uint32_t crc, const void *data, size_t size) {
    return ~(has_instruction() ? sum_instruction(~crc, data, size) : sum_table(~crc, data, size));
}

uint32_t mpr_bytes_crc_portable(uint32_t crc, const void *data, size_t size) { return ~sum_table(~crc, data, size); }

/* ---- the buffer ------------------------------------------------------------------------------------------------------- */

void mpr_buffer_free(mpr_buffer *b) {
    mpr_alloc_free(b->alloc, b->data, b->capacity, 1);
    b->data = NULL;
    b->size = b->capacity = 0;
}

void mpr_buffer_clear(mpr_buffer *b) { b->size = 0; }

/* Room for `extra` more bytes, or the sticky error. */
static bool reserve(mpr_buffer *b, size_t extra) {
    if (b->status != MPR_OK) return false;
    if (b->capacity - b->size >= extra) return true;
    size_t wanted = b->capacity < 64 ? 64 : b->capacity;
    while (wanted - b->size < extra && wanted <= SIZE_MAX / 2) wanted *= 2;
    void *block = b->data;
    if (wanted - b->size < extra || mpr_alloc_resize(b->alloc, &block, b->capacity, wanted, 1) != MPR_OK) {
        b->status = MPR_ENOMEM;
        return false;
    }
    b->data = block;
    b->capacity = wanted;
    return true;
}

void mpr_buffer_put(mpr_buffer *b, const void *data, size_t size) {
    if (size == 0 || !reserve(b, size)) return;
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

void mpr_buffer_byte(mpr_buffer *b, uint8_t value) {
    if (reserve(b, 1)) b->data[b->size++] = value;
}

static void put_little(mpr_buffer *b, uint64_t value, size_t size) {
    if (!reserve(b, size)) return;
    for (size_t i = 0; i < size; i++) b->data[b->size++] = (uint8_t)(value >> 8 * i);
}

void mpr_buffer_u32(mpr_buffer *b, uint32_t value) { put_little(b, value, 4); }
void mpr_buffer_u64(mpr_buffer *b, uint64_t value) { put_little(b, value, 8); }

void mpr_buffer_varint(mpr_buffer *b, uint64_t value) {
    if (reserve(b, MPR_VARINT_MAX)) b->size = (size_t)(mpr_varint_put(b->data + b->size, value) - b->data);
}

void mpr_buffer_signed(mpr_buffer *b, int64_t value) { mpr_buffer_varint(b, mpr_zigzag(value)); }

void mpr_buffer_hex(mpr_buffer *b, uint64_t value) {
    char digits[16], *digit = digits + sizeof digits;
    do {
        *--digit = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value > 0);
    mpr_buffer_put(b, digit, (size_t)(digits + sizeof digits - digit));
}

/* ---- the cursor ------------------------------------------------------------------------------------------------------- */

const uint8_t *mpr_cursor_take(mpr_cursor *c, size_t size) {
    if (c->bad || (size_t)(c->end - c->at) < size) {
        c->bad = true;
        return NULL;
    }
    const uint8_t *at = c->at;
    c->at += size;
    return at;
}

static uint64_t take_little(mpr_cursor *c, size_t size) {
    const uint8_t *at = mpr_cursor_take(c, size);
    uint64_t value = 0;
    for (size_t i = 0; at && i < size; i++) value |= (uint64_t)at[i] << 8 * i;
    return value;
}

uint8_t mpr_cursor_byte(mpr_cursor *c) { return (uint8_t)take_little(c, 1); }
uint32_t mpr_cursor_u32(mpr_cursor *c) { return (uint32_t)take_little(c, 4); }
uint64_t mpr_cursor_u64(mpr_cursor *c) { return take_little(c, 8); }

uint64_t mpr_cursor_varint(mpr_cursor *c) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !c->bad && c->at < c->end; shift += 7) {
        uint8_t byte = *c->at++;
        if (shift == 63 && byte > 1) break;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return value;
    }
    c->bad = true;
    return 0;
}

int64_t mpr_cursor_signed(mpr_cursor *c) { return mpr_unzigzag(mpr_cursor_varint(c)); }
