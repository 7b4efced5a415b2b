/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Roots: the names by which a program finds its objects. Making, upgrading or removing a root is a
 * transaction, and its commit is in the same change of the heap as the entry of the root. So the
 * object and its name, or a layout and its version, appear at once.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "libluo/heap/internal.h"
#include "common/sized-struct.h"
#include "common/util.h"

#define TYPE_FIRST_SIZE SIZE_UP_TO(struct luo_heap_root_type, userdata)
#define INFO_FIRST_SIZE SIZE_UP_TO(struct luo_heap_root_info, object)

#define NAME_WORDS (HEAP_ROOT_NAME / 8)

static bool type_is_valid(const struct luo_heap_root_type *type)
{
	size_t n;

	if (!type->name || type->version == 0 || type->size == 0)
		return false;
	n = strnlen(type->name, HEAP_ROOT_NAME);
	if (n == 0 || n == HEAP_ROOT_NAME)
		return false;
	for (size_t i = 0; i < n; i++)
		if (type->name[i] < ' ' || type->name[i] > '~')
			return false;
	return true;
}

static uint32_t count_roots(const struct luo_heap *h)
{
	return MIN2(heap_load32(&heap_index(h)->roots), (uint32_t)HEAP_ROOTS);
}

/*
 * Copies an entry. A reader beside a live owner may read while it changes, so it reads until the
 * sum of the index, which changes with every change, is the same before and after.
 */
static void read_entry(const struct luo_heap *h, uint32_t i, struct heap_root *ret)
{
	const uint64_t *from = (const uint64_t *)&heap_roots(h)[i];
	uint64_t *to = (uint64_t *)ret;

	for (unsigned attempt = 0; attempt < 1000; attempt++) {
		uint64_t sum = heap_load(&heap_index(h)->sum);
		bool busy = h->beside_owner && heap_load(&heap_log(h)->commit);

		for (size_t word = 0; word < sizeof(*ret) / 8; word++)
			to[word] = heap_load(&from[word]);
		if (!busy && sum == heap_load(&heap_index(h)->sum))
			break;
	}
	ret->name[HEAP_ROOT_NAME - 1] = '\0';
}

/* Returns 1, 0, or -EUCLEAN if its object is impossible. */
static int get_entry(struct luo_heap *h, uint32_t i, struct heap_root *ret)
{
	/* While an owner is alive, the number of pages may change after it was verified. */
	uint64_t size = MIN2((uint64_t)heap_pages(h) << HEAP_PAGE_SHIFT, h->max_size);

	read_entry(h, i, ret);
	if (ret->object == 0)
		return 0;
	if (ret->object < HEAP_PAGE || ret->object >= size || ret->size > size - ret->object)
		return heap_problem(-EUCLEAN,
				    "the entry is damaged: its object is not in the heap");
	return 1;
}

/* Finds the entry of that name; *ret_index: its place, or a place for a new one. */
static int find_entry(struct luo_heap *h, const char *name, struct heap_root *ret,
		      uint32_t *ret_index)
{
	uint32_t n = count_roots(h), unused = n;

	for (uint32_t i = 0; i < n; i++) {
		int r = get_entry(h, i, ret);

		if (r < 0)
			return r;
		if (r == 0)
			unused = MIN2(unused, i);
		else if (streq(ret->name, name)) {
			*ret_index = i;
			return 1;
		}
	}
	*ret_index = unused;
	return 0;
}

static void put_entry(struct heap_change *c, uint32_t i, const struct heap_root *entry)
{
	uint64_t *to = (uint64_t *)&heap_roots(c->heap)[i];
	const uint64_t *from = (const uint64_t *)entry;
	uint32_t *roots = &heap_index(c->heap)->roots;

	for (size_t word = 0; word < sizeof(*entry) / 8; word++)
		heap_change_put(c, &to[word], from[word]);
	if (i >= heap_change_get32(c, roots))
		heap_change_put32(c, roots, i + 1);
}

/* Writes the entry and commits the open transaction at once. */
static int commit_entry(struct luo_heap *h, uint32_t i, const struct heap_root *entry)
{
	struct heap_slot_state *s = heap_slot_enter(h);
	struct heap_change c;
	int r;

	if (!s)
		return -errno;
	if (!s->in_tx) {
		heap_slot_leave(s);
		return heap_problem(
			-EINVAL,
			"the function that was called for it has ended the transaction in which it ran");
	}
	if (s->tx_error < 0) { /* an error of the transaction that the callback ignored */
		r = s->tx_error;
		luo_heap_abort(h);
		heap_slot_leave(s);
		return r;
	}
	pthread_mutex_lock(&h->lock);
	heap_change_init(&c, h);
	put_entry(&c, i, entry);
	heap_tx_put_commit(&c, s->slot);
	r = heap_change_commit(&c);
	pthread_mutex_unlock(&h->lock);
	if (r == 0)
		r = heap_tx_end(h, s);
	else
		luo_heap_abort(h);
	heap_slot_leave(s);
	return r;
}

static int make_root(struct luo_heap *h, const struct luo_heap_root_type *type, uint32_t i,
		     void **ret_object)
{
	struct heap_root entry = {
		.size = type->size,
		.type_id = type->type_id,
		.version = type->version,
	};
	void *object;
	int r;

	if (i >= HEAP_ROOTS)
		return heap_problem(-ENOSPC, "there are %d roots already", HEAP_ROOTS);
	r = luo_heap_begin(h);
	if (r < 0)
		return r == -EBUSY ? -EINVAL : r;
	object = luo_heap_calloc(h, 1, type->size);
	r = object ? 0 : -errno;
	if (r == 0 && type->init)
		r = type->init(h, object, type->userdata);
	if (r < 0) {
		luo_heap_abort(h);
		return r;
	}
	memcpy(entry.name, type->name, strlen(type->name));
	entry.object = heap_offset(h, object);
	r = commit_entry(h, i, &entry);
	if (r < 0)
		return r;
	*ret_object = object;
	return 1;
}

