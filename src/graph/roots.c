/* SPDX-License-Identifier: MIT
 * The roots that only the whole graph can know. CPython has no root set; its collector finds what is held from outside by subtracting
 * the references that it sees from the reference counts. Freeze did that subtraction; here it becomes nodes:
 *
 *   static         immortal objects, and those in the image of the interpreter
 *   interned       every interned string, weakly
 *   C references   every object with a residual above 0: somebody holds it whom no walk can see
 *   unreachable    what none of these, nor threads, modules, interpreter and native memory, reach: cyclic garbage
 *   lost           the same of native blocks
 *   root           the parent of all groups, so that retained sizes add up to the heap
 *
 * memprobe's own objects are what is reached only through its own modules, classes and frames (the walls): what a first sweep leaves
 * out and a second one, through the walls, reaches. */
#include <string.h>

#include "graph/collected.h"
#include "graph/native.h"
#include "graph/sweep.h"

enum { ALIVE = 1, OWN = 2, GARBAGE = 3, WALL = 4, LOST = 5 };

/* The first node at or after `from` that has one of these flags, or `end`. Few have: four are looked at together. */
static uint32_t next_flagged(const uint16_t *flags, uint32_t from, uint32_t end, uint16_t wanted) {
    const uint64_t four = wanted * UINT64_C(0x0001000100010001);
    uint64_t word;
    while (from < end && !(flags[from] & wanted)) {
        for (from++; from + 4 <= end && (memcpy(&word, flags + from, sizeof word), (word & four) == 0); from += 4) {
        }
    }
    return from < end ? from : end;
}

/* A typed name for a synthetic node that no walk has seen. */
static int root_type(mpr_graph *g, uint32_t *type) {
    struct mpr_builder *s = g->storage;
    if (g->group[MPR_GROUP_MODULES] != MPR_NO_NODE) {
        *type = s->type.items[g->group[MPR_GROUP_MODULES]];
        return MPR_OK;
    }
    mpr_seen_type seen = {.name = "<root>", .name_length = 6};
    *type = (uint32_t)s->types.count;
    return s->sink.type(&s->sink, &seen);
}

static int push_edge(struct mpr_builder *s, uint32_t target, mpr_label label) {
    int status = mpr_vec_push(&s->target, s->alloc, target);
    return status != MPR_OK ? status : mpr_vec_push(&s->label, s->alloc, label);
}

/* Open a group's node: its edges follow, and end_group closes it. The sentinel of the offsets is moved along. */
static int begin_group(mpr_graph *g, uint32_t type, mpr_group group) {
    struct mpr_builder *s = g->storage;
    s->first_low.count--; /* the sentinel becomes this node's own offset */
    if ((s->first_low.count & 0xFFFF) == 0) {
        s->first_base.count--;
    }
    g->group[group] = (uint32_t)s->type.count;
    int status = mpr_collected_push_group(s, type);
    status = status != MPR_OK ? status : s->sink.text(&s->sink, mpr_group_text(group), __builtin_strlen(mpr_group_text(group)));
    mpr_collected_view(g);
    return status;
}

static int end_group(mpr_graph *g) {
    int status = mpr_collected_push_first(g->storage);
    mpr_collected_view(g);
    return status;
}

/* A group whose members are all nodes with one of these flags. */
static int flag_group(mpr_graph *g, uint32_t type, mpr_group group, uint32_t flags, mpr_label label) {
    struct mpr_builder *s = g->storage;
    int status = begin_group(g, type, group);
    for (uint32_t i = 0; status == MPR_OK && (i = next_flagged(s->flags.items, i, g->seen, (uint16_t)flags)) < g->seen; i++) {
        status = push_edge(s, i, label);
    }
    return status == MPR_OK ? end_group(g) : status;
}

static int residual_group(mpr_graph *g, uint32_t type) {
    struct mpr_builder *s = g->storage;
    int status = begin_group(g, type, MPR_GROUP_C_REFERENCES);
    for (size_t i = 0; status == MPR_OK && i < s->residual.count; i++) {
        if (s->residual.items[i].value > 0) {
            status = push_edge(s, s->residual.items[i].node, mpr_label_make(MPR_LABEL_CHILD, 0));
        }
    }
    return status == MPR_OK ? end_group(g) : status;
}

/* ---- what is reached ---- */

static void enter_groups(mpr_sweep *sweep, const mpr_graph *g) {
    for (uint32_t group = MPR_GROUP_THREADS; group < MPR_GROUP_COUNT; group++) {
        if (group != MPR_GROUP_UNREACHABLE && g->group[group] != MPR_NO_NODE) {
            mpr_sweep_enter(sweep, g->group[group]);
        }
    }
}

static void sweep_alive(mpr_sweep *sweep, const mpr_graph *g) {
    sweep->mark = ALIVE;
    for (uint32_t i = 0; (i = next_flagged(g->flags, i, g->seen, MPR_NODE_OWN_WALL)) < g->seen; i++) {
        sweep->reached[i] = WALL;
    }
    enter_groups(sweep, g);
    mpr_sweep_run(sweep, g, NULL, NULL);
}

