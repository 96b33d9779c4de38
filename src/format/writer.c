/* SPDX-License-Identifier: MIT
 * The snapshot writer. A block's columns grow in one piece of memory that is laid out for the worst case when the writer is made
 * (what a block does not touch costs no memory under mpr_alloc_pages), so that telling it a node or an edge neither allocates nor
 * checks for room; a full block is summed and written. docs/FORMAT.md says what each byte means.
 *
 *   a node's columns    address, and the code of its shape: (type, size, flags, references, edges), which few values repeat in;
 *                       it is closed, and its shape known, when the next one comes
 *   an edge's columns   target and label, by predictor (shapes.h)
 *
 * The first failure is kept and every later call returns it. */
#include "format/writer.h"

#include "base/os/file.h"
#include "base/os/pages.h"
#include "base/status.h"
#include "format/shapes.h"

#define SHAPE_BYTES (3 * 5 + 2 * MPR_VARINT_MAX)
#define SHAPE_SLOTS (2 * BLOCK_NODES)
#define RECORDS_FLUSH 65536 /* bytes of type records, or of infos, that make a section */
#define HASHES_FLUSH 2097152 /* the same of digests; a block has less, unless all come at the end */

/* The most bytes that each column can have. */
static const size_t column_room[COLUMN_COUNT] = {
    [COLUMN_SHAPES] = (size_t)BLOCK_NODES * SHAPE_BYTES,
    [COLUMN_ADDRESSES] = (size_t)BLOCK_NODES * (1 + MPR_VARINT_MAX),
    [COLUMN_CODES] = (size_t)BLOCK_NODES * 3,
    [COLUMN_TARGETS] = (size_t)BLOCK_EDGES * MPR_VARINT_MAX,
    [COLUMN_LABELS] = (size_t)BLOCK_EDGES * (5 + 1) + 8,
    [COLUMN_TEXTS] = BLOCK_TEXT_BYTES,
};

typedef struct shape {
    uint64_t size, references;
    uint32_t type, flags, edges;
    uint32_t count; /* nodes of this shape in the block */
} shape;

struct mpr_writer {
    mpr_sink sink; /* first: the sink's address is the writer's */
    mpr_alloc *alloc;
    int fd, status;
    uint64_t written, nodes, edges, texts, infos, hashes, blocks;
    uint32_t types;
    uint8_t *memory; /* of the columns */
    uint8_t *column[COLUMN_COUNT], *end[COLUMN_COUNT];
    mpr_buffer type_records, info_records, hash_records, index;
    uint32_t type_count, info_count, hash_count; /* of the records that wait */
    uint64_t first_hashed, last_hashed; /* nodes of the first digest that waits, and of the last that came */

    /* the block: zeroed after each */
    uint32_t block_nodes, block_edges, continued, shape_count, run, text_slot;
    uint64_t last_address;
    bool open;           /* a node waits for its edges to be counted */
    bool told;           /* there was a node, in this block or before */
    shape current;       /* of the open node */
    uint64_t own;        /* address of the open node, or 0 in a continuation */
    uint32_t place;      /* its edges so far, counted from PLACES in a continuation */
    place *set;          /* its type's */
    uint64_t past[2];    /* targets of the last edge and the one before, of this node */
    uint32_t labels[4];  /* labels of the last four */
    uint32_t codes[BLOCK_NODES];
    shape shapes[BLOCK_NODES];
    uint32_t slots[SHAPE_SLOTS]; /* shape + 1 */
    predictor predictor;
};

static int fail(mpr_writer *w, int status) {
    if (w->status == MPR_OK) w->status = status;
    return w->status;
}

/* ---- sections --------------------------------------------------------------------------------------------------------- */

typedef struct piece {
    const void *data;
    size_t size;
} piece;

