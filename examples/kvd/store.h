/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef KVD_STORE_H
#define KVD_STORE_H

/*
 * The items, in a persistent heap: a hash table to find them, a list in the order of their last use
 * to know which to give up when memory is short, and a few numbers about them. All of it is in the
 * heap, so a restart finds it as it was and has nothing to read, to parse or to build.
 *
 * kvd may be killed between any two instructions. So every change of the heap is one of two kinds:
 *
 *  - one store of 8 bytes (store_touch(), store_flush()), or
 *  - a transaction, in which everything that will be changed is saved first. That way nothing can
 *    fail any more once the first change is made.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <luo/heap.h>

/* ------------------------------ what is in the heap ------------------------------ */

/*
 * This is a format: the next version of kvd, under the next kernel, reads what this one wrote. Who
 * changes it counts STORE_VERSION up, and gives struct luo_heap_root_type an upgrade function.
 */
#define STORE_VERSION 1

typedef LUO_REF(struct item) item_ref;

struct item {
	item_ref next;   /* in its bucket */
	item_ref newer;  /* the one used after this one */
	item_ref older;  /* the one used before it */
	uint64_t cas;    /* no other item ever had or will have this number */
	int64_t expires; /* microseconds since 1970; 0: never */
	uint32_t used;   /* when it was last moved to the front, seconds since 1970 */
	uint32_t hash;
	uint32_t flags;
	uint32_t value_size;
	uint8_t key_size;
	char data[]; /* the key, the value, "\r\n" */
};

/* What nearly every change changes is together: one luo_heap_save() for all. */
struct store_sums {
	uint64_t cas; /* given to an item last */
	uint64_t items;
	uint64_t bytes;
	item_ref newest, oldest;
};

/*
 * The table grows by one bucket at a time (linear hashing: Litwin 1980), so no request has to wait
 * until all items have been moved. Segment 0 has STORE_SEGMENT buckets, and each other one as many
 * as all before it.
 */
#define STORE_SEGMENT  1024
#define STORE_SEGMENTS 32

struct store_root {
	uint64_t hash_key[2]; /* random: nobody can choose keys that fall into one bucket */
	uint64_t buckets;
	struct store_sums sums;
	uint64_t flushed; /* flush_all: items whose cas is no greater are dead */
	int64_t flush_at; /* when that will be done again; 0: never */
	LUO_REF(item_ref) segments[STORE_SEGMENTS];
};

/* ------------------------------- what is not ------------------------------- */

struct store {
	struct luo_heap *heap;
	struct store_root *root;
	int64_t now; /* CLOCK_REALTIME in microseconds, as of store_clock() */
	uint64_t limit;
	uint32_t lru_interval;
	uint64_t sweep; /* the bucket to look for dead items in next */
	/* since the start of the process */
	uint64_t evictions;
	uint64_t expired;
	uint64_t total_items;
};

struct store_options {
	const char *name;      /* of the heap in the fd store, or */
	const char *path;      /* a file, if not NULL */
	uint64_t limit;        /* for the items, in bytes */
	uint32_t lru_interval; /* an item moves to the front at most once in so many seconds */
};

struct slice {
	const char *data;
	size_t size;
};

struct key {
	const char *data;
	uint8_t size;
	uint32_t hash;
};

/* Opens the heap and finds the root, in constant time. Says on stderr what is wrong. */
int store_open(struct store *s, const struct store_options *options);
void store_close(struct store *s);

/* The time is this from now on. To be called before each batch of requests. */
void store_clock(struct store *s, int64_t now);

struct key store_key(const struct store *s, const char *data, size_t size);

/* The item, NULL if there is none (any more). Valid until something is put or removed. */
struct item *store_find(struct store *s, struct key key);
/* It was used: is it time to move it to the front? */
void store_used(struct store *s, struct item *item);

static inline const char *item_value(const struct item *item)
{
	return item->data + item->key_size;
}

/*
 * The item of that key has this value from now on, @head followed by @tail, whatever it had before.
 * Either may lie in the old item. -ENOMEM if there is no room, even after evictions; -EBUSY if the
 * memory cannot grow now.
 */
int store_put(struct store *s, struct key key, uint32_t flags, int64_t expires, struct slice head,
	      struct slice tail);
int store_remove(struct store *s, struct key key);
void store_touch(struct store *s, struct item *item, int64_t expires);
/* All that is there at @at will be dead then; 0: now. */
void store_flush(struct store *s, int64_t at);

/* Removes some dead items, and what is above the limit. True if there is more to do at once. */
bool store_sweep(struct store *s);

/* ----------------------------- table.c, for store.c ----------------------------- */

uint32_t table_hash(const uint64_t key[2], const char *data, size_t size);
int table_init(struct luo_heap *heap, struct store_root *root);
/* The reference that refers to the item, or that would; never NULL. */
item_ref *table_find(struct store_root *root, struct key key);
item_ref *table_bucket(struct store_root *root, uint64_t index);
/* Makes room for one more item: splits a bucket, if there are more items than buckets. */
void table_grow(struct luo_heap *heap, struct store_root *root);

#endif
