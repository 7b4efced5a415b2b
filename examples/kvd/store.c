/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "store.h"

/* ---------------------------------- opening ---------------------------------- */

/* In a transaction: the root is there completely, or not at all. */
static int init_root(struct luo_heap *heap, void *object, void *userdata)
{
	struct store_root *root = object;

	if (getrandom(root->hash_key, sizeof(root->hash_key), 0) != sizeof(root->hash_key))
		return -errno;
	return table_init(heap, root);
}

static const struct luo_heap_root_type root_type = {
	.struct_size = sizeof(root_type),
	.name = "items",
	.type_id = UINT64_C(0x6b76642d6974656d),
	.version = STORE_VERSION,
	.size = sizeof(struct store_root),
	.init = init_root,
};

static int open_heap(struct luo_heap **ret, const struct store_options *options, uint64_t max_size)
{
	struct luo_heap_options heap_options = {
		.struct_size = sizeof(heap_options),
		.max_size = max_size,
		.flags = LUO_HEAP_HUGEPAGE,
		.name = options->name,
	};

	if (options->path)
		return luo_heap_open_path(options->path, &heap_options, ret);
	return luo_heap_open(options->name, &heap_options, ret);
}

int store_open(struct store *s, const struct store_options *options)
{
	/* The limit is for the items. On top of it come what the allocator rounds up, the table,
	 * and room for blocks of one size where there were blocks of another. */
	uint64_t max_size = options->limit + options->limit / 4 + (UINT64_C(64) << 20);
	void *root;
	int r;

	*s = (struct store){ .limit = options->limit, .lru_interval = options->lru_interval };
	r = open_heap(&s->heap, options, max_size);
	/* It may have grown to more, when the limit was higher: then it has what it needs. What is
	 * above the limit is evicted by store_sweep(). */
	if (r == -EINVAL)
		r = open_heap(&s->heap, options, 0);
	if (r < 0) {
		fprintf(stderr, "kvd: cannot open the heap: %s\n", luo_heap_problem());
		return r;
	}
	r = luo_heap_root(s->heap, &root_type, &root);
	if (r < 0) {
		fprintf(stderr, "kvd: cannot use the heap: %s\n", luo_heap_problem());
		s->heap = luo_heap_close(s->heap);
		return r;
	}
	s->root = root;
	return 0;
}

void store_close(struct store *s)
{
	s->heap = luo_heap_close(s->heap);
}

/* ---------------------------------- finding ---------------------------------- */

static bool is_dead(const struct store *s, const struct item *item)
{
	return (item->expires && item->expires <= s->now) || item->cas <= s->root->flushed;
}

struct key store_key(const struct store *s, const char *data, size_t size)
{
	return (struct key){ data, (uint8_t)size, table_hash(s->root->hash_key, data, size) };
}

struct item *store_find(struct store *s, struct key key)
{
	struct item *item = luo_get(*table_find(s->root, key));

	return item && !is_dead(s, item) ? item : NULL;
}

/* --------------------------- the list in the order of use --------------------------- */

/* What the following two will change, the sums apart. */
static int save_neighbours(struct store *s, struct item *item)
{
	struct item *newer = luo_get(item->newer), *older = luo_get(item->older);
	int r = 0;

	if (newer)
		r = luo_heap_save(s->heap, &newer->older, sizeof(newer->older));
	if (r >= 0 && older)
		r = luo_heap_save(s->heap, &older->newer, sizeof(older->newer));
	return r;
}

static int save_newest(struct store *s)
{
	struct item *newest = luo_get(s->root->sums.newest);

	return newest ? luo_heap_save(s->heap, &newest->newer, sizeof(newest->newer)) : 0;
}

static int save_sums(struct store *s)
{
	return luo_heap_save(s->heap, &s->root->sums, sizeof(s->root->sums));
}

static void list_remove(struct store_sums *sums, struct item *item)
{
	struct item *newer = luo_get(item->newer), *older = luo_get(item->older);

	if (newer)
		luo_set(newer->older, older);
	else
		luo_set(sums->newest, older);
	if (older)
		luo_set(older->newer, newer);
	else
		luo_set(sums->oldest, newer);
}

static void list_add(struct store_sums *sums, struct item *item)
{
	struct item *newest = luo_get(sums->newest);

	luo_set(item->newer, NULL);
	luo_set(item->older, newest);
	if (newest)
		luo_set(newest->newer, item);
	else
		luo_set(sums->oldest, item);
	luo_set(sums->newest, item);
}