static int upgrade_root(struct luo_heap *h, const struct luo_heap_root_type *type, uint32_t i,
			struct heap_root *entry, void **ret_object)
{
	void *object = heap_at(h, entry->object);
	int r;

	if (!type->upgrade)
		return heap_problem(-EPROTONOSUPPORT,
				    "it has version %" PRIu64
				    ", and the program knows only version %" PRIu32,
				    entry->version, type->version);
	r = luo_heap_begin(h);
	if (r < 0)
		return r == -EBUSY ? -EINVAL : r;
	r = type->upgrade(h, object, (uint32_t)entry->version, entry->size, &object,
			  type->userdata);
	if (r >= 0 && luo_heap_usable_size(h, object) < type->size)
		r = heap_problem(-EINVAL,
				 "the upgrade returned an object that is smaller than %" PRIu64
				 " bytes",
				 type->size);
	if (r < 0) {
		luo_heap_abort(h);
		return r;
	}
	entry->object = heap_offset(h, object);
	entry->size = type->size;
	entry->version = type->version;
	r = commit_entry(h, i, entry);
	if (r < 0)
		return r;
	*ret_object = object;
	return 2;
}

static int find_or_make(struct luo_heap *h, const struct luo_heap_root_type *type,
			void **ret_object)
{
	struct heap_root entry;
	uint32_t i;
	int r;

	r = find_entry(h, type->name, &entry, &i);
	if (r < 0)
		return r;
	if (r == 0 && h->read_only)
		return heap_problem(-ENOENT, "the heap has no such root");
	if (r == 0)
		return make_root(h, type, i, ret_object);
	if (entry.type_id != type->type_id)
		return heap_problem(-EPROTOTYPE, "it has type id 0x%" PRIx64 ", and not 0x%" PRIx64,
				    entry.type_id, type->type_id);
	if (entry.version != type->version && h->read_only)
		return heap_problem(-EPROTONOSUPPORT,
				    "it has version %" PRIu64
				    ", and cannot be upgraded in a read-only heap",
				    entry.version);
	if (entry.version != type->version)
		return upgrade_root(h, type, i, &entry, ret_object);
	if (entry.size != type->size)
		return heap_problem(-EPROTOTYPE,
				    "it has %" PRIu64 " bytes, and not %" PRIu64
				    "; another layout needs another version",
				    entry.size, type->size);
	*ret_object = heap_at(h, entry.object);
	return 0;
}

_public_ int luo_heap_root(struct luo_heap *h, const struct luo_heap_root_type *type,
			   void **ret_object)
{
	struct luo_heap_root_type known = { 0 };
	int r;

	r = sized_struct_read(type, TYPE_FIRST_SIZE, &known, sizeof(known));
	heap_problem_begin("opening the root", known.name);
	if (r < 0)
		return heap_problem_end(r);
	if (!h || !type_is_valid(&known) || !ret_object || heap_in_tx(h))
		return heap_problem_end(-EINVAL);
	pthread_mutex_lock(&h->roots_lock);
	r = find_or_make(h, &known, ret_object);
	pthread_mutex_unlock(&h->roots_lock);
	return heap_problem_end(r);
}

_public_ int luo_heap_root_at(struct luo_heap *h, size_t index, struct luo_heap_root_info *ret_info)
{
	struct luo_heap_root_info info;
	size_t seen = 0;
	int r;

	if (!h)
		return -EINVAL;
	r = sized_struct_check(ret_info, INFO_FIRST_SIZE);
	if (r < 0)
		return r;
	heap_problem_begin("reading the roots of", heap_super(h)->name);
	for (uint32_t i = 0; i < count_roots(h); i++) {
		struct heap_root entry;

		r = get_entry(h, i, &entry);
		if (r < 0)
			return r;
		if (r == 0 || seen++ < index)
			continue;
		info = (struct luo_heap_root_info){
			.struct_size = sizeof(info),
			.type_id = entry.type_id,
			.version = (uint32_t)entry.version,
			.size = entry.size,
			.object = heap_at(h, entry.object),
		};
		memcpy(info.name, entry.name, sizeof(info.name));
		return sized_struct_return(ret_info, INFO_FIRST_SIZE, &info, sizeof(info));
	}
	return -ENOENT;
}

static int remove_root(struct luo_heap *h, const char *name)
{
	static const struct heap_root nothing;
	struct heap_root entry;
	uint32_t i;
	int r;

	r = find_entry(h, name, &entry, &i);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	r = luo_heap_begin(h);
	if (r < 0)
		return r == -EBUSY ? -EINVAL : r;
	r = luo_heap_free(h, heap_at(h, entry.object));
	if (r < 0) {
		luo_heap_abort(h);
		return r;
	}
	return commit_entry(h, i, &nothing);
}

_public_ int luo_heap_remove_root(struct luo_heap *h, const char *name)
{
	int r;

	heap_problem_begin("removing the root", name);
	if (!h || !name || heap_in_tx(h))
		return heap_problem_end(-EINVAL);
	pthread_mutex_lock(&h->roots_lock);
	r = remove_root(h, name);
	pthread_mutex_unlock(&h->roots_lock);
	return heap_problem_end(r);
}
