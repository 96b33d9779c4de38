/* SPDX-License-Identifier: MIT
 * Bytes out and bytes in. The writer buffers, sums (CRC-32C) and has a sticky error: write freely, ask once. The reader is a cursor
 * over bytes that nobody vouched for: it never passes its end, and says so by its own sticky flag.
 *
 * Numbers are little-endian; a varint is LEB128 (7 bits a byte, low first); a signed one is zigzag. */
#ifndef MPR_BASE_BYTES_H
#define MPR_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

/* CRC-32C (Castagnoli) of `size` bytes, continued from `crc` (0 to begin). */
uint32_t mpr_bytes_crc(uint32_t crc, const void *data, size_t size);

/* The same by tables alone, whatever the machine has: for machines without the instruction, and to test one against the other. */
uint32_t mpr_bytes_crc_portable(uint32_t crc, const void *data, size_t size);

#define MPR_VARINT_MAX 10 /* bytes of the longest varint */

static inline uint64_t mpr_zigzag(int64_t value) { return (uint64_t)value << 1 ^ (uint64_t)(value >> 63); }
static inline int64_t mpr_unzigzag(uint64_t value) { return (int64_t)(value >> 1 ^ (0 - (value & 1))); }

/* Write a varint where there is room for MPR_VARINT_MAX bytes; the place after it. */
static inline uint8_t *mpr_varint_put(uint8_t *at, uint64_t value) {
    for (; value >= 128; value >>= 7) *at++ = (uint8_t)(value | 128);
    *at++ = (uint8_t)value;
    return at;
}

/* A growing buffer with a sticky error. A zeroed struct with alloc set is an empty one. */
typedef struct mpr_buffer {
    mpr_alloc *alloc;
    uint8_t *data;
    size_t size, capacity;
    int status; /* MPR_OK, or the first failure: then every later put does nothing */
} mpr_buffer;

void mpr_buffer_free(mpr_buffer *b);
void mpr_buffer_clear(mpr_buffer *b); /* keep the block, forget the bytes; the error stays */
void mpr_buffer_put(mpr_buffer *b, const void *data, size_t size);
void mpr_buffer_byte(mpr_buffer *b, uint8_t value);
void mpr_buffer_u32(mpr_buffer *b, uint32_t value);
void mpr_buffer_u64(mpr_buffer *b, uint64_t value);
void mpr_buffer_varint(mpr_buffer *b, uint64_t value);
void mpr_buffer_signed(mpr_buffer *b, int64_t value);
void mpr_buffer_hex(mpr_buffer *b, uint64_t value); /* its digits, without leading zeros */

typedef struct mpr_cursor {
    const uint8_t *at, *end;
    bool bad; /* something did not fit, or was malformed: every later get gives 0 */
} mpr_cursor;

uint8_t mpr_cursor_byte(mpr_cursor *c);
uint32_t mpr_cursor_u32(mpr_cursor *c);
uint64_t mpr_cursor_u64(mpr_cursor *c);
uint64_t mpr_cursor_varint(mpr_cursor *c);
int64_t mpr_cursor_signed(mpr_cursor *c);
const uint8_t *mpr_cursor_take(mpr_cursor *c, size_t size); /* NULL and bad when fewer are left */

#endif