static int move_to_front(struct store *s, struct item *item)
{
	int r = save_sums(s);

	if (r >= 0)
		r = save_newest(s);
	if (r >= 0)
		r = save_neighbours(s, item);
	if (r >= 0)
		r = luo_heap_save(s->heap, &item->newer, sizeof(item->newer));
	if (r >= 0)
		r = luo_heap_save(s->heap, &item->older, sizeof(item->older));
	if (r < 0)
		return r;
	list_remove(&s->root->sums, item);
	list_add(&s->root->sums, item);
	return 0;
}

/* A transaction for every get would be a waste: the order need not be known to the second. */
void store_used(struct store *s, struct item *item)
{
	uint32_t now = (uint32_t)(s->now / 1000000);

	if (now - item->used < s->lru_interval)
		return;
	item->used = now;
	if (item == luo_get(s->root->sums.newest) || luo_heap_begin(s->heap) < 0)
		return;
	if (move_to_front(s, item) < 0 || luo_heap_commit(s->heap) < 0)
		luo_heap_abort(s->heap);
}

/* ---------------------------------- removing ---------------------------------- */

static uint64_t size_of(size_t key_size, size_t value_size)
{
	return offsetof(struct item, data) + key_size + value_size + 2;
}

static uint64_t size_of_item(const struct item *item)
{
	return size_of(item->key_size, item->value_size);
}

static int unlink_item(struct store *s, item_ref *ref)
{
	struct item *item = luo_get(*ref);
	struct store_sums *sums = &s->root->sums;
	int r = save_sums(s);

	if (r >= 0)
		r = save_neighbours(s, item);
	if (r >= 0)
		r = luo_heap_save(s->heap, ref, sizeof(*ref));
	if (r < 0)
		return r;
	sums->items--;
	sums->bytes -= size_of_item(item);
	list_remove(sums, item);
	luo_set(*ref, luo_get(item->next));
	/* Which takes effect at the commit, too. */
	return luo_heap_free(s->heap, item);
}

static int remove_at(struct store *s, item_ref *ref)
{
	int r = luo_heap_begin(s->heap);

	if (r < 0)
		return r;
	r = unlink_item(s, ref);
	if (r >= 0)
		r = luo_heap_commit(s->heap);
	if (r < 0)
		luo_heap_abort(s->heap);
	return r;
}

int store_remove(struct store *s, struct key key)
{
	item_ref *ref = table_find(s->root, key);

	return luo_get(*ref) ? remove_at(s, ref) : 0;
}

static int remove_item(struct store *s, struct item *item)
{
	return store_remove(s, (struct key){ item->data, item->key_size, item->hash });
}

/* Gives up the item that has not been used for longest, but not @keep. */
static int evict(struct store *s, const struct item *keep)
{
	struct item *item = luo_get(s->root->sums.oldest);
	bool dead;
	int r;

	if (item && item == keep)
		item = luo_get(item->newer);
	if (!item)
		return -ENOMEM;
	dead = is_dead(s, item);
	r = remove_item(s, item);
	if (r >= 0)
		*(dead ? &s->expired : &s->evictions) += 1;
	return r;
}

/* ---------------------------------- putting ---------------------------------- */

static void fill(struct item *item, struct key key, struct slice head, struct slice tail)
{
	char *p = item->data;

	item->hash = key.hash;
	item->key_size = key.size;
	item->value_size = (uint32_t)(head.size + tail.size);
	p = (char *)memcpy(p, key.data, key.size) + key.size;
	p = (char *)memcpy(p, head.data, head.size) + head.size;
	p = (char *)memcpy(p, tail.data, tail.size) + tail.size;
	memcpy(p, "\r\n", 2);
}

/* In a transaction: @item, which was allocated in it, takes the place of what @ref refers to. */
static int link_item(struct store *s, item_ref *ref, struct item *item)
{
	struct store_sums *sums = &s->root->sums;
	struct item *old = luo_get(*ref);
	int r = save_newest(s);

	if (r >= 0)
		r = old ? unlink_item(s, ref) : save_sums(s);
	if (r >= 0 && !old)
		r = luo_heap_save(s->heap, ref, sizeof(*ref));
	if (r < 0)
		return r;
	item->cas = ++sums->cas;
	item->used = (uint32_t)(s->now / 1000000);
	sums->items++;
	sums->bytes += size_of_item(item);
	list_add(sums, item);
	luo_set(item->next, luo_get(*ref));
	luo_set(*ref, item);
	return 0;
}

