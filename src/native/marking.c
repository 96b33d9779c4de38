/* SPDX-License-Identifier: MIT
 * See native/marking.h. What is marked is taken from the work list some blocks at a time, in the order of addresses. */
#include "native/marking.h"

#include <string.h>

#include "base/os/maps.h"
#include "base/status.h"
#include "native/chunks.h"
#include "native/elf.h"
#include "native/jemalloc.h"
#include "native/pools.h"

#define TAKEN 32                          /* blocks */
#define SPARSE_LEAST (UINT64_C(64) << 10) /* bytes of a block whose pages may not all have been written to */
#define PAGE UINT64_C(4096)
#define NAME_MOST 200 /* of a type */

static void fail(mpr_marking *m, int status) { m->status = m->status == MPR_OK ? status : m->status; }

/* ---- begin ---- */

static bool every_pool(void *context, uint64_t base, uint32_t used) {
    (void)context, (void)base, (void)used;
    return true;
}

static void add_pooled(void *context, const mpr_block *block) {
    mpr_marking *m = context;
    fail(m, mpr_blocks_add_pooled(&m->blocks, block->address, block->size));
}

int mpr_marking_begin(mpr_marking *m, mpr_alloc *alloc, const mpr_account_more *more) {
    *m = (mpr_marking){.alloc = alloc,
                       .more = more,
                       .roots = {.alloc = alloc},
                       .first_words = {.alloc = alloc},
                       .name = {.alloc = alloc},
                       .images = {.alloc = alloc}};
    m->pages = mpr_maps_open(0, MPR_MAPS_PAGES);
    m->memory = mpr_maps_open(0, MPR_MAPS_MEMORY);
    m->copy = mpr_alloc_array(alloc, MPR_MARKING_COPY, 1);
    mpr_blocks_init(&m->blocks, alloc);
    mpr_workset_init(&m->marked, alloc);
    if (m->copy == NULL || m->pages.inode == 0 || m->memory.inode == 0) {
        return m->copy == NULL ? MPR_ENOMEM : MPR_EUNSUPPORTED;
    }
    int status = mpr_in_use_add(&m->blocks, &more->regions, &m->in_use);
    if (status == MPR_OK && m->in_use.main_arena != 0) {
        status = mpr_roots_add_hole(&m->roots, m->in_use.main_arena, m->in_use.main_arena + MPR_IN_USE_BINS);
    }
    for (size_t i = 0; status == MPR_OK && i < more->regions.region.count; i++) {
        const mpr_chunks_region *region = &more->regions.region.items[i];
        uint64_t begin = region->kind == MPR_CHUNKS_OTHER ? region->begin & ~(MPR_CHUNKS_HEAP - 1) : region->begin;
        status = mpr_roots_add_hole(&m->roots, begin, region->end); /* and what is before it of an arena */
    }
    for (size_t i = 0; status == MPR_OK && i < more->arenas.count; i++) {
        status = mpr_roots_add_hole(&m->roots, more->arenas.items[i].begin, more->arenas.items[i].begin + MPR_POOLS_ARENA);
    }
    mpr_blocks_add_slots(&m->blocks, &more->slots);
    if (status == MPR_OK) {
        status = mpr_pools_each_block(true, &(mpr_pools_client){.wanted = every_pool, .each = add_pooled, .context = m});
        status = status == MPR_EUNSUPPORTED || status == MPR_EIO ? MPR_OK : status;
    }
    return status == MPR_OK ? m->status : status;
}

void mpr_marking_free(mpr_marking *m) {
    mpr_held_close(&m->pages);
    mpr_held_close(&m->memory);
    mpr_alloc_free(m->alloc, m->copy, MPR_MARKING_COPY, 1);
    mpr_blocks_free(&m->blocks);
    mpr_workset_free(&m->marked);
    mpr_roots_free(&m->roots);
    mpr_map_free(&m->first_words);
    mpr_vec_free(&m->named, m->alloc);
    mpr_buffer_free(&m->name);
    mpr_buffer_free(&m->images);
}

void mpr_marking_exclude(mpr_marking *m, uint64_t address) {
    uint64_t begin = m->before == 0 ? address : mpr_blocks_find(&m->blocks, address);
    if (begin != 0 && address - begin <= 2 * m->before) {
        fail(m, mpr_blocks_remove(&m->blocks, begin));
    }
}

static void mark(mpr_marking *m, uint64_t begin) {
    int marked = mpr_workset_mark(&m->marked, begin);
    if (marked < 0) {
        fail(m, marked);
    }
}

