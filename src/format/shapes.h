/* SPDX-License-Identifier: MIT
 * The numbers of the snapshot file (docs/FORMAT.md has the prose), their translation to and from the numbers in memory, and the
 * predictor that writer and reader run in step. Internal to format/: nothing else may include it.
 *
 * Numbers on disk are spelled out here and never change; numbers in memory may. What has many members and grows (the fields) is
 * not numbered here at all: a file carries its own table of their names. */
#ifndef MPR_FORMAT_SHAPES_H
#define MPR_FORMAT_SHAPES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "graph/sink.h"

/* ---- header and frames ---------------------------------------------------------------------------------------------- */

#define DISK_MAGIC "\x8fmprobe\n"
/* 1: without the flag of bounded containers, 2: without those on native memory of types, 3: without native blocks, their types, root group and references */
#define DISK_VERSION 4u
#define DISK_HEADER 36  /* magic 8, version 4, reserved 4, salt 16, sum 4 */
#define DISK_SALT 16    /* offset and length of the salt */
#define DISK_FRAME 16   /* kind, length of the contents, sum of the contents, sum of the twelve bytes before */
#define DISK_TRAILER 8  /* the footer's last bytes: where its frame begins */

#define DISK_KIND(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define DISK_FIELDS DISK_KIND('F', 'L', 'D', 'S')
#define DISK_TYPES DISK_KIND('T', 'Y', 'P', 'E')
#define DISK_BLOCK DISK_KIND('N', 'O', 'D', 'E')
#define DISK_TEXT DISK_KIND('T', 'E', 'X', 'T')
#define DISK_INFO DISK_KIND('I', 'N', 'F', 'O')
#define DISK_HASHES DISK_KIND('h', 'A', 'S', 'H')
#define DISK_FOOTER DISK_KIND('D', 'O', 'N', 'E')
#define DISK_OPTIONAL 0x20u /* set in a kind's first letter (a small one): who does not know it skips it */

/* ---- a block -------------------------------------------------------------------------------------------------------- */

#define BLOCK_NODES 65536u
#define BLOCK_EDGES 262144u
#define BLOCK_TEXT_BYTES 1048576u /* of the column of texts */
#define BLOCK_TEXT_LONG 4096u     /* a longer text has a section of its own */

/* The block's head: 8 bytes and ten times 4, in this order. */
enum {
    HEAD_NODES,     /* nodes that begin in the block */
    HEAD_EDGES,     /* edges in the block */
    HEAD_CONTINUED, /* of them: edges of the last node of an earlier block */
    HEAD_SHAPES,
    HEAD_COLUMNS, /* here begin the lengths of the columns in bytes */
    HEAD_NUMBERS = HEAD_COLUMNS + 6
};
#define HEAD_SIZE (8 + 4 * HEAD_NUMBERS)

enum { COLUMN_SHAPES, COLUMN_ADDRESSES, COLUMN_CODES, COLUMN_TARGETS, COLUMN_LABELS, COLUMN_TEXTS, COLUMN_COUNT };

/* ---- labels --------------------------------------------------------------------------------------------------------- */

/* A label on disk: payload << 6 | weak << 5 | housekeeping << 4 | kind; small payloads make short varints. */
#define DISK_LABEL_WEAK 0x20u
#define DISK_LABEL_HOUSEKEEPING 0x10u
#define DISK_LABEL_SHIFT 6
#define DISK_KIND_MAX 14
#define DISK_LABEL_FIELD 1u

/* kind in memory, kind on disk; label 0 must be OFFSET 0 in both, for predictions begin with it. */
#define DISK_LABEL_KINDS(X)                                                                                                        \
    X(MPR_LABEL_OFFSET, 0)                                                                                                         \
    X(MPR_LABEL_FIELD, 1)                                                                                                          \
    X(MPR_LABEL_INDEX, 2)                                                                                                          \
    X(MPR_LABEL_KEY, 3)                                                                                                            \
    X(MPR_LABEL_VALUE, 4)                                                                                                          \
    X(MPR_LABEL_ATTR, 5)                                                                                                           \
    X(MPR_LABEL_INLINE, 6)                                                                                                         \
    X(MPR_LABEL_NAME, 7)                                                                                                           \
    X(MPR_LABEL_LOCAL, 8)                                                                                                          \
    X(MPR_LABEL_CELL, 9)                                                                                                           \
    X(MPR_LABEL_STACK, 10)                                                                                                         \
    X(MPR_LABEL_ELEMENT, 11)                                                                                                       \
    X(MPR_LABEL_CHILD, 12)                                                                                                         \
    X(MPR_LABEL_NATIVE, 13)                                                                                                        \
    X(MPR_LABEL_DOUBTED, 14)

