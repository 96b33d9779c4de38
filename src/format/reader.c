/* SPDX-License-Identifier: MIT
 * The snapshot reader. docs/FORMAT.md is what it holds a file to.
 *
 * Every section passes the same gates in the same order: its frame lies in the file, the frame's own sum and that of the contents are right,
 * its counts are possible for its length, and only then is anything reserved or told to the sink. The sums find accidents; against intent
 * every number is checked where it is used. What is reserved is bounded by the section being read: 32 bytes for a shape, which has at least
 * five in the file, and 16 for an edge, which has one.
 *
 * A frame that passes the end of the file is a cut, told apart from damage by the frame's own sum; a file that ends between two
 * sections without a footer is a cut, too. */
#include "format/reader.h"

#include "base/status.h"
#include "base/vec.h"
#include "format/shapes.h"

/* What the nodes of one shape have in common. */
typedef struct shape {
    mpr_seen_node node;
    uint32_t edges;
} shape;

typedef struct reader {
    mpr_sink *sink;
    mpr_alloc *alloc;
    mpr_read_report *report;
    int status;
    uint64_t types, texts, infos;
    uint64_t hashed; /* the least node that may have the next digest */
    bool finished;
    mpr_field fields[256]; /* the file's number of a field -> ours */
    uint32_t field_count;
    MPR_VEC(shape) shapes;
    MPR_VEC(mpr_seen_edge) edges;
    MPR_VEC(mpr_seen_name) names;
    predictor predictor;
} reader;

/* The columns of the block that is being read. */
typedef struct block {
    uint64_t first;
    uint32_t number[HEAD_NUMBERS];
    mpr_cursor column[COLUMN_COUNT];
    uint64_t address; /* of the last node */
    uint32_t done;    /* edges */
    uint32_t run;     /* labels that are as expected */
    uint32_t text_node; /* counted from 1; 0: no more */
} block;

static int fail(reader *r, int status, const char *message) {
    if (r->status == MPR_OK) {
        r->status = status;
        r->report->message = message;
    }
    return r->status;
}

static int reject(reader *r, const char *message) { return fail(r, MPR_EFORMAT, message); }

/* What the sink said is passed on; an MPR_EFORMAT of its needs a message, too. */
static int told(reader *r, int status) {
    if (status == MPR_EFORMAT) return reject(r, "the contents contradict each other");
    return status == MPR_OK ? MPR_OK : fail(r, status, "the receiver of the contents failed");
}

static int no_memory(reader *r) { return fail(r, MPR_ENOMEM, "no memory"); }

/* ---- varints ---------------------------------------------------------------------------------------------------------- */

/* mpr_cursor_varint with the short ones taken here. */
static inline uint64_t take_varint(mpr_cursor *c) {
    const uint8_t *at = c->at;
    if (c->end - at >= 4) {
        if (at[0] < 128) {
            c->at = at + 1;
            return at[0];
        }
        if (at[1] < 128) {
            c->at = at + 2;
            return (uint64_t)(at[0] & 127) | (uint64_t)at[1] << 7;
        }
        if (at[2] < 128) {
            c->at = at + 3;
            return (uint64_t)(at[0] & 127) | (uint64_t)(at[1] & 127) << 7 | (uint64_t)at[2] << 14;
        }
    }
    return mpr_cursor_varint(c);
}

/* A number that must fit 32 bits; else the cursor is bad. */
static uint32_t take_u32(mpr_cursor *c) {
    uint64_t value = take_varint(c);
    if (value <= UINT32_MAX) return (uint32_t)value;
    c->bad = true;
    return 0;
}

/* A length and as many bytes; NULL and a bad cursor when they are not there. */
static const char *take_string(mpr_cursor *c, size_t *length) {
    uint64_t size = take_varint(c);
    if (c->bad || size > (uint64_t)(c->end - c->at)) {
        c->bad = true;
        return NULL;
    }
    *length = (size_t)size;
    return (const char *)mpr_cursor_take(c, (size_t)size);
}

/* ---- numbers of the file ---------------------------------------------------------------------------------------------- */