static void put_u32(uint8_t *at, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

static void put_u64(uint8_t *at, uint64_t value) {
    put_u32(at, (uint32_t)value);
    put_u32(at + 4, (uint32_t)(value >> 32));
}

static int write_bytes(mpr_writer *w, const void *data, size_t size) {
    if (w->status != MPR_OK) return w->status;
    int status = mpr_file_write(w->fd, data, size);
    if (status != MPR_OK) return fail(w, status);
    w->written += size;
    return MPR_OK;
}

/* A framed section whose contents are the pieces one after the other. */
static int write_section(mpr_writer *w, uint32_t kind, const piece *pieces, size_t count) {
    uint8_t frame[DISK_FRAME];
    uint64_t size = 0;
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        size += pieces[i].size;
        sum = mpr_bytes_crc(sum, pieces[i].data, pieces[i].size);
    }
    if (size > UINT32_MAX) return fail(w, MPR_ELIMIT);
    put_u32(frame, kind);
    put_u32(frame + 4, (uint32_t)size);
    put_u32(frame + 8, sum);
    put_u32(frame + 12, mpr_bytes_crc(0, frame, 12));
    write_bytes(w, frame, sizeof frame);
    for (size_t i = 0; i < count; i++) write_bytes(w, pieces[i].data, pieces[i].size);
    return w->status;
}

/* Records that wait, behind their first number and their count. */
static int write_records(mpr_writer *w, uint32_t kind, uint64_t first, uint32_t *count, mpr_buffer *records) {
    if (records->status != MPR_OK) return fail(w, records->status);
    if (*count == 0) return w->status;
    uint8_t head[2 * MPR_VARINT_MAX], *end = mpr_varint_put(mpr_varint_put(head, first), *count);
    piece pieces[] = {{head, (size_t)(end - head)}, {records->data, records->size}};
    write_section(w, kind, pieces, 2);
    mpr_buffer_clear(records);
    *count = 0;
    return w->status;
}

static int write_types(mpr_writer *w) {
    return write_records(w, DISK_TYPES, w->types - w->type_count, &w->type_count, &w->type_records);
}

static int write_infos(mpr_writer *w) {
    return write_records(w, DISK_INFO, w->infos - w->info_count, &w->info_count, &w->info_records);
}

/* Behind the block that has their nodes. */
static int write_hashes(mpr_writer *w) { return write_records(w, DISK_HASHES, w->first_hashed, &w->hash_count, &w->hash_records); }

static void put_string(mpr_buffer *b, const char *text, size_t length) {
    mpr_buffer_varint(b, length);
    mpr_buffer_put(b, text, length);
}

/* ---- the block -------------------------------------------------------------------------------------------------------- */

static void reset_block(mpr_writer *w) {
    for (size_t i = 0; i < COLUMN_COUNT; i++) w->end[i] = w->column[i];
    w->block_nodes = w->block_edges = w->continued = w->shape_count = w->run = w->text_slot = 0;
    w->last_address = 0;
    memset(w->slots, 0, sizeof w->slots);
    memset(&w->predictor, 0, sizeof w->predictor);
}

/* What follows belongs to the last node of an earlier block, of which the block knows nothing. */
static void begin_continuation(mpr_writer *w) {
    w->own = 0;
    w->place = PLACES;
    memset(w->past, 0, sizeof w->past);
    memset(w->labels, 0, sizeof w->labels);
}

static uint32_t hash_shape(const shape *s) {
    uint64_t h = s->size * UINT64_C(0x9E3779B97F4A7C15) ^ ((uint64_t)s->type << 32 | s->edges);
    h = (h ^ h >> 29) * UINT64_C(0xBF58476D1CE4E5B9) ^ s->references << 20 ^ s->flags;
    h *= UINT64_C(0x94D049BB133111EB);
    return (uint32_t)(h >> 40);
}

static bool same_shape(const shape *a, const shape *b) {
    return a->type == b->type && a->size == b->size && a->flags == b->flags && a->references == b->references &&
           a->edges == b->edges;
}

/* The number of the open node's shape, by order of first use. */
static uint32_t find_shape(mpr_writer *w) {
    uint32_t slot = hash_shape(&w->current) % SHAPE_SLOTS;
    while (w->slots[slot] != 0 && !same_shape(&w->shapes[w->slots[slot] - 1], &w->current)) slot = (slot + 1) % SHAPE_SLOTS;
    if (w->slots[slot] == 0) {
        w->shapes[w->shape_count] = w->current;
        w->slots[slot] = ++w->shape_count;
    }
    return w->slots[slot] - 1;
}

static void close_node(mpr_writer *w) {
    if (!w->open) return;
    uint32_t found = find_shape(w);
    w->shapes[found].count++;
    w->codes[w->block_nodes - 1] = found;
    w->open = false;
}