#define LABEL_ROW_OUT(memory, disk) [memory] = (disk),
#define LABEL_ROW_IN(memory, disk) [disk] = (memory),
static const uint8_t label_kind_out[16] = {DISK_LABEL_KINDS(LABEL_ROW_OUT)};
static const uint8_t label_kind_in[DISK_KIND_MAX + 1] = {DISK_LABEL_KINDS(LABEL_ROW_IN)};

static inline uint32_t label_to_disk(mpr_label label) {
    return mpr_label_payload(label) << DISK_LABEL_SHIFT | (label & MPR_LABEL_WEAK ? DISK_LABEL_WEAK : 0) |
           (label & MPR_LABEL_HOUSEKEEPING ? DISK_LABEL_HOUSEKEEPING : 0) | label_kind_out[mpr_label_kind_of(label)];
}

/* ---- flags ---------------------------------------------------------------------------------------------------------- */

/* bit in memory, bit on disk */
#define DISK_NODE_FLAGS(X)                                                                                                         \
    X(MPR_NODE_TRACKED, 0x0001u)                                                                                                   \
    X(MPR_NODE_IMMORTAL, 0x0002u)                                                                                                  \
    X(MPR_NODE_INTERNED, 0x0004u)                                                                                                  \
    X(MPR_NODE_FROZEN, 0x0008u)                                                                                                    \
    X(MPR_NODE_ESTIMATED, 0x0010u)                                                                                                 \
    X(MPR_NODE_STATIC, 0x0020u)                                                                                                    \
    X(MPR_NODE_SYNTHETIC, 0x0040u)                                                                                                 \
    X(MPR_NODE_TYPE, 0x0080u)                                                                                                      \
    X(MPR_NODE_MODULE, 0x0100u)                                                                                                    \
    X(MPR_NODE_OWN_WALL, 0x0200u)                                                                                                  \
    X(MPR_NODE_BOUNDED, 0x0400u)                                                                                                   \
    X(MPR_NODE_NATIVE, 0x0800u)
#define DISK_NODE_FLAGS_ALL 0x0fffu

#define DISK_TYPE_HEAP 1u
#define DISK_TYPE_MAY_HOLD_NATIVE 2u
#define DISK_TYPE_OWN_POOL 4u
#define DISK_TYPE_NATIVE 8u
#define DISK_TYPE_FLAGS_ALL 15u

static inline uint32_t type_flags_to_disk(uint32_t flags) {
    return (flags & MPR_TYPE_HEAP ? DISK_TYPE_HEAP : 0) | (flags & MPR_TYPE_MAY_HOLD_NATIVE ? DISK_TYPE_MAY_HOLD_NATIVE : 0) |
           (flags & MPR_TYPE_OWN_POOL ? DISK_TYPE_OWN_POOL : 0) | (flags & MPR_TYPE_NATIVE ? DISK_TYPE_NATIVE : 0);
}

static inline uint32_t type_flags_from_disk(uint32_t flags) {
    return (flags & DISK_TYPE_HEAP ? MPR_TYPE_HEAP : 0) | (flags & DISK_TYPE_MAY_HOLD_NATIVE ? MPR_TYPE_MAY_HOLD_NATIVE : 0) |
           (flags & DISK_TYPE_OWN_POOL ? MPR_TYPE_OWN_POOL : 0) | (flags & DISK_TYPE_NATIVE ? MPR_TYPE_NATIVE : 0);
}

static inline uint32_t node_flags_to_disk(uint32_t flags) {
    uint32_t out = 0;
#define FLAG_OUT(memory, disk) out |= flags & (memory) ? (disk) : 0;
    DISK_NODE_FLAGS(FLAG_OUT)
#undef FLAG_OUT
    return out;
}

static inline uint32_t node_flags_from_disk(uint32_t flags) {
    uint32_t out = 0;
#define FLAG_IN(memory, disk) out |= flags & (disk) ? (memory) : 0;
    DISK_NODE_FLAGS(FLAG_IN)
#undef FLAG_IN
    return out;
}

/* ---- addresses ------------------------------------------------------------------------------------------------------ */

/* Synthetic nodes on disk: DISK_SYNTHETIC + 16 * n. The root groups have the numbers below DISK_GROUPS, threads and frames follow. */
#define DISK_SYNTHETIC (UINT64_C(1) << 48)
#define DISK_ADDRESS_END (UINT64_C(1) << 49)
#define DISK_GROUPS 64u