/* 0 for what is no address. */
static uint64_t read_address(uint64_t disk) { return disk % 8 == 0 && disk < DISK_ADDRESS_END ? address_from_disk(disk) : 0; }

/* The label that a label on disk means; false for one that nobody writes. A field of a newer writer is an unknown one here, and keeps its bits. */
static bool read_label(const reader *r, uint32_t disk, mpr_label *out) {
    uint32_t kind = disk & 15, payload = disk >> DISK_LABEL_SHIFT;
    if (kind > DISK_KIND_MAX) return false;
    if (kind == DISK_LABEL_FIELD) {
        if (payload >= r->field_count) return false;
        payload = r->fields[payload];
    }
    *out = mpr_label_make((mpr_label_kind)label_kind_in[kind], payload) | (disk & DISK_LABEL_WEAK ? MPR_LABEL_WEAK : 0) |
           (disk & DISK_LABEL_HOUSEKEEPING ? MPR_LABEL_HOUSEKEEPING : 0);
    return mpr_label_valid(*out) != 0;
}

/* ---- the small sections ----------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t length;
} field_names[] = {
#define FIELD_NAME(id, text, weak, housekeeping) {#id, sizeof #id - 1},
    MPR_FIELDS(FIELD_NAME)
#undef FIELD_NAME
};

static mpr_field find_field(const char *name, size_t length) {
    for (uint32_t i = 0; i < MPR_FIELD_COUNT; i++)
        if (field_names[i].length == length && memcmp(field_names[i].name, name, length) == 0) return (mpr_field)i;
    return MPR_FIELD_NONE;
}

static int read_fields(reader *r, mpr_cursor c) {
    uint64_t count = take_varint(&c);
    if (r->field_count > 0 || count == 0 || count > sizeof r->fields / sizeof *r->fields)
        return reject(r, "the table of fields is a second one, empty or too long");
    for (uint64_t i = 0; i < count; i++) {
        size_t length = 0;
        const char *name = take_string(&c, &length);
        if (!name) return reject(r, "the table of fields is longer than its section");
        r->fields[i] = find_field(name, length);
    }
    r->field_count = (uint32_t)count;
    return c.at == c.end ? MPR_OK : reject(r, "the table of fields is shorter than its section");
}

/* The names of places of a type's record, into r->names. */
static int read_names(reader *r, mpr_cursor *c, uint32_t count) {
    if (count > (size_t)(c->end - c->at) / 2) return reject(r, "a type names more places than its section has bytes");
    r->names.count = 0;
    if (mpr_vec_reserve(&r->names, r->alloc, count) != MPR_OK) return no_memory(r);
    for (uint32_t i = 0; i < count; i++) {
        mpr_seen_name name = {0};
        uint32_t label = take_u32(c);
        name.text = take_string(c, &name.length);
        if (c->bad || !read_label(r, label, &name.label)) return reject(r, "a named place of a type is malformed");
        r->names.items[r->names.count++] = name;
    }
    return MPR_OK;
}

static int read_type(reader *r, mpr_cursor *c) {
    mpr_seen_type type = {0};
    uint64_t address = take_varint(c);
    type.address = read_address(address);
    type.name = take_string(c, &type.name_length);
    type.basicsize = take_u32(c);
    type.itemsize = take_u32(c);
    uint32_t flags = take_u32(c);
    type.names = take_u32(c);
    if (c->bad) return reject(r, "a type record is malformed");
    if ((type.address == 0 && address != 0) || (flags & ~DISK_TYPE_FLAGS_ALL) != 0)
        return reject(r, "a type record has an impossible address or flag");
    type.flags = type_flags_from_disk(flags);
    if (read_names(r, c, type.names) != MPR_OK) return r->status;
    type.named = r->names.items;
    r->types++;
    return told(r, r->sink->type(r->sink, &type));
}

static int read_types(reader *r, mpr_cursor c) {
    uint64_t first = take_varint(&c), count = take_varint(&c);
    if (c.bad || first != r->types || count > (uint64_t)(c.end - c.at) || r->types + count >= MPR_NO_TYPE)
        return reject(r, "type records are missing, out of order or too many");
    for (uint64_t i = 0; i < count && r->status == MPR_OK; i++) read_type(r, &c);
    if (r->status == MPR_OK && c.at != c.end) reject(r, "type records are shorter than their section");
    return r->status;
}