uint64_t mpr_marking_mark(mpr_marking *m, uint64_t word) {
    uint64_t begin = mpr_marking_find(m, word);
    if (begin != 0) {
        mark(m, begin);
    }
    return begin;
}

/* ---- blocks of objects ---- */

/* Does an object begin so many bytes behind the beginning of a block of a size, or behind what it has before itself? */
static bool has_object_at(const mpr_marking *m, uint64_t begin, uint64_t size, uint64_t before) {
    uint64_t granules = before < size ? (size - before) / 16 : 0;
    unsigned places = granules >= 3 ? 7 : (1u << granules) - 1;
    return (mpr_addrset_three(m->objects, begin + before) & places) != 0;
}

/* Where pymalloc's own memory comes from malloc, a block has the hooks of both. */
static bool has_object(mpr_marking *m, uint64_t begin) {
    uint64_t size = mpr_blocks_size(&m->blocks, begin);
    return has_object_at(m, begin, size, m->before) || (m->before > 0 && has_object_at(m, begin, size, 2 * m->before));
}

static int exclude_object(void *context, uint64_t begin) {
    mpr_marking *m = context;
    return has_object(m, begin) ? mpr_blocks_remove(&m->blocks, begin) : MPR_OK;
}

/* Slots are not gone through one by one: whether an object has one is asked when something leads to it, as where jemalloc is Python's malloc. */
static bool is_of_object(mpr_marking *m, uint64_t begin) {
    bool of_object = mpr_blocks_is_slot(&m->blocks, begin) && has_object(m, begin);
    if (of_object) {
        fail(m, mpr_blocks_remove(&m->blocks, begin));
    }
    return of_object;
}

/* The lowest and the highest address that a word may have to be of interest. */
static void find_bounds(mpr_marking *m) {
    m->lowest = m->blocks.lowest, m->end = m->blocks.end;
    for (size_t i = 0; i < m->objects->number.count; i++) {
        uint64_t begin = m->objects->number.items[i] << MPR_PAGE_SHIFT, end = begin + (UINT64_C(1) << MPR_PAGE_SHIFT);
        m->lowest = begin < m->lowest ? begin : m->lowest;
        m->end = end > m->end ? end : m->end;
    }
}

/* ---- emitting ---- */

static void flush(mpr_marking *m) {
    if (m->edge_count > 0 && m->status == MPR_OK) {
        m->status = m->sink->edges(m->sink, m->edges, m->edge_count);
    }
    m->edge_count = 0;
}

static void emit_edge(mpr_marking *m, uint64_t target, mpr_label label) {
    m->edges[m->edge_count++] = (mpr_seen_edge){target, label};
    if (m->edge_count == MPR_MARKING_BATCH) {
        flush(m);
    }
}

/* What is looked through: offsets count from `base`, and words from `doubted` on may well be left behind. With `unmarked` blocks
 * that are marked already are passed over. */
typedef struct part {
    mpr_marking *m;
    uint64_t base, doubted;
    bool unmarked;
} part;

static void take_block(const part *p, uint64_t at, uint64_t word, uint64_t block) {
    if (p->unmarked && mpr_workset_has(&p->m->marked, block)) {
        return;
    }
    if ((p->unmarked || p->m->lost) && mpr_blocks_is_slot(&p->m->blocks, block)) {
        return; /* a slot is never lost: nothing needs to keep it, and nothing that is lost has it for certain */
    }
    mark(p->m, block);
    mpr_label label = mpr_marking_label(block, word, at - p->base);
    emit_edge(p->m, block, at < p->doubted ? label : mpr_label_make(MPR_LABEL_DOUBTED, at - p->base) | MPR_LABEL_WEAK);
}

/* Of each word that leads to a block an edge and a mark, of each that leads to an object an edge: of those at [begin, end),
 * which are read at `words`. */
MPR_MAPS_ANY_MEMORY static void scan_words(const part *p, uint64_t begin, uint64_t end, const uint64_t *words) {
    mpr_marking *m = p->m;
    uint64_t lowest = m->lowest, span = m->end - m->lowest;
    for (uint64_t at = begin; at + 8 <= end; at += 8) {
        uint64_t word = *words++;
        if (word - lowest >= span) {
            continue;
        }
        uint64_t block = mpr_marking_find(m, word);
        if (block != 0 && !is_of_object(m, block)) {
            take_block(p, at, word, block);
        } else if (!p->unmarked && word % 8 == 0 && mpr_addrset_contains(m->objects, word)) {
            emit_edge(m, word, mpr_label_make(MPR_LABEL_NATIVE, at - p->base) | MPR_LABEL_WEAK);
        }
    }
}