/* group in memory, number on disk */
#define DISK_GROUP_NUMBERS(X)                                                                                                      \
    X(MPR_GROUP_ROOT, 0)                                                                                                           \
    X(MPR_GROUP_THREADS, 1)                                                                                                        \
    X(MPR_GROUP_MODULES, 2)                                                                                                        \
    X(MPR_GROUP_INTERPRETER, 3)                                                                                                    \
    X(MPR_GROUP_STATIC, 4)                                                                                                         \
    X(MPR_GROUP_INTERNED, 5)                                                                                                       \
    X(MPR_GROUP_C_REFERENCES, 6)                                                                                                   \
    X(MPR_GROUP_UNREACHABLE, 7)                                                                                                    \
    X(MPR_GROUP_NATIVE, 8)                                                                                                         \
    X(MPR_GROUP_LOST, 9)
#define DISK_GROUP_MAX 9

#define GROUP_ROW_OUT(memory, disk) [memory] = (disk),
#define GROUP_ROW_IN(memory, disk) [disk] = (memory),
static const uint8_t group_out[MPR_GROUP_COUNT] = {DISK_GROUP_NUMBERS(GROUP_ROW_OUT)};
static const uint8_t group_in[DISK_GROUP_MAX + 1] = {DISK_GROUP_NUMBERS(GROUP_ROW_IN)};

static inline uint64_t address_to_disk(uint64_t address) {
    if (address < MPR_SYNTHETIC) return address;
    uint64_t n = (address - MPR_SYNTHETIC) / 16;
    return DISK_SYNTHETIC + 16 * (n < MPR_GROUP_COUNT ? group_out[n] : n - MPR_GROUP_COUNT + DISK_GROUPS);
}

/* 0 is no address: a number that this version has no name for. */
static inline uint64_t address_from_disk(uint64_t address) {
    if (address < DISK_SYNTHETIC) return address;
    uint64_t n = (address - DISK_SYNTHETIC) / 16;
    if (n < DISK_GROUPS) return n > DISK_GROUP_MAX || address % 16 != 0 ? 0 : MPR_SYNTHETIC + 16 * (uint64_t)group_in[n];
    return MPR_SYNTHETIC + 16 * (n - DISK_GROUPS + MPR_GROUP_COUNT);
}

/* ---- the predictor -------------------------------------------------------------------------------------------------- */

/* Both sides remember, for the type of the node and the place of the edge in it, what stood there last (instances of one type are
 * alike, and their attributes were allocated in step), and two caches of targets that many objects share. All begin as zero in
 * each block, so a block is read without its predecessors. */
#define PLACES 16u            /* edges of a node with a memory of their own */
#define PLACE_SETS 256u       /* sets of places: by type */
#define CACHE_SMALL 32u       /* targets met at least twice: a code of one byte */
#define CACHE_LARGE 4096u     /* targets met: a code of two bytes */

/* A target's code is a varint; its two low bits say what the rest is. */
#define CODE_PLACE 0u  /* zigzag of granules from the last target in this place; from the edge before the last, beyond PLACES */
#define CODE_BEFORE 1u /* zigzag of granules from the target of the edge before, or for the first edge from the node */
#define CODE_CACHED 2u /* a slot of the small cache, or CACHE_SMALL + a slot of the large one */
#define CODE_ODD 3u    /* zigzag of 8-byte units from the node: for what is not a multiple of 16 */

typedef struct place {
    uint64_t target;
    uint32_t label; /* on disk */
    mpr_label meant; /* the reader's: in memory */
} place;

typedef struct predictor {
    place places[PLACE_SETS * PLACES];
    uint64_t small[CACHE_SMALL];
    uint64_t large[CACHE_LARGE];
} predictor;

static inline place *predictor_set(predictor *p, uint32_t type) { return &p->places[type % PLACE_SETS * PLACES]; }

static inline uint32_t predictor_mix(uint64_t target) { return (uint32_t)((target >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> 48); }
static inline uint32_t slot_small(uint32_t mix) { return mix % CACHE_SMALL; }
static inline uint32_t slot_large(uint32_t mix) { return (mix >> 4) % CACHE_LARGE; }

/* The place number k >= PLACES is expected to continue a rhythm of two: [0] [1] [2], or key value key value. */
static inline uint32_t label_beyond(uint32_t two_back, uint32_t four_back) { return 2 * two_back - four_back; }

#endif