static bool copy_key(char *out, size_t room, const char *key, size_t length) {
    if (!key || length == 0 || length >= room) return false;
    for (size_t i = 0; i < length; i++)
        if (key[i] <= ' ' || key[i] > '~') return false;
    memcpy(out, key, length);
    out[length] = '\0';
    return true;
}

static int read_info(reader *r, mpr_cursor *c) {
    char key[64];
    mpr_seen_info info = {.key = key};
    size_t length = 0;
    const char *name = take_string(c, &length);
    uint8_t is_text = mpr_cursor_byte(c);
    if (is_text)
        info.text = take_string(c, &info.length);
    else
        info.number = mpr_cursor_signed(c);
    if (c->bad || is_text > 1 || !copy_key(key, sizeof key, name, length))
        return reject(r, "a fact about the process is malformed");
    r->infos++;
    return told(r, r->sink->info(r->sink, &info));
}

static int read_infos(reader *r, mpr_cursor c) {
    uint64_t first = take_varint(&c), count = take_varint(&c);
    if (c.bad || first != r->infos || count > (uint64_t)(c.end - c.at))
        return reject(r, "facts about the process are missing, out of order or too many");
    for (uint64_t i = 0; i < count && r->status == MPR_OK; i++) read_info(r, &c);
    if (r->status == MPR_OK && c.at != c.end) reject(r, "facts about the process are shorter than their section");
    return r->status;
}

/* Digests of nodes that were told before, in their order. */
static int read_hash(reader *r, mpr_cursor *c, uint64_t *node) {
    mpr_digest digest;
    uint64_t step = take_varint(c);
    digest.word[0] = mpr_cursor_u64(c);
    digest.word[1] = mpr_cursor_u64(c);
    if (c->bad || *node >= r->report->nodes || step >= r->report->nodes - *node || *node + step < r->hashed)
        return reject(r, "a hash of contents belongs to no node, or is out of order");
    *node += step;
    r->hashed = *node + 1;
    return r->sink->digest ? told(r, r->sink->digest(r->sink, *node, &digest)) : MPR_OK;
}

static int read_hashes(reader *r, mpr_cursor c) {
    uint64_t node = take_varint(&c), count = take_varint(&c);
    if (c.bad || count > (uint64_t)(c.end - c.at)) return reject(r, "hashes of contents are malformed or too many");
    for (uint64_t i = 0; i < count && r->status == MPR_OK; i++) read_hash(r, &c, &node);
    if (r->status == MPR_OK && c.at != c.end) reject(r, "hashes of contents are shorter than their section");
    return r->status;
}

/* The text of the last node, alone in its section. */
static int read_text(reader *r, mpr_cursor c) {
    if (r->report->nodes == 0) return reject(r, "a text stands before the first node");
    r->texts++;
    return told(r, r->sink->text(r->sink, (const char *)c.at, (size_t)(c.end - c.at)));
}

/* ---- a block: gates --------------------------------------------------------------------------------------------------- */

static int open_columns(reader *r, block *b, mpr_cursor *c) {
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        uint32_t length = b->number[HEAD_COLUMNS + i];
        const uint8_t *at = mpr_cursor_take(c, length);
        if (!at) return reject(r, "a block's columns are longer than the block");
        b->column[i] = (mpr_cursor){at, at + length, false};
    }
    return c->at == c->end ? MPR_OK : reject(r, "a block's columns are shorter than the block");
}