static void scan(const part *p, uint64_t begin, uint64_t end) {
    begin = (begin + 7) & ~UINT64_C(7);
    scan_words(p, begin, end, (const uint64_t *)(uintptr_t)begin);
}

/* The same of memory that may go while it is looked through, as our own tables do when they grow. */
static void scan_copy(const part *p, uint64_t begin, uint64_t end) {
    mpr_marking *m = p->m;
    for (uint64_t at = (begin + 7) & ~UINT64_C(7); m->status == MPR_OK && at < end;) {
        size_t wanted = end - at < MPR_MARKING_COPY ? (size_t)(end - at) : MPR_MARKING_COPY;
        size_t got = mpr_maps_read_memory(&m->memory, at, wanted, m->copy);
        scan_words(p, at, at + got, m->copy);
        at += got == wanted ? wanted : (got / PAGE + 1) * PAGE;
    }
}

static int new_type(mpr_marking *m, const char *name, uint32_t flags, uint32_t *index) {
    mpr_seen_type type = {.name = name, .name_length = strlen(name), .flags = flags};
    *index = (*m->types)++;
    return m->sink->type(m->sink, &type);
}

/* "<file+0xnumber>", as text that ends with a zero. A forked child calls nothing of stdio. */
static void write_place(mpr_buffer *out, const char *file, uint64_t number) {
    size_t length = strlen(file);
    mpr_buffer_clear(out);
    mpr_buffer_byte(out, '<');
    mpr_buffer_put(out, file, length < NAME_MOST ? length : NAME_MOST);
    mpr_buffer_put(out, "+0x", 3);
    mpr_buffer_hex(out, number);
    mpr_buffer_put(out, ">", 2);
}

/* Note an image that a type is called by. */
static int note_image(mpr_marking *m, const mpr_root *image) {
    for (size_t i = 0; i < m->named.count; i++) {
        if (m->named.items[i] == image->base) {
            return MPR_OK;
        }
    }
    return mpr_vec_push(&m->named, m->alloc, image->base);
}

/* "build id, base, path" of each that was noted: so its file can be found, and be known for the same, where symbols are asked for. */
static int write_images(mpr_marking *m) {
    mpr_buffer *text = &m->images;
    for (size_t i = 0; i < m->named.count; i++) {
        unsigned char id[MPR_ELF_ID];
        uint64_t base = m->named.items[i];
        const char *path = m->roots.paths.items + mpr_roots_image(&m->roots, base)->path;
        size_t length = mpr_elf_build_id(base, id);
        for (size_t k = 0; k < length; k++) {
            mpr_buffer_hex(text, id[k] >> 4);
            mpr_buffer_hex(text, id[k] & 15);
        }
        if (length == 0) {
            mpr_buffer_byte(text, '-');
        }
        mpr_buffer_byte(text, ' ');
        mpr_buffer_hex(text, base);
        mpr_buffer_byte(text, ' ');
        mpr_buffer_put(text, path, strlen(path));
        mpr_buffer_byte(text, '\n');
    }
    return text->status;
}

/* What a block begins with, if that leads into a mapped file: a table of methods, a name. */
static int type_of_word(mpr_marking *m, uint64_t word, uint32_t *type) {
    int made;
    uint32_t *known = mpr_map_find(&m->first_words, mpr_map_mix(word, 0));
    if (known != NULL) {
        *type = *known;
        return MPR_OK;
    }
    const mpr_root *image = mpr_roots_image(&m->roots, word);
    bool bin = word - m->in_use.main_arena < MPR_IN_USE_BINS; /* left by malloc in what was free: it says nothing of the block */
    *type = m->plain;
    if (image == NULL || bin) {
        return MPR_OK;
    }
    write_place(&m->name, mpr_roots_name(&m->roots, image), word - image->base);
    int status = m->name.status == MPR_OK ? note_image(m, image) : m->name.status;
    status = status == MPR_OK ? new_type(m, (const char *)m->name.data, MPR_TYPE_NATIVE, type) : status;
    known = mpr_map_add(&m->first_words, mpr_map_mix(word, 0), &made);
    if (known == NULL) {
        return MPR_ENOMEM;
    }
    *known = *type;
    return status;
}

MPR_MAPS_ANY_MEMORY static uint64_t first_word(uint64_t begin) { return *(const uint64_t *)(uintptr_t)begin; }

static int scan_run(void *context, uint64_t begin, uint64_t end) {
    const part *p = context;
    scan(p, begin, end);
    return p->m->status;
}

