/* SPDX-License-Identifier: MIT
 * See cpython/replay.h. */
#include "cpython/replay.h"

#include "base/status.h"

static int add(cpy_replay *replay, const cpy_replayed *row) {
    if (!replay->wanted || row->count <= 0) {
        return MPR_OK;
    }
    if (replay->count == CPY_REPLAY_ROWS) {
        return MPR_ELIMIT;
    }
    replay->rows[replay->count++] = *row;
    return MPR_OK;
}

int cpy_replay_items(cpy_replay *replay, PyObject *const *items, Py_ssize_t count, bool backward) {
    return add(replay, &(cpy_replayed){.items = items, .count = count, .backward = backward});
}

int cpy_replay_table(cpy_replay *replay, const cpy_table *table) {
    return add(replay, &(cpy_replayed){.table = *table, .count = table->count});
}

int cpy_replay_dict(cpy_replay *replay, PyObject *dict) {
    return add(replay, &(cpy_replayed){.dict = dict, .count = PY_SSIZE_T_MAX});
}

/* The object that comes next in an array, and the place behind it; or NULL at its end. */
static PyObject *next_item(cpy_replayed *row, Py_ssize_t *after) {
    PyObject *object = NULL;
    for (; row->at < row->count && object == NULL; row->at += object == NULL) {
        object = row->items[row->backward ? row->count - 1 - row->at : row->at];
    }
    *after = row->at + 1;
    return object;
}

/* The same of the entries of a dict, with the key. */
static PyObject *next_entry(cpy_replayed *row, PyObject **key, Py_ssize_t *after) {
    PyObject *object = NULL;
    if (row->dict != NULL) {
        *after = row->at;
        return PyDict_Next(row->dict, after, key, &object) ? object : NULL;
    }
    for (; row->at < row->count && object == NULL; row->at += object == NULL) {
        object = cpy_table_value(&row->table, row->at);
        *key = cpy_table_key(&row->table, row->at);
    }
    *after = row->at + 1;
    return object;
}

/* A dict's traversal goes value, key, value, key, with or without the keys. */
static bool repeats(cpy_replayed *row, PyObject *target) {
    PyObject *key = row->key;
    Py_ssize_t after;
    row->key = NULL;
    if (key == target) {
        return true;
    }
    key = NULL;
    if ((row->items != NULL ? next_item(row, &after) : next_entry(row, &key, &after)) != target) {
        return false;
    }
    row->at = after;
    row->key = key;
    return true;
}

bool cpy_replay_search(cpy_replay *replay, PyObject *target) {
    if (target == replay->dict) {
        replay->dict = NULL;
        return true;
    }
    for (uint32_t i = 0; i < replay->count; i++) {
        cpy_replayed *row = &replay->rows[i];
        if ((row->at < row->count || row->key != NULL) && repeats(row, target)) {
            return true;
        }
    }
    if (target == replay->type) {
        replay->type = NULL;
        return true;
    }
    return false;
}