/* Counts first against the format's limits, then against the bytes that are there. */
static int open_block(reader *r, block *b, mpr_cursor c) {
    b->first = mpr_cursor_u64(&c);
    for (size_t i = 0; i < HEAD_NUMBERS; i++) b->number[i] = mpr_cursor_u32(&c);
    if (c.bad) return reject(r, "a block is shorter than its head");
    if (b->first != r->report->nodes) return reject(r, "a block is missing or out of order");
    const uint32_t *n = b->number;
    if (n[HEAD_NODES] > BLOCK_NODES || n[HEAD_EDGES] > BLOCK_EDGES || n[HEAD_CONTINUED] > n[HEAD_EDGES] ||
        n[HEAD_SHAPES] > n[HEAD_NODES])
        return reject(r, "a block counts more than a block may hold");
    if (n[HEAD_NODES] > n[HEAD_COLUMNS + COLUMN_ADDRESSES] || n[HEAD_NODES] > n[HEAD_COLUMNS + COLUMN_CODES] ||
        n[HEAD_EDGES] > n[HEAD_COLUMNS + COLUMN_TARGETS] || n[HEAD_SHAPES] > n[HEAD_COLUMNS + COLUMN_SHAPES] / 5)
        return reject(r, "a block counts more than its columns have bytes for");
    if (n[HEAD_CONTINUED] > 0 && b->first == 0) return reject(r, "edges stand before the first node");
    return open_columns(r, b, &c);
}

static int read_shape(reader *r, const block *b, mpr_cursor *c) {
    shape s = {0};
    s.node.type = take_u32(c);
    s.node.size = take_varint(c);
    uint32_t flags = take_u32(c);
    s.node.refcount = take_varint(c);
    s.edges = take_u32(c);
    s.node.flags = node_flags_from_disk(flags);
    if (c->bad) return reject(r, "a shape is malformed");
    if (s.node.type >= r->types) return reject(r, "a node's type has no record before it");
    if ((flags & ~DISK_NODE_FLAGS_ALL) != 0 || s.edges > b->number[HEAD_EDGES])
        return reject(r, "a shape has an unknown flag or too many edges");
    r->shapes.items[r->shapes.count++] = s;
    return MPR_OK;
}

static int read_shapes(reader *r, block *b) {
    uint32_t count = b->number[HEAD_SHAPES];
    r->shapes.count = r->edges.count = 0;
    if (mpr_vec_reserve(&r->shapes, r->alloc, count) != MPR_OK ||
        mpr_vec_reserve(&r->edges, r->alloc, b->number[HEAD_EDGES]) != MPR_OK)
        return no_memory(r);
    for (uint32_t i = 0; i < count && r->status == MPR_OK; i++) read_shape(r, b, &b->column[COLUMN_SHAPES]);
    return r->status;
}

/* ---- a block: edges --------------------------------------------------------------------------------------------------- */

/* The edges of one node, being read. */
typedef struct span {
    uint64_t own;       /* the node */
    uint64_t past[2];   /* the last targets */
    uint32_t labels[4]; /* the last labels, on disk */
    mpr_label meant[2]; /* the last two, in memory */
    uint64_t wrong;     /* bits that no target may have */
} span;

static uint64_t moved(uint64_t base, uint64_t code) { return ((base >> 4) + (uint64_t)mpr_unzigzag(code)) << 4; }

static inline uint64_t next_target(predictor *p, mpr_cursor *c, uint64_t base, const span *s) {
    uint64_t code = take_varint(c), rest = code >> 2, target;
    switch (code & 3) {
    case CODE_PLACE:
        target = moved(base, rest);
        break;
    case CODE_BEFORE:
        target = moved(s->past[0], rest);
        break;
    case CODE_CACHED:
        if (rest < CACHE_SMALL)
            target = p->small[rest];
        else
            target = p->large[(rest - CACHE_SMALL) % CACHE_LARGE];
        break;
    default:
        target = ((s->own >> 3) + (uint64_t)mpr_unzigzag(rest)) << 3;
    }
    uint32_t mix = predictor_mix(target);
    if (p->large[slot_large(mix)] == target) p->small[slot_small(mix)] = target;
    p->large[slot_large(mix)] = target;
    return target;
}

/* A label that is not as expected, and how many after it are. */
static uint32_t next_label(block *b) {
    mpr_cursor *c = &b->column[COLUMN_LABELS];
    uint32_t label = take_u32(c);
    b->run = take_u32(c);
    return label;
}