static void put_shape(mpr_writer *w, const shape *s) {
    if (node_flags_from_disk(node_flags_to_disk(s->flags)) != s->flags) fail(w, MPR_EFORMAT); /* a flag without a number on disk */
    uint8_t *at = w->end[COLUMN_SHAPES];
    at = mpr_varint_put(at, s->type);
    at = mpr_varint_put(at, s->size);
    at = mpr_varint_put(at, node_flags_to_disk(s->flags));
    at = mpr_varint_put(at, s->references);
    w->end[COLUMN_SHAPES] = mpr_varint_put(at, s->edges);
}

static unsigned magnitude(uint32_t count) { return 31 - (unsigned)__builtin_clz(count | 1); }

/* The column of shapes, frequent ones first (by magnitude of their counts), so that they have codes of one byte; then the codes. The hash slots
 * have done their work and hold the new numbers. */
static void put_shapes(mpr_writer *w) {
    uint32_t next = 0, *number = w->slots;
    for (unsigned power = 17; power-- > 0;)
        for (uint32_t i = 0; i < w->shape_count; i++)
            if (magnitude(w->shapes[i].count) == power) {
                put_shape(w, &w->shapes[i]);
                number[i] = next++;
            }
    uint8_t *at = w->end[COLUMN_CODES];
    for (uint32_t i = 0; i < w->block_nodes; i++) at = mpr_varint_put(at, number[w->codes[i]]);
    w->end[COLUMN_CODES] = at;
}

static void put_head(const mpr_writer *w, uint8_t *head) {
    const uint32_t numbers[] = {w->block_nodes, w->block_edges, w->continued, w->shape_count};
    put_u64(head, w->nodes - w->block_nodes);
    for (size_t i = 0; i < HEAD_COLUMNS; i++) put_u32(head + 8 + 4 * i, numbers[i]);
    for (size_t i = 0; i < COLUMN_COUNT; i++) put_u32(head + 8 + 4 * (HEAD_COLUMNS + i), (uint32_t)(w->end[i] - w->column[i]));
}

static void note_block(mpr_writer *w, uint64_t offset) {
    mpr_buffer_varint(&w->index, offset);
    mpr_buffer_varint(&w->index, w->block_nodes);
    mpr_buffer_varint(&w->index, w->block_edges);
    w->blocks++;
}

