/* SPDX-License-Identifier: MIT
 * Leak suspects: who keeps a large part of the heap alive, and where it piles up. The rules are Eclipse MAT's, published with its source, with
 * modules and classes looked through, so that a cache is called by its own name:
 *
 *   whole      bytes of the heap without what only static objects or garbage keep
 *   top        what the super-root dominates, looking through root groups, sys.modules, modules and classes and their namespaces
 *   single     a top node that retains more than the threshold
 *   group      the other top nodes of one type, together more than that. For builtin types, of which every program has thousands, of one
 *              type and held in one way
 *   C          the same, of objects that only C code holds
 *   garbage    unreachable objects, when they are more than a tenth of the threshold
 *
 * A single suspect that has several large children by names, not the many of one container, is as many suspects instead.
 * The point of a single suspect: down to the biggest child while it retains 7/10 of its parent. That of a group: the last node that more than
 * 8/10 of the paths from the roots to its members (at most 10,000 of them, evenly taken) have in common. */
#ifndef MPR_ALGO_SUSPECTS_H
#define MPR_ALGO_SUSPECTS_H

#include "algo/groups.h"
#include "algo/name_tree.h"
#include "algo/retained.h"
#include "base/vec.h"

typedef enum mpr_suspect_kind {
    MPR_SUSPECT_SINGLE,
    MPR_SUSPECT_GROUP,
    MPR_SUSPECT_C_REFERENCES,
    MPR_SUSPECT_GARBAGE
} mpr_suspect_kind;

typedef struct mpr_suspect {
    mpr_suspect_kind kind;
    uint32_t node;       /* the object; of many, the one that retains most */
    uint32_t type;
    uint32_t point;      /* where it piles up, or MPR_NO_NODE */
    uint64_t count;      /* objects that are suspected together: 1 for a single one */
    uint64_t bytes;      /* what they retain */
    size_t sample, samples; /* of many: up to 10,000 of them, evenly taken, in `members` */
    size_t asked,
        asked_count; /* of the nodes that were asked for, those that it, and no other suspect below it, keeps: in `asked` */
} mpr_suspect;

typedef struct mpr_suspects {
    mpr_alloc *alloc;
    uint64_t whole, threshold; /* bytes */
    MPR_VEC(mpr_suspect) found; /* most bytes first */
    MPR_VEC(uint32_t) members;
    MPR_VEC(uint32_t) asked;
} mpr_suspects;

typedef struct mpr_suspects_options {
    unsigned permille; /* of the whole: the threshold. 0: 100 */
    const uint32_t *asked; /* nodes whose suspects are asked for */
    size_t asked_count;
    mpr_progress progress;
    void *context;
} mpr_suspects_options;

/* The names' tree is searched as far as the suspects need; options may be NULL. MPR_OK, MPR_ENOMEM, MPR_ECANCELLED. */
int mpr_suspects_find(const mpr_graph *g, const mpr_dominators *d, const mpr_tree *tree, mpr_name_tree *names,
                      const mpr_suspects_options *options, mpr_suspects *out);
/* One byte a node: != 0 for what is looked through. `out` comes zeroed. Not the group of garbage. */
void mpr_suspects_transparent(const mpr_graph *g, uint8_t *out);

/* Objects by type in the subtrees of some nodes: added to out, which has g->type_count entries. MPR_OK or MPR_ENOMEM. */
int mpr_suspects_below(const mpr_graph *g, const mpr_tree *tree, const uint32_t *nodes, size_t count, mpr_group_total *out);

/* The type of most bytes among unreachable objects, one that a program made before a builtin one. `bytes` has g->type_count entries of 0. */
uint32_t mpr_suspects_garbage_type(const mpr_graph *g, uint64_t *bytes);

void mpr_suspects_free(mpr_suspects *s); /* a zeroed one is allowed */

#endif