/* Set the edge; a target beyond all real addresses is translated, one beyond all addresses remembered. */
static inline void set_edge(mpr_seen_edge *edge, uint64_t target, mpr_label label, span *s) {
    edge->target = target;
    edge->label = label;
    if (target >= DISK_SYNTHETIC) {
        edge->target = read_address(target);
        s->wrong |= edge->target == 0;
    }
}

static int read_near(reader *r, block *b, span *s, place *set, uint32_t count, mpr_seen_edge *out) {
    for (uint32_t k = 0; k < count; k++) {
        place *at = &set[k];
        uint64_t target = next_target(&r->predictor, &b->column[COLUMN_TARGETS], at->target, s);
        if (b->run > 0)
            b->run--;
        else {
            at->label = next_label(b);
            if (!read_label(r, at->label, &at->meant)) return reject(r, "an edge's label is not valid");
        }
        at->target = s->past[0] = target;
        set_edge(&out[k], target, at->meant, s);
    }
    return MPR_OK;
}

/* Beyond the places: the rhythm of the last four. */
static int read_far(reader *r, block *b, span *s, uint32_t count, mpr_seen_edge *out) {
    for (uint32_t k = 0; k < count; k++) {
        uint64_t target = next_target(&r->predictor, &b->column[COLUMN_TARGETS], s->past[1], s);
        uint32_t label = label_beyond(s->labels[1], s->labels[3]);
        mpr_label meant = s->meant[1];
        if (b->run > 0)
            b->run--;
        else
            label = next_label(b);
        if (label != s->labels[1] && !read_label(r, label, &meant)) return reject(r, "an edge's label is not valid");
        s->past[1] = s->past[0];
        s->past[0] = target;
        memmove(s->labels + 1, s->labels, 3 * sizeof *s->labels);
        s->labels[0] = label;
        s->meant[1] = s->meant[0];
        s->meant[0] = meant;
        set_edge(&out[k], target, meant, s);
    }
    return MPR_OK;
}

static void leave_places(span *s, const place *set) {
    s->past[1] = set[PLACES - 2].target;
    for (unsigned i = 0; i < 4; i++) s->labels[i] = set[PLACES - 1 - i].label;
    for (unsigned i = 0; i < 2; i++) s->meant[i] = set[PLACES - 1 - i].meant;
}

/* The next `count` edges; set is NULL for edges of a node of an earlier block. */
static int read_edges(reader *r, block *b, place *set, uint32_t count) {
    span s = {.own = set ? b->address : 0};
    mpr_seen_edge *out = r->edges.items;
    uint32_t near = !set ? 0 : count < PLACES ? count : PLACES;
    if (count > b->number[HEAD_EDGES] - b->done) return reject(r, "nodes have more edges than their block");
    s.past[0] = s.own;
    int status = read_near(r, b, &s, set, near, out);
    if (status == MPR_OK && count > near) {
        if (set) leave_places(&s, set);
        status = read_far(r, b, &s, count - near, out + near);
    }
    if (status != MPR_OK) return status;
    if (b->column[COLUMN_TARGETS].bad || b->column[COLUMN_LABELS].bad) return reject(r, "a block's edges end early");
    if (s.wrong) return reject(r, "an edge refers to an impossible address");
    b->done += count;
    r->report->edges += count;
    return told(r, r->sink->edges(r->sink, out, count));
}

/* ---- a block: nodes --------------------------------------------------------------------------------------------------- */

static inline uint64_t next_address(block *b) {
    mpr_cursor *c = &b->column[COLUMN_ADDRESSES];
    uint64_t code = take_varint(c);
    if (code != 0)
        b->address = moved(b->address, code);
    else
        b->address = ((b->address >> 3) + (uint64_t)mpr_unzigzag(take_varint(c))) << 3;
    return b->address;
}

/* The number of the node that the next text belongs to, or 0. */
static int next_text(reader *r, block *b) {
    mpr_cursor *c = &b->column[COLUMN_TEXTS];
    if (c->at == c->end) {
        b->text_node = 0;
        return MPR_OK;
    }
    uint32_t step = take_u32(c);
    if (c->bad || step == 0 || step > b->number[HEAD_NODES] - b->text_node)
        return reject(r, "a text belongs to no node of its block");
    b->text_node += step;
    return MPR_OK;
}

