/* SPDX-License-Identifier: MIT
 * SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): a keyed hash whose values say
 * nothing about what was hashed to who does not have the key. */
#ifndef MPR_BASE_SIPHASH_H
#define MPR_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct mpr_digest {
    uint64_t word[2];
} mpr_digest;

/* The key is two numbers, as the paper's little-endian k0 and k1. */
mpr_digest mpr_siphash(const uint64_t key[2], const void *data, size_t size);

#endif