/* libstdc++ keeps this many bytes for exceptions that are thrown when memory has run out: one free entry, { size, next }, until then (GCC,
 * libsupc++/eh_alloc.cc). What lies behind is left by what had the memory before: 47 of 1,500 lost blocks were kept by it. */
#define EMERGENCY_POOL UINT64_C(72704)

MPR_MAPS_ANY_MEMORY static bool is_unused_pool(uint64_t begin, uint64_t size) {
    const uint64_t *entry = (const uint64_t *)(uintptr_t)begin;
    return size >= EMERGENCY_POOL && size < EMERGENCY_POOL + 64 && entry[0] == EMERGENCY_POOL && entry[1] == 0;
}

/* pymalloc's table of arenas keeps where the pools of an arena were when that is given back, and what has the memory now is not its own. It has room
 * for 16 arenas, twice as many, and so on (Objects/obmalloc.c, struct arena_object). */
typedef struct arena_record {
    uint64_t address; /* 0: given back */
    uint64_t pool;    /* the next one that was never used */
    uint32_t free_pools, pools;
    uint64_t links[3];
} arena_record;

static bool is_arena(const mpr_marking *m, const arena_record *r) {
    const uint32_t most = MPR_POOLS_ARENA / MPR_POOLS_POOL; /* one less where the arena is not aligned to pools */
    bool sound = r->address % PAGE == 0 && r->pool - r->address <= MPR_POOLS_ARENA && r->pools <= most && r->pools + 1 >= most;
    for (size_t i = 0; sound && i < m->more->arenas.count; i++) {
        if (m->more->arenas.items[i].begin - r->address < MPR_POOLS_ARENA) {
            return true;
        }
    }
    return false;
}

MPR_MAPS_ANY_MEMORY static bool is_arena_table(const mpr_marking *m, uint64_t begin, uint64_t size) {
    const arena_record *record = (const arena_record *)(uintptr_t)(begin + m->before);
    uint64_t count = 16, i = 0;
    while (2 * count * sizeof *record <= size) {
        count *= 2;
    }
    uint64_t bytes = m->before + count * sizeof *record;
    if (size < bytes || size > bytes + 64) {
        return false;
    }
    while (i < count && record[i].address == 0) {
        i++;
    }
    return i < count && is_arena(m, &record[i]);
}

/* The words of a block; of a large one those that are there: what was never written to has none. */
static void scan_block(mpr_marking *m, uint64_t begin, uint64_t size, bool slot) {
    bool unused = slot ? mpr_jemalloc_is_cache((const uint64_t *)(uintptr_t)begin, size / 8)
                       : is_unused_pool(begin, size) || is_arena_table(m, begin, size);
    if (unused) {
        return;
    }
    uint64_t first = (begin + PAGE - 1) & ~(PAGE - 1), last = (begin + size) & ~(PAGE - 1);
    part p = {m, begin, mpr_blocks_doubted(&m->blocks, begin), false};
    if (size < SPARSE_LEAST) {
        scan(&p, begin, begin + size);
        return;
    }
    scan(&p, begin, first);
    if (mpr_maps_each_written(&m->pages, first, last, scan_run, &p) == MPR_EIO) {
        scan(&p, first, last);
    }
    scan(&p, last, begin + size);
}

static void emit_block(mpr_marking *m, uint64_t begin) {
    uint64_t size = mpr_blocks_size(&m->blocks, begin), bytes = mpr_blocks_bytes(&m->blocks, begin);
    mpr_seen_node node = {.address = begin, .size = bytes, .type = m->plain, .flags = MPR_NODE_NATIVE};
    bool slot = mpr_blocks_is_slot(&m->blocks, begin);
    node.flags |= slot ? MPR_NODE_ESTIMATED : 0;
    fail(m, type_of_word(m, first_word(begin), &node.type));
    if (m->status == MPR_OK) {
        m->status = m->sink->node(m->sink, &node);
    }
    *(m->lost ? &m->totals.lost : &m->totals.blocks) += 1;
    *(m->lost ? &m->totals.lost_bytes : &m->totals.bytes) += bytes;
    m->totals.estimated_bytes += slot ? bytes : 0;
    scan_block(m, begin, size, slot);
    flush(m);
}