static int read_short_text(reader *r, block *b) {
    mpr_cursor *c = &b->column[COLUMN_TEXTS];
    size_t length = 0;
    const char *text = take_string(c, &length);
    if (!text) return reject(r, "a text is longer than its column");
    r->texts++;
    int status = told(r, r->sink->text(r->sink, text, length));
    return status == MPR_OK ? next_text(r, b) : status;
}

static int read_node(reader *r, block *b, uint32_t number) {
    uint64_t address = next_address(b), code = take_varint(&b->column[COLUMN_CODES]);
    if (b->column[COLUMN_ADDRESSES].bad || b->column[COLUMN_CODES].bad) return reject(r, "a block's nodes end early");
    if (code >= r->shapes.count) return reject(r, "a node's shape is not in its block");
    shape *s = &r->shapes.items[code];
    s->node.address = address < DISK_SYNTHETIC ? address : read_address(address);
    if (s->node.address == 0 || (address >= DISK_SYNTHETIC) != ((s->node.flags & MPR_NODE_SYNTHETIC) != 0))
        return reject(r, "a node has an impossible address, or one that its flags deny");
    int status = told(r, r->sink->node(r->sink, &s->node));
    r->report->nodes++;
    if (status == MPR_OK && s->edges > 0) status = read_edges(r, b, predictor_set(&r->predictor, s->node.type), s->edges);
    if (status == MPR_OK && b->text_node == number + 1) status = read_short_text(r, b);
    return status;
}

/* Everything in the block has been used. */
static int close_block(reader *r, const block *b) {
    if (b->done != b->number[HEAD_EDGES] || b->run != 0) return reject(r, "a block has edges or labels that belong to no node");
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        if (b->column[i].at != b->column[i].end) return reject(r, "a block's column is longer than its contents");
    r->report->blocks++;
    return MPR_OK;
}

static int read_block(reader *r, mpr_cursor c) {
    block b = {0};
    if (open_block(r, &b, c) != MPR_OK || read_shapes(r, &b) != MPR_OK || next_text(r, &b) != MPR_OK) return r->status;
    memset(&r->predictor, 0, sizeof r->predictor);
    b.run = take_u32(&b.column[COLUMN_LABELS]);
    if (b.number[HEAD_CONTINUED] > 0) read_edges(r, &b, NULL, b.number[HEAD_CONTINUED]);
    for (uint32_t i = 0; i < b.number[HEAD_NODES] && r->status == MPR_OK; i++) read_node(r, &b, i);
    return r->status == MPR_OK ? close_block(r, &b) : r->status;
}

/* ---- the footer ------------------------------------------------------------------------------------------------------- */

/* The index is for readers that jump; this one has seen the blocks and only walks over it. */
static int read_footer(reader *r, mpr_cursor c, uint64_t offset) {
    const uint64_t expected[] = {r->report->nodes, r->report->edges, r->types, r->texts, r->infos, r->report->blocks};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (take_varint(&c) != expected[i] || c.bad) return reject(r, "the totals at the end contradict the contents");
    for (uint64_t i = 0; i < r->report->blocks && !c.bad; i++)
        for (unsigned k = 0; k < 3; k++) take_varint(&c);
    if (mpr_cursor_u64(&c) != offset || c.bad || c.at != c.end) return reject(r, "the footer is malformed");
    r->finished = true;
    return MPR_OK;
}

/* ---- the file --------------------------------------------------------------------------------------------------------- */

static int read_header(reader *r, mpr_cursor *c) {
    const uint8_t *header = c->at;
    if (c->end - c->at < DISK_HEADER) return reject(r, "the file is shorter than a snapshot's header");
    if (memcmp(header, DISK_MAGIC, 8) != 0) return reject(r, "the file is not a memprobe snapshot");
    mpr_cursor fixed = {header + 8, header + DISK_HEADER, false};
    if (mpr_cursor_u32(&fixed) > DISK_VERSION) return fail(r, MPR_EVERSION, "the snapshot was written by a newer memprobe");
    fixed.at = header + DISK_HEADER - 4;
    if (mpr_cursor_u32(&fixed) != mpr_bytes_crc(0, header, DISK_HEADER - 4)) return reject(r, "the header is damaged");
    fixed.at = header + 8;
    uint32_t version = mpr_cursor_u32(&fixed);
    if (version < 1 || version > DISK_VERSION) return reject(r, "the header has an impossible version");
    c->at += DISK_HEADER;
    return MPR_OK;
}