/* The node that an edge is of. */
static uint32_t holder_of(const mpr_graph *g, uint64_t edge) {
    uint32_t low = 0, high = g->nodes;
    while (low + 1 < high) {
        uint32_t middle = low + (high - low) / 2;
        if (mpr_graph_first(g, middle) <= edge) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Is it a reference of a frame that is not counted? */
static bool is_borrowed(mpr_label label) {
    const uint32_t kinds = 1u << MPR_LABEL_LOCAL | 1u << MPR_LABEL_CELL | 1u << MPR_LABEL_STACK;
    uint32_t field = mpr_label_kind_of(label) == MPR_LABEL_FIELD ? mpr_label_payload(label) : MPR_FIELD_NONE;
    bool callable = field == MPR_FIELD_F_CODE || field == MPR_FIELD_GI_CODE || field == MPR_FIELD_F_FUNCOBJ;
    return (callable || (kinds >> mpr_label_kind_of(label) & 1)) && (label & MPR_LABEL_WEAK);
}

/* What is on a stack need not be counted: mostly another reference keeps the object. A function, class or module of a free-threaded build may have none:
 * the collector then finds it by the stack. So what nothing else reaches is retained by what stands there. */
static void sweep_borrowed(mpr_sweep *sweep, mpr_graph *g) {
    mpr_label *label = g->storage->label.items;
    bool again = true;
    while (again) {
        again = false;
        for (uint64_t k = 0; k < g->edges; k++) {
            if (is_borrowed(label[k]) && sweep->reached[g->target[k]] == 0 && sweep->reached[holder_of(g, k)] == ALIVE) {
                label[k] &= ~MPR_LABEL_WEAK;
                mpr_sweep_enter(sweep, g->target[k]);
                again = true;
            }
        }
        mpr_sweep_run(sweep, g, NULL, NULL);
    }
}

static void sweep_own(mpr_sweep *sweep, const mpr_graph *g) {
    sweep->mark = OWN;
    for (uint32_t i = 0; (i = mpr_sweep_next(sweep->reached, i, g->seen, WALL)) < g->seen; i++) {
        sweep->reached[i] = 0;
        mpr_sweep_enter(sweep, i);
    }
    mpr_sweep_run(sweep, g, NULL, NULL);
}

/* A member of a group of what nothing reaches, and with it all that it reaches. */
static int add_unreached(mpr_graph *g, mpr_sweep *sweep, uint32_t node) {
    int status = push_edge(g->storage, node, mpr_label_make(MPR_LABEL_CHILD, 0));
    mpr_collected_view(g);
    if (status == MPR_OK) {
        mpr_sweep_enter(sweep, node);
        mpr_sweep_run(sweep, g, NULL, NULL);
    }
    return status;
}

/* The group of garbage: one member for every part of it that no other member reaches first, collected objects before others. */
static int garbage_group(mpr_graph *g, uint32_t type, mpr_sweep *sweep) {
    const uint32_t others = MPR_NODE_SYNTHETIC | MPR_NODE_NATIVE;
    int status = begin_group(g, type, MPR_GROUP_UNREACHABLE);
    for (int tracked = 1; status == MPR_OK && tracked >= 0; tracked--) {
        for (uint32_t i = 0; status == MPR_OK && (i = mpr_sweep_next(sweep->reached, i, g->seen, 0)) < g->seen; i++) {
            uint32_t flags = g->storage->flags.items[i];
            status = (flags & others) || (tracked && !(flags & MPR_NODE_TRACKED)) ? MPR_OK : add_unreached(g, sweep, i);
        }
    }
    return status == MPR_OK ? end_group(g) : status;
}

/* Blocks that another one refers to that nothing has reached. */
static void find_referred(const mpr_graph *g, const mpr_sweep *sweep, bool *referred) {
    for (uint32_t i = 0; (i = mpr_sweep_next(sweep->reached, i, g->seen, 0)) < g->seen; i++) {
        for (uint64_t k = mpr_graph_first(g, i); k < mpr_graph_first(g, i + 1); k++) {
            bool leads = mpr_label_strong(g->label[k]) || mpr_label_kind_of(g->label[k]) == MPR_LABEL_DOUBTED;
            referred[g->target[k]] |= leads && g->target[k] != i;
        }
    }
}

/* The group of lost blocks, likewise: those to which no other leads before the rest, which are cycles. */
static int lost_group(mpr_graph *g, uint32_t type, mpr_sweep *sweep) {
    size_t nodes = g->nodes;
    bool *referred = g->group[MPR_GROUP_NATIVE] == MPR_NO_NODE ? NULL : mpr_alloc_array(g->alloc, nodes, sizeof *referred);
    if (referred == NULL) {
        return g->group[MPR_GROUP_NATIVE] == MPR_NO_NODE ? MPR_OK : MPR_ENOMEM;
    }
    find_referred(g, sweep, referred);
    int status = begin_group(g, type, MPR_GROUP_LOST);
    for (int first = 1; status == MPR_OK && first >= 0; first--) {
        for (uint32_t i = 0; status == MPR_OK && (i = mpr_sweep_next(sweep->reached, i, g->seen, 0)) < g->seen; i++) {
            bool native = (g->storage->flags.items[i] & MPR_NODE_NATIVE) != 0;
            status = native && !(first && referred[i]) ? add_unreached(g, sweep, i) : MPR_OK;
        }
    }
    mpr_alloc_free(g->alloc, referred, nodes, sizeof *referred);
    return status == MPR_OK ? end_group(g) : status;
}

/* A block that garbage keeps goes with it: it is not lost, and of a block UNREACHABLE says just this. */
static void flag_reached(mpr_graph *g, const uint8_t *reached) {
    for (uint32_t i = 0; (i = mpr_sweep_next(reached, i, g->seen, OWN)) < g->seen; i++) {
        g->flags[i] |= MPR_NODE_OWN;
    }
    for (uint32_t i = 0; (i = mpr_sweep_next(reached, i, g->seen, GARBAGE)) < g->seen; i++) {
        g->flags[i] |= g->flags[i] & MPR_NODE_NATIVE ? 0 : MPR_NODE_UNREACHABLE;
    }
    for (uint32_t i = 0; (i = mpr_sweep_next(reached, i, g->seen, LOST)) < g->seen; i++) {
        g->flags[i] |= MPR_NODE_UNREACHABLE;
    }
}

static int sort_reached(mpr_graph *g, uint32_t type, uint8_t *reached) {
    mpr_sweep sweep;
    int status = mpr_sweep_begin(&sweep, g);
    sweep.reached = reached;
    sweep.housekeeping = true;
    status = status == MPR_OK ? mpr_native_doubt(g) : status;
    if (status == MPR_OK) {
        sweep_alive(&sweep, g);
        sweep_borrowed(&sweep, g);
        status = mpr_native_sweep(&sweep, g);
    }
    if (status == MPR_OK) {
        sweep_own(&sweep, g);
        status = mpr_native_sweep(&sweep, g);
    }
    if (status == MPR_OK) {
        sweep.mark = GARBAGE;
        status = garbage_group(g, type, &sweep);
    }
    status = status == MPR_OK ? mpr_native_sweep(&sweep, g) : status;
    sweep.mark = LOST;
    status = status == MPR_OK ? lost_group(g, type, &sweep) : status;
    if (status == MPR_OK) {
        flag_reached(g, reached);
    }
    mpr_sweep_end(&sweep);
    return status;
}

/* ---- all of it ---- */

static int super_root(mpr_graph *g, uint32_t type) {
    struct mpr_builder *s = g->storage;
    int status = begin_group(g, type, MPR_GROUP_ROOT);
    for (uint32_t group = MPR_GROUP_ROOT + 1; status == MPR_OK && group < MPR_GROUP_COUNT; group++) {
        if (g->group[group] != MPR_NO_NODE) {
            status = push_edge(s, g->group[group], mpr_label_make(MPR_LABEL_CHILD, 0));
        }
    }
    return status == MPR_OK ? end_group(g) : status;
}

static void find_seen_groups(mpr_graph *g) {
    for (uint32_t group = 0; group < MPR_GROUP_COUNT; group++) {
        uint32_t node;
        int found = mpr_graph_find(g, MPR_SYNTHETIC + 16 * (uint64_t)group, &node);
        g->group[group] = found ? node : MPR_NO_NODE;
    }
}

int mpr_roots_add(mpr_graph *g) {
    uint32_t type = 0;
    find_seen_groups(g);
    int status = root_type(g, &type);
    mpr_label member = mpr_label_make(MPR_LABEL_CHILD, 0);
    if (status == MPR_OK) {
        status = flag_group(g, type, MPR_GROUP_STATIC, MPR_NODE_IMMORTAL | MPR_NODE_STATIC, member);
    }
    if (status == MPR_OK) {
        status = flag_group(g, type, MPR_GROUP_INTERNED, MPR_NODE_INTERNED, member | MPR_LABEL_WEAK);
    }
    if (status == MPR_OK) {
        status = residual_group(g, type);
    }
    uint8_t *reached = status == MPR_OK ? mpr_alloc_array(g->alloc, g->nodes, 1) : NULL;
    if (reached == NULL) {
        return status == MPR_OK ? MPR_ENOMEM : status;
    }
    size_t bytes = g->nodes;
    status = sort_reached(g, type, reached);
    mpr_alloc_free(g->alloc, reached, bytes, 1);
    if (status == MPR_OK) {
        status = super_root(g, type);
    }
    return status;
}
