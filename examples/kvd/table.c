/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <errno.h>
#include <string.h>

#include "store.h"

/* ------------------------------ SipHash-1-3 (Aumasson, Bernstein 2012) ------------------------ */

static uint64_t rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
	v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

uint32_t table_hash(const uint64_t key[2], const char *data, size_t size)
{
	uint64_t v[4] = { key[0] ^ UINT64_C(0x736f6d6570736575),
			  key[1] ^ UINT64_C(0x646f72616e646f6d),
			  key[0] ^ UINT64_C(0x6c7967656e657261),
			  key[1] ^ UINT64_C(0x7465646279746573) };
	uint64_t word, last = (uint64_t)size << 56;
	size_t left = size;

	for (; left >= 8; left -= 8, data += 8) {
		memcpy(&word, data, 8);
		sip_word(v, word);
	}
	word = 0;
	memcpy(&word, data, left);
	sip_word(v, last | word);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

/* ---------------------------------- the table ---------------------------------- */

static unsigned log2_of(uint64_t n)
{
	return 63 - (unsigned)__builtin_clzll(n);
}

/* Segment 0 has the buckets below STORE_SEGMENT, and segment i those from STORE_SEGMENT << (i - 1)
 * on. */
static unsigned segment_of(uint64_t index, uint64_t *ret_first)
{
	unsigned segment = 0;

	*ret_first = 0;
	if (index >= STORE_SEGMENT) {
		segment = log2_of(index / STORE_SEGMENT) + 1;
		*ret_first = UINT64_C(1) << log2_of(index);
	}
	return segment;
}

item_ref *table_bucket(struct store_root *root, uint64_t index)
{
	uint64_t first;
	unsigned segment = segment_of(index, &first);

	return luo_get(root->segments[segment]) + (index - first);
}

/* With 2^n to 2^(n+1) - 1 buckets, n + 1 bits of the hash say which; those that are not there yet
 * are still in the bucket that they will split off from, n bits. */
static uint64_t index_of(const struct store_root *root, uint32_t hash)
{
	uint64_t half = UINT64_C(1) << log2_of(root->buckets);
	uint64_t index = hash & (2 * half - 1);

	return index < root->buckets ? index : index - half;
}

item_ref *table_find(struct store_root *root, struct key key)
{
	item_ref *ref = table_bucket(root, index_of(root, key.hash));
	struct item *item;

	for (; (item = luo_get(*ref)); ref = &item->next)
		if (item->hash == key.hash && item->key_size == key.size &&
		    memcmp(item->data, key.data, key.size) == 0)
			break;
	return ref;
}

int table_init(struct luo_heap *heap, struct store_root *root)
{
	item_ref *buckets = luo_heap_calloc(heap, STORE_SEGMENT, sizeof(item_ref));

	if (!buckets)
		return -errno;
	luo_set(root->segments[0], buckets);
	root->buckets = STORE_SEGMENT;
	return 0;
}

static int save_bucket(struct luo_heap *heap, item_ref *bucket)
{
	struct item *item;
	int r = luo_heap_save(heap, bucket, sizeof(*bucket));

	for (item = luo_get(*bucket); r >= 0 && item; item = luo_get(item->next))
		r = luo_heap_save(heap, &item->next, sizeof(item->next));
	return r;
}

/* In a transaction. The new bucket is not reached before root->buckets says that it is there, so
 * what was in its memory before need be neither cleared nor saved. */
static int split(struct luo_heap *heap, struct store_root *root)
{
	uint64_t index = root->buckets, half = UINT64_C(1) << log2_of(index), first;
	unsigned segment = segment_of(index, &first);
	item_ref *from = table_bucket(root, index - half), *to, *stay = from;
	struct item *item, *next;
	int r;

	if (index == first) {
		to = luo_heap_alloc(heap, half * sizeof(item_ref));
		if (!to)
			return -errno;
		r = luo_heap_save(heap, &root->segments[segment], sizeof(root->segments[0]));
		if (r < 0)
			return r;
		luo_set(root->segments[segment], to);
	} else {
		to = table_bucket(root, index);
	}
	r = luo_heap_save(heap, &root->buckets, sizeof(root->buckets));
	if (r >= 0)
		r = save_bucket(heap, from);
	if (r < 0)
		return r;
	for (item = luo_get(*from); item; item = next) {
		next = luo_get(item->next);
		if (item->hash & half) {
			luo_set(*to, item);
			to = &item->next;
		} else {
			luo_set(*stay, item);
			stay = &item->next;
		}
	}
	luo_set(*to, NULL);
	luo_set(*stay, NULL);
	root->buckets++;
	return 0;
}

void table_grow(struct luo_heap *heap, struct store_root *root)
{
	uint64_t max = (uint64_t)STORE_SEGMENT << (STORE_SEGMENTS - 1);

	if (root->sums.items <= root->buckets || root->buckets >= max || luo_heap_begin(heap) < 0)
		return;
	/* Without memory for it the chains get longer, and that is all. */
	if (split(heap, root) < 0 || luo_heap_commit(heap) < 0)
		luo_heap_abort(heap);
}