static int read_contents(reader *r, uint32_t kind, mpr_cursor c, uint64_t offset) {
    if (kind != DISK_FIELDS && r->field_count == 0 && !(kind & DISK_OPTIONAL)) return reject(r, "the table of fields is missing");
    switch (kind) {
    case DISK_FIELDS:
        return read_fields(r, c);
    case DISK_TYPES:
        return read_types(r, c);
    case DISK_BLOCK:
        return read_block(r, c);
    case DISK_TEXT:
        return read_text(r, c);
    case DISK_INFO:
        return read_infos(r, c);
    case DISK_HASHES:
        return read_hashes(r, c);
    case DISK_FOOTER:
        return read_footer(r, c, offset);
    default:
        return kind & DISK_OPTIONAL ? MPR_OK : fail(r, MPR_EVERSION, "a section is of a kind that only a newer memprobe knows");
    }
}

static int note_cut(reader *r, mpr_cursor *c, const char *message) {
    r->report->cut = true;
    r->report->message = message;
    c->at = c->end;
    return MPR_OK;
}

/* One section; a cut moves the cursor to the end. */
static int read_section(reader *r, mpr_cursor *c, uint64_t offset) {
    r->report->offset = offset;
    if (r->finished) return reject(r, "there are bytes behind the footer");
    if (c->end - c->at < DISK_FRAME) return note_cut(r, c, "the file ends within the frame of a section");
    mpr_cursor frame = {c->at, c->at + DISK_FRAME, false};
    uint32_t kind = mpr_cursor_u32(&frame), length = mpr_cursor_u32(&frame), sum = mpr_cursor_u32(&frame);
    if (mpr_cursor_u32(&frame) != mpr_bytes_crc(0, c->at, DISK_FRAME - 4)) return reject(r, "the frame of a section is damaged");
    c->at += DISK_FRAME;
    if (length > (uint64_t)(c->end - c->at)) return note_cut(r, c, "the file ends within a section");
    mpr_cursor contents = {c->at, c->at + length, false};
    if (mpr_bytes_crc(0, contents.at, length) != sum) return reject(r, "the contents of a section are damaged");
    c->at += length;
    return read_contents(r, kind, contents, offset);
}

static int read_file(reader *r, const uint8_t *data, size_t size, mpr_progress progress, void *context) {
    mpr_cursor c = {data, data + size, false};
    if (read_header(r, &c) != MPR_OK) return r->status;
    while (c.at < c.end && r->status == MPR_OK) {
        read_section(r, &c, (uint64_t)(c.at - data));
        if (r->status == MPR_OK && progress && progress(context, (uint64_t)(c.at - data), size) != 0)
            fail(r, MPR_ECANCELLED, "cancelled");
    }
    if (r->status != MPR_OK || r->report->cut) return r->status;
    r->report->offset = size;
    if (!r->finished) note_cut(r, &c, "the file ends without a footer");
    return MPR_OK;
}

int mpr_read(const uint8_t *data, size_t size, mpr_sink *sink, mpr_alloc *alloc, mpr_progress progress, void *context,
             mpr_read_report *report) {
    *report = (mpr_read_report){0};
    static const uint8_t nothing[1];
    reader *r = mpr_alloc_array(alloc, 1, sizeof *r);
    if (!r) {
        report->message = "no memory";
        return MPR_ENOMEM;
    }
    r->sink = sink;
    r->alloc = alloc;
    r->report = report;
    int status = read_file(r, data ? data : nothing, data ? size : 0, progress, context);
    mpr_vec_free(&r->shapes, alloc);
    mpr_vec_free(&r->edges, alloc);
    mpr_vec_free(&r->names, alloc);
    mpr_alloc_free(alloc, r, 1, sizeof *r);
    return status;
}