/* Emit what is marked, and what that marks. */
static void drain(mpr_marking *m) {
    uint64_t taken[TAKEN];
    size_t count;
    while (m->status == MPR_OK && (count = mpr_workset_take(&m->marked, taken, TAKEN)) > 0) {
        for (size_t i = 0; m->status == MPR_OK && i < count; i++) {
            if (mpr_blocks_has(&m->blocks, taken[i]) && !is_of_object(m, taken[i])) { /* else an object has it */
                emit_block(m, taken[i]);
            }
        }
    }
}

/* ---- roots ---- */

static int emit_synthetic(mpr_marking *m, uint64_t address, uint32_t type, const char *text) {
    mpr_seen_node node = {.address = address, .type = type, .flags = MPR_NODE_SYNTHETIC};
    int status = m->sink->node(m->sink, &node);
    return status == MPR_OK && m->sink->text != NULL ? m->sink->text(m->sink, text, strlen(text)) : status;
}

/* Roots that belong together have one node: [from, to) of an image; or of those, all that are no image's. */
static void emit_root(mpr_marking *m, uint64_t address, uint32_t type, size_t from, size_t to) {
    const mpr_root *first = &m->roots.root.items[from];
    bool image = first->base != 0;
    fail(m, emit_synthetic(m, address, type, image ? mpr_roots_name(&m->roots, first) : "stacks and other memory"));
    for (size_t i = from; i < to; i++) {
        const mpr_root *root = &m->roots.root.items[i];
        part p = {m, image ? root->base : root->begin, UINT64_MAX, !image};
        if (root->base == first->base) {
            (image ? scan : scan_copy)(&p, root->begin, root->end);
        }
    }
    flush(m);
}

/* The data of each image; what they lead to is emitted before what stacks and other memory lead to. */
static void emit_roots(mpr_marking *m, uint64_t *synthetic) {
    MPR_VEC(uint64_t) nodes = {0};
    uint64_t next = *synthetic;
    uint32_t type = 0;
    size_t count = m->roots.root.count, other = count;
    fail(m, new_type(m, "<image>", 0, &type));
    for (size_t from = 0, to; m->status == MPR_OK && from < count; from = to) {
        uint64_t base = m->roots.root.items[from].base;
        for (to = from + 1; to < count && m->roots.root.items[to].base == base; to++) {
        }
        if (base == 0) {
            other = from < other ? from : other;
            continue;
        }
        fail(m, mpr_vec_push(&nodes, m->alloc, next));
        emit_root(m, next, type, from, to);
        next += 16;
    }
    drain(m);
    if (m->status == MPR_OK && other < count) {
        fail(m, mpr_vec_push(&nodes, m->alloc, next));
        emit_root(m, next, type, other, count);
        next += 16;
        drain(m);
    }
    if (m->status == MPR_OK) {
        m->status = emit_synthetic(m, MPR_SYNTHETIC + 16 * MPR_GROUP_NATIVE, type, mpr_group_text(MPR_GROUP_NATIVE));
    }
    for (size_t i = 0; i < nodes.count; i++) {
        emit_edge(m, nodes.items[i], mpr_label_make(MPR_LABEL_CHILD, 0));
    }
    flush(m);
    *synthetic = next;
    mpr_vec_free(&nodes, m->alloc);
}

/* ---- all of it ---- */

/* A list of ours that has addresses of blocks in it. */
static int add_own_hole(mpr_marking *m, const void *list, size_t bytes) {
    return mpr_roots_add_hole(&m->roots, (uint64_t)(uintptr_t)list, (uint64_t)(uintptr_t)list + bytes);
}

static int mark_if_lost(void *context, uint64_t begin) {
    mpr_marking *m = context;
    mark(m, begin);
    return m->status;
}

int mpr_marking_finish(mpr_marking *m, const mpr_marking_walk *walk) {
    m->sink = walk->sink;
    m->types = walk->types;
    m->objects = walk->objects;
    mpr_blocks_each(&m->blocks, exclude_object, m);
    find_bounds(m);
    fail(m, mpr_roots_add_hole(&m->roots, walk->stack.begin, walk->stack.end));
    fail(m, add_own_hole(m, m->blocks.large.items, m->blocks.large.count * sizeof *m->blocks.large.items));
    fail(m, m->status == MPR_OK ? mpr_roots_find(&m->roots, &m->pages) : MPR_OK);
    fail(m, m->status == MPR_OK ? new_type(m, "<native>", MPR_TYPE_NATIVE, &m->plain) : MPR_OK);
    drain(m);
    emit_roots(m, walk->synthetic);
    fail(m, mpr_blocks_each(&m->blocks, mark_if_lost, m));
    m->lost = true;
    drain(m);
    return m->status == MPR_OK ? write_images(m) : m->status;
}