/* Write the block, if it holds anything, behind the records that it needs. */
static int write_block(mpr_writer *w) {
    write_infos(w);
    write_types(w);
    if (w->block_nodes == 0 && w->block_edges == 0) return write_hashes(w);
    close_node(w);
    w->end[COLUMN_LABELS] = mpr_varint_put(w->end[COLUMN_LABELS], w->run);
    put_shapes(w);
    uint8_t head[HEAD_SIZE];
    put_head(w, head);
    piece pieces[1 + COLUMN_COUNT] = {{head, sizeof head}};
    for (size_t i = 0; i < COLUMN_COUNT; i++) pieces[1 + i] = (piece){w->column[i], (size_t)(w->end[i] - w->column[i])};
    uint64_t offset = w->written;
    write_section(w, DISK_BLOCK, pieces, 1 + COLUMN_COUNT);
    note_block(w, offset);
    reset_block(w);
    begin_continuation(w);
    return write_hashes(w);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------ */

static void put_address(mpr_writer *w, uint64_t address) {
    uint8_t *at = w->end[COLUMN_ADDRESSES];
    uint64_t delta = mpr_zigzag((int64_t)(address >> 4) - (int64_t)(w->last_address >> 4));
    if (address % 16 != 0 || delta == 0) {
        *at++ = 0;
        delta = mpr_zigzag((int64_t)(address >> 3) - (int64_t)(w->last_address >> 3));
    }
    w->end[COLUMN_ADDRESSES] = mpr_varint_put(at, delta);
    w->last_address = address;
}

static bool address_fits(uint64_t address) {
    return address % (address < MPR_SYNTHETIC ? 8 : 16) == 0 && address < DISK_ADDRESS_END - 16 * DISK_GROUPS;
}

static bool node_fits(const mpr_writer *w, const mpr_seen_node *node) {
    bool synthetic = (node->flags & MPR_NODE_SYNTHETIC) != 0;
    return node->type < w->types && node->flags < MPR_NODE_DERIVED && address_fits(node->address) && node->address != 0 &&
           synthetic == (node->address >= MPR_SYNTHETIC);
}

static int take_node(mpr_sink *sink, const mpr_seen_node *node) {
    mpr_writer *w = (mpr_writer *)sink;
    if (w->status != MPR_OK) return w->status;
    if (!node_fits(w, node)) return fail(w, MPR_EFORMAT);
    close_node(w);
    if (w->block_nodes == BLOCK_NODES && write_block(w) != MPR_OK) return w->status;
    w->own = address_to_disk(node->address);
    put_address(w, w->own);
    w->current = (shape){node->size, node->refcount, node->type, node->flags, 0, 0};
    w->open = w->told = true;
    w->place = 0;
    w->set = predictor_set(&w->predictor, node->type);
    w->past[0] = w->own;
    w->block_nodes++;
    w->nodes++;
    return MPR_OK;
}

/* ---- edges ------------------------------------------------------------------------------------------------------------ */

static uint64_t granules(uint64_t target, uint64_t base) { return mpr_zigzag((int64_t)(target >> 4) - (int64_t)(base >> 4)); }

/* The shortest code of a target, before the caches learn it. */
static uint64_t target_code(const mpr_writer *w, uint64_t target, uint64_t base, uint32_t mix) {
    const predictor *p = &w->predictor;
    if (p->small[slot_small(mix)] == target) return (uint64_t)slot_small(mix) << 2 | CODE_CACHED;
    uint64_t code = UINT64_MAX;
    if (target % 16 == 0) {
        uint64_t a = granules(target, base), b = granules(target, w->past[0]);
        code = a <= b ? a << 2 | CODE_PLACE : b << 2 | CODE_BEFORE;
    }
    if (code >= 128 && p->large[slot_large(mix)] == target) return (uint64_t)(CACHE_SMALL + slot_large(mix)) << 2 | CODE_CACHED;
    if (code == UINT64_MAX) code = mpr_zigzag((int64_t)(target >> 3) - (int64_t)(w->own >> 3)) << 2 | CODE_ODD;
    return code;
}

static void put_target(mpr_writer *w, uint64_t target, uint64_t base) {
    predictor *p = &w->predictor;
    uint32_t mix = predictor_mix(target);
    w->end[COLUMN_TARGETS] = mpr_varint_put(w->end[COLUMN_TARGETS], target_code(w, target, base, mix));
    if (p->large[slot_large(mix)] == target) p->small[slot_small(mix)] = target;
    p->large[slot_large(mix)] = target;
}

static void put_label(mpr_writer *w, uint32_t label, uint32_t expected) {
    if (label == expected) {
        w->run++;
        return;
    }
    uint8_t *at = mpr_varint_put(w->end[COLUMN_LABELS], w->run);
    w->end[COLUMN_LABELS] = mpr_varint_put(at, label);
    w->run = 0;
}

/* An edge among the first of its node: its place in the type's set is what it is compared with, and what it leaves behind. */
static void put_near(mpr_writer *w, uint64_t target, uint32_t label) {
    place *at = &w->set[w->place];
    put_target(w, target, at->target);
    put_label(w, label, at->label);
    at->target = target;
    at->label = label;
    w->past[0] = target;
    if (++w->place < PLACES) return;
    w->past[1] = w->set[PLACES - 2].target;
    for (unsigned i = 0; i < 4; i++) w->labels[i] = w->set[PLACES - 1 - i].label;
}

static void put_far(mpr_writer *w, uint64_t target, uint32_t label) {
    put_target(w, target, w->past[1]);
    put_label(w, label, label_beyond(w->labels[1], w->labels[3]));
    w->past[1] = w->past[0];
    w->past[0] = target;
    memmove(w->labels + 1, w->labels, 3 * sizeof *w->labels);
    w->labels[0] = label;
}

static int take_edges(mpr_sink *sink, const mpr_seen_edge *edges, size_t count) {
    mpr_writer *w = (mpr_writer *)sink;
    if (w->status == MPR_OK && !w->told) return fail(w, MPR_EFORMAT);
    for (size_t i = 0; w->status == MPR_OK && i < count; i++) {
        if (!address_fits(edges[i].target) || !mpr_label_valid(edges[i].label)) return fail(w, MPR_EFORMAT);
        if (w->block_edges == BLOCK_EDGES && write_block(w) != MPR_OK) return w->status;
        uint64_t target = address_to_disk(edges[i].target);
        uint32_t label = label_to_disk(edges[i].label);
        if (w->place < PLACES)
            put_near(w, target, label);
        else
            put_far(w, target, label);
        w->block_edges++;
        w->edges++;
        if (w->open)
            w->current.edges++;
        else
            w->continued++;
    }
    return w->status;
}

/* ---- texts, types, facts ---------------------------------------------------------------------------------------------- */

/* A text of any length, behind the block that ends with its node: written from where it stands. */
static int write_text(mpr_writer *w, const char *text, size_t length) {
    write_block(w);
    piece pieces[] = {{text, length}};
    return write_section(w, DISK_TEXT, pieces, 1);
}

/* Within a block a text stands behind the number of its node, counted from 1, as a difference. */
static int take_text(mpr_sink *sink, const char *text, size_t length) {
    mpr_writer *w = (mpr_writer *)sink;
    if (w->status != MPR_OK) return w->status;
    if (!w->told || (w->block_nodes > 0 && w->text_slot == w->block_nodes)) return fail(w, MPR_EFORMAT);
    w->texts++;
    if (length > BLOCK_TEXT_LONG || w->block_nodes == 0) return write_text(w, text, length);
    size_t used = (size_t)(w->end[COLUMN_TEXTS] - w->column[COLUMN_TEXTS]);
    if (used + length + 2 * MPR_VARINT_MAX > BLOCK_TEXT_BYTES) return write_text(w, text, length);
    uint8_t *at = mpr_varint_put(w->end[COLUMN_TEXTS], w->block_nodes - w->text_slot);
    at = mpr_varint_put(at, length);
    if (length > 0) memcpy(at, text, length);
    w->end[COLUMN_TEXTS] = at + length;
    w->text_slot = w->block_nodes;
    return MPR_OK;
}

static int take_digest(mpr_sink *sink, uint64_t node, const mpr_digest *digest) {
    mpr_writer *w = (mpr_writer *)sink;
    mpr_buffer *b = &w->hash_records;
    if (w->status != MPR_OK) return w->status;
    if (node >= w->nodes || (w->hashes > 0 && node <= w->last_hashed)) return fail(w, MPR_EFORMAT);
    if (w->hash_count == 0) w->first_hashed = w->last_hashed = node;
    mpr_buffer_varint(b, node - w->last_hashed);
    mpr_buffer_u64(b, digest->word[0]);
    mpr_buffer_u64(b, digest->word[1]);
    w->last_hashed = node;
    w->hashes++;
    w->hash_count++;
    return b->size < HASHES_FLUSH && b->status == MPR_OK ? MPR_OK : write_block(w);
}

static int take_type(mpr_sink *sink, const mpr_seen_type *type) {
    mpr_writer *w = (mpr_writer *)sink;
    mpr_buffer *b = &w->type_records;
    if (w->status != MPR_OK) return w->status;
    if (w->types == MPR_NO_TYPE || !address_fits(type->address) ||
        type_flags_from_disk(type_flags_to_disk(type->flags)) != type->flags)
        return fail(w, MPR_EFORMAT);
    mpr_buffer_varint(b, address_to_disk(type->address));
    put_string(b, type->name, type->name_length);
    mpr_buffer_varint(b, type->basicsize);
    mpr_buffer_varint(b, type->itemsize);
    mpr_buffer_varint(b, type_flags_to_disk(type->flags));
    mpr_buffer_varint(b, type->names);
    for (uint32_t i = 0; i < type->names; i++) {
        mpr_buffer_varint(b, label_to_disk(type->named[i].label));
        put_string(b, type->named[i].text, type->named[i].length);
    }
    w->types++;
    w->type_count++;
    return b->size < RECORDS_FLUSH && b->status == MPR_OK ? MPR_OK : write_types(w);
}

static int take_info(mpr_sink *sink, const mpr_seen_info *info) {
    mpr_writer *w = (mpr_writer *)sink;
    mpr_buffer *b = &w->info_records;
    if (w->status != MPR_OK) return w->status;
    put_string(b, info->key, strlen(info->key));
    mpr_buffer_byte(b, info->text != NULL);
    if (info->text)
        put_string(b, info->text, info->length);
    else
        mpr_buffer_signed(b, info->number);
    w->infos++;
    w->info_count++;
    return b->size < RECORDS_FLUSH && b->status == MPR_OK ? MPR_OK : write_infos(w);
}

/* ---- life ------------------------------------------------------------------------------------------------------------- */

static int write_header(mpr_writer *w) {
    uint8_t header[DISK_HEADER] = DISK_MAGIC;
    put_u32(header + 8, DISK_VERSION);
    if (mpr_file_random(header + DISK_SALT, DISK_SALT) != MPR_OK) return fail(w, MPR_EIO);
    put_u32(header + DISK_HEADER - 4, mpr_bytes_crc(0, header, DISK_HEADER - 4));
    return write_bytes(w, header, sizeof header);
}

/* The names of the fields, whose numbers in this file are their order in it. */
static int write_fields(mpr_writer *w) {
    mpr_buffer b = {.alloc = w->alloc};
    mpr_buffer_varint(&b, MPR_FIELD_COUNT);
#define FIELD_NAME(id, text, weak, housekeeping) put_string(&b, #id, sizeof #id - 1);
    MPR_FIELDS(FIELD_NAME)
#undef FIELD_NAME
    piece pieces[] = {{b.data, b.size}};
    int status = b.status == MPR_OK ? write_section(w, DISK_FIELDS, pieces, 1) : fail(w, b.status);
    mpr_buffer_free(&b);
    return status;
}

static size_t columns_size(void) {
    size_t size = 0;
    for (size_t i = 0; i < COLUMN_COUNT; i++) size += column_room[i];
    return size;
}

static void lay_columns(mpr_writer *w) {
    uint8_t *at = w->memory;
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        w->column[i] = w->end[i] = at;
        at += column_room[i];
    }
}

