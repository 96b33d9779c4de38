/* SPDX-License-Identifier: MIT
 * The walk over the live heap: from the collector's lists, or from a few objects, to a sink.
 *
 *   seed ──▶ work list ──▶ take an object ──▶ its type's record says how ──▶ node, text, edges ──▶ sink
 *                 ▲                                                         │
 *                 └──────────────── targets not yet seen ◀──────────────────┘
 *
 * It creates no object, touches no reference count, runs no user code and takes memory from mpr_alloc alone; everything that needs the
 * interpreter's help is done by cpy_walk_begin. No other thread may run Python meanwhile: it is done in a pause (pause.h), or in a forked child.
 *
 * Used by the layers walk and above. */
#ifndef CPY_WALK_H
#define CPY_WALK_H

#include "base/os/image.h"
#include "cpython/bodies.h"
#include "cpython/heap.h"
#include "cpython/leaf_buffers.h"
#include "cpython/roots.h"

#define CPY_WALK_TAKEN 32
#define CPY_WALK_AHEAD 4

typedef struct cpy_walk {
    cpy_emit emit;
    cpy_types types;
    cpy_text text;
    cpy_roots roots;
    cpy_self self;
    cpy_caller caller;
    cpy_argument argument;
    cpy_heap heap;
    mpr_image image;
    mpr_addrset frozen; /* objects in the permanent generation */
    mpr_addrset listed; /* objects to which heap.listed has a reference, which is memprobe's */
    bool may_emit;      /* before all seeds are known */
    cpy_leaf_buffers *leaf_buffers; /* in a forked child: what it discards; else NULL */
    cpy_bodies *bodies;             /* in a forked child that is to emit native blocks; else NULL */
    uint64_t taken[CPY_WALK_TAKEN]; /* from the work list; from `next` on they are not yet emitted */
    size_t taken_count, next;
} cpy_walk;

/* Prepare; the layouts of libraries loaded since the last walk are proved first, in *proofs. MPR_OK or a negative status; cpy_walk_end in
 * any case. Everything between the two but cpy_walk_exclude happens in a pause (pause.h), and begins with cpy_walk_enter. */
int cpy_walk_begin(cpy_walk *walk, mpr_alloc *alloc, mpr_sink *sink, cpy_proofs *proofs);

/* The same without that proof, which runs the interpreter: a forked child must not. cpy_capture_prepare has made it before the fork. */
int cpy_walk_begin_prepared(cpy_walk *walk, mpr_alloc *alloc, mpr_sink *sink, const cpy_proofs *proofs);

/* The first step within the pause: find memprobe's own modules, and who asks. MPR_OK or MPR_ENOMEM. */
int cpy_walk_enter(cpy_walk *walk);

/* A single object as seed. */
int cpy_walk_seed_object(cpy_walk *walk, PyObject *object);

/* Leave this object alone, and what only it holds. */
int cpy_walk_exclude(cpy_walk *walk, PyObject *object);

/* Take until nothing is pending. MPR_OK or the first failure. */
int cpy_walk_run(cpy_walk *walk);

/* The whole heap: what the collector tracks and the roots for seeds. */
int cpy_walk_whole(cpy_walk *walk);
void cpy_walk_end(cpy_walk *walk);

#endif