static int try_put(struct store *s, item_ref *ref, struct key key, uint32_t flags, int64_t expires,
		   struct slice head, struct slice tail)
{
	struct item *item;
	int r = luo_heap_begin(s->heap);

	if (r < 0)
		return r;
	item = luo_heap_alloc(s->heap, size_of(key.size, head.size + tail.size));
	r = item ? 0 : -errno;
	if (item) {
		fill(item, key, head, tail);
		item->flags = flags;
		item->expires = expires;
		r = link_item(s, ref, item);
	}
	if (r >= 0)
		r = luo_heap_commit(s->heap);
	if (r < 0)
		luo_heap_abort(s->heap);
	return r;
}

/* The list leads to any place in memory. Asked for now, it is in the cache when it is needed. */
static void prefetch_neighbours(const struct item *item)
{
	__builtin_prefetch(luo_get(item->newer), 1);
	__builtin_prefetch(luo_get(item->older), 1);
}

/* What the items would take after the put. */
static uint64_t bytes_with(const struct store *s, const struct item *old, uint64_t size)
{
	return s->root->sums.bytes + size - (old ? size_of_item(old) : 0);
}

int store_put(struct store *s, struct key key, uint32_t flags, int64_t expires, struct slice head,
	      struct slice tail)
{
	uint64_t size = size_of(key.size, head.size + tail.size);
	item_ref *ref = table_find(s->root, key);
	struct item *old = luo_get(*ref);
	int r = 0;

	if (expires && expires <= s->now)
		return store_remove(s, key);
	if (old)
		prefetch_neighbours(old);
	for (;;) {
		if (bytes_with(s, old, size) <= s->limit)
			r = try_put(s, ref, key, flags, expires, head, tail);
		else
			r = -ENOMEM;
		if (r != -ENOMEM && r != -ENOSPC)
			break;
		/* Not @old: @head or @tail may be in it. */
		r = evict(s, old);
		if (r < 0)
			return r;
		/* What was evicted may have had the reference in it. */
		ref = table_find(s->root, key);
	}
	if (r >= 0) {
		s->total_items++;
		table_grow(s->heap, s->root);
	}
	return r;
}

/* ------------------------------ one store is enough ------------------------------ */

static void store_word(int64_t *word, int64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

void store_touch(struct store *s, struct item *item, int64_t expires)
{
	store_word(&item->expires, expires);
}

void store_flush(struct store *s, int64_t at)
{
	if (at > s->now) {
		store_word(&s->root->flush_at, at);
		return;
	}
	store_word(&s->root->flush_at, 0);
	store_word((int64_t *)&s->root->flushed, (int64_t)s->root->sums.cas);
}

/*
 * Expiry is kept as a point of CLOCK_REALTIME, because only this clock continues in the next
 * kernel, which reads it from the hardware. CLOCK_MONOTONIC and CLOCK_BOOTTIME start at 0 with each
 * boot. The price: setting the clock makes items expire earlier or later.
 */
void store_clock(struct store *s, int64_t now)
{
	int64_t flush_at = s->root->flush_at;

	s->now = now;
	/* Done before it is forgotten; doing it twice does no harm, as nothing was put since. */
	if (flush_at && flush_at <= now) {
		store_word((int64_t *)&s->root->flushed, (int64_t)s->root->sums.cas);
		store_word(&s->root->flush_at, 0);
	}
}

/* ---------------------------------- sweeping ---------------------------------- */

/* At a time, as clients wait meanwhile: after a restart each item may be a page fault. */
#define SWEEP_BUCKETS 2000
#define SWEEP_REMOVES 1000

bool store_sweep(struct store *s)
{
	unsigned removed = 0;
	uint64_t n = s->root->buckets < SWEEP_BUCKETS ? s->root->buckets : SWEEP_BUCKETS;

	/* After a start with a smaller limit. */
	while (s->root->sums.bytes > s->limit && removed < SWEEP_REMOVES && evict(s, NULL) >= 0)
		removed++;
	for (; n && removed < SWEEP_REMOVES; n--, s->sweep++) {
		item_ref *ref;
		struct item *item;

		if (s->sweep >= s->root->buckets)
			s->sweep = 0;
		ref = table_bucket(s->root, s->sweep);
		while ((item = luo_get(*ref))) {
			if (!is_dead(s, item)) {
				ref = &item->next;
				continue;
			}
			if (remove_at(s, ref) < 0)
				return false;
			removed++;
			s->expired++;
		}
	}
	/* Where there are many there are more. */
	return removed > SWEEP_BUCKETS / 8;
}