int mpr_writer_new(mpr_writer **out, mpr_alloc *alloc, int fd) {
    mpr_writer *w = mpr_alloc_array(alloc, 1, sizeof *w);
    if (!w) return MPR_ENOMEM;
    w->sink = (mpr_sink){
        .type = take_type, .node = take_node, .edges = take_edges, .text = take_text, .info = take_info, .digest = take_digest};
    w->alloc = w->type_records.alloc = w->info_records.alloc = w->hash_records.alloc = w->index.alloc = alloc;
    w->fd = fd;
    w->memory = mpr_alloc_array(alloc, columns_size(), 1);
    int status = w->memory ? MPR_OK : MPR_ENOMEM;
    if (status == MPR_OK) {
        lay_columns(w);
        begin_continuation(w);
        status = write_header(w);
    }
    if (status == MPR_OK) status = write_fields(w);
    if (status != MPR_OK) {
        mpr_writer_free(w);
        return status;
    }
    *out = w;
    return MPR_OK;
}

mpr_sink *mpr_writer_sink(mpr_writer *writer) { return &writer->sink; }

int mpr_writer_finish(mpr_writer *w) {
    write_block(w);
    mpr_buffer b = {.alloc = w->alloc, .status = w->index.status};
    uint8_t trailer[DISK_TRAILER];
    const uint64_t totals[] = {w->nodes, w->edges, w->types, w->texts, w->infos, w->blocks};
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++) mpr_buffer_varint(&b, totals[i]);
    put_u64(trailer, w->written);
    piece pieces[] = {{b.data, b.size}, {w->index.data, w->index.size}, {trailer, sizeof trailer}};
    if (b.status != MPR_OK)
        fail(w, b.status);
    else if (w->status == MPR_OK)
        write_section(w, DISK_FOOTER, pieces, 3);
    mpr_buffer_free(&b);
    return w->status;
}

uint64_t mpr_writer_bytes(const mpr_writer *writer) { return writer->written; }
uint64_t mpr_writer_nodes(const mpr_writer *writer) { return writer->nodes; }
uint64_t mpr_writer_edges(const mpr_writer *writer) { return writer->edges; }

size_t mpr_writer_resident(const mpr_writer *w) {
    return mpr_pages_resident(w, sizeof *w) + mpr_pages_resident(w->memory, columns_size());
}

void mpr_writer_free(mpr_writer *w) {
    if (!w) return;
    mpr_buffer_free(&w->type_records);
    mpr_buffer_free(&w->info_records);
    mpr_buffer_free(&w->hash_records);
    mpr_buffer_free(&w->index);
    mpr_alloc_free(w->alloc, w->memory, columns_size(), 1);
    mpr_alloc_free(w->alloc, w, 1, sizeof *w);
}
