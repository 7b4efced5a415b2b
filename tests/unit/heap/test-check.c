/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo_heap_check() and luo_heap_walk(): a heap that was only used has no problems, and what they
 * count adds up; every kind of damage is found, named, and survived.
 */

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "libluo/heap/internal.h"

#include "tests/unit/helpers.h"

static struct luo_heap *heap;
static char problems[64][256];
static size_t n_problems;

static void add_problem(const char *text, void *userdata)
{
	assert_ptr_equal(userdata, problems);
	if (n_problems < ELEMENTSOF(problems))
		snprintf(problems[n_problems], sizeof(problems[0]), "%s", text);
	n_problems++;
}

static int check(struct luo_heap_usage *usage)
{
	n_problems = 0;
	return luo_heap_check(heap, add_problem, problems, usage);
}

static void assert_sound(void)
{
	struct luo_heap_usage usage = { .struct_size = sizeof(usage) };
	struct luo_heap_stat stat = { .struct_size = sizeof(stat) };
	int r = check(&usage);

	for (size_t i = 0; i < n_problems && i < ELEMENTSOF(problems); i++)
		print_error("%s\n", problems[i]);
	assert_int_equal(r, 0);
	assert_int_equal(usage.problems, 0);
	assert_int_equal(luo_heap_stat(heap, &stat), 0);
	assert_int_equal(usage.object_size + usage.free_size + usage.overhead_size, stat.size);
	assert_true(usage.free_size >= stat.free_pages_size);
}

static void assert_problem(const char *text)
{
	for (size_t i = 0; i < n_problems && i < ELEMENTSOF(problems); i++)
		if (strstr(problems[i], text))
			return;
	for (size_t i = 0; i < n_problems && i < ELEMENTSOF(problems); i++)
		print_error("%s\n", problems[i]);
	fail_msg("no problem has: %s", text);
}

static int open_heap(void **state)
{
	const struct luo_heap_options options = { .struct_size = sizeof(options), .name = "check" };

	return luo_heap_open_memory(&options, &heap);
}

static int close_heap(void **state)
{
	heap = luo_heap_close(heap);
	return 0;
}

/* ---- sound ----------------------------------------------------------------------------------- */

static uint64_t random_state = 1;

static uint64_t random_number(uint64_t n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (random_state >> 33) % n;
}

#define OBJECTS 600

static struct {
	void *p;
	size_t usable;
} objects[OBJECTS];

static size_t random_size(void)
{
	return random_number(UINT64_C(1) << (4 + random_number(15)));
}

static void churn(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		size_t k = random_number(OBJECTS);

		if (objects[k].p) {
			assert_int_equal(luo_heap_free(heap, objects[k].p), 0);
			objects[k].p = NULL;
		} else {
			objects[k].p = luo_heap_alloc(heap, random_size());
			assert_non_null(objects[k].p);
			objects[k].usable = luo_heap_usable_size(heap, objects[k].p);
		}
	}
}

static void assert_counted(void)
{
	struct luo_heap_usage usage = { .struct_size = sizeof(usage) };
	uint64_t n = 0, size = 0;

	for (size_t i = 0; i < OBJECTS; i++)
		if (objects[i].p) {
			n++;
			size += objects[i].usable;
		}
	assert_int_equal(check(&usage), 0);
	assert_int_equal(usage.objects, n);
	assert_int_equal(usage.object_size, size);
}

static void test_sound(void **state)
{
	assert_sound();
	memset(objects, 0, sizeof(objects));
	for (unsigned i = 0; i < 20; i++) {
		churn(500);
		assert_sound();
		assert_counted();
		if (i % 5 == 4)
			assert_int_equal(luo_heap_trim(heap), 0);
	}
	for (size_t i = 0; i < OBJECTS; i++) {
		assert_int_equal(luo_heap_free(heap, objects[i].p), 0);
		objects[i].p = NULL;
	}
	assert_sound();
	assert_counted();
}

/* A thread frees what another one allocated; then it takes over its slabs. */
static void *free_all(void *p)
{
	for (size_t i = 0; i < OBJECTS; i++) {
		if (objects[i].p && luo_heap_free(heap, objects[i].p) < 0)
			return p;
		objects[i].p = NULL;
	}
	return NULL;
}

static void *churn_in_thread(void *p)
{
	churn(2000);
	return NULL;
}

static void in_thread(void *(*run)(void *))
{
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, run, heap), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
}

static void test_remote(void **state)
{
	memset(objects, 0, sizeof(objects));
	churn(2000);
	assert_counted();
	in_thread(free_all);
	assert_sound();
	assert_counted();
	in_thread(churn_in_thread);
	assert_sound();
	assert_counted();
	churn(2000);
	assert_counted();
	in_thread(free_all);
	assert_int_equal(luo_heap_trim(heap), 0);
	assert_counted();
}

static void test_transactions(void **state)
{
	struct luo_heap_usage before = { .struct_size = sizeof(before) }, usage = before;

	memset(objects, 0, sizeof(objects));
	churn(300);
	assert_int_equal(check(&before), 0);
	assert_int_equal(luo_heap_begin(heap), 0);
	for (unsigned i = 0; i < 30; i++)
		assert_non_null(luo_heap_alloc(heap, i * 100000 / 30));
	for (size_t i = 0; i < OBJECTS; i++)
		if (objects[i].p)
			assert_int_equal(luo_heap_save(heap, objects[i].p, objects[i].usable), 0);
	assert_sound();
	assert_int_equal(check(&usage), 0);
	assert_int_equal(usage.objects, before.objects + 30);
	luo_heap_abort(heap);
	assert_sound();
	assert_int_equal(check(&usage), 0);
	assert_int_equal(usage.objects, before.objects);
}

/* ---- walking --------------------------------------------------------------------------------- */

struct walk {
	size_t n, stop_at;
	void *last;
};

static int visit(void *p, size_t size, void *userdata)
{
	struct walk *walk = userdata;
	size_t i;

	assert_true(p > walk->last);
	walk->last = p;
	for (i = 0; i < OBJECTS && objects[i].p != p; i++)
		;
	assert_true(i < OBJECTS);
	assert_int_equal(size, objects[i].usable);
	return ++walk->n == walk->stop_at ? 4711 : 0;
}

static void test_walk(void **state)
{
	struct luo_heap_usage usage = { .struct_size = sizeof(usage) };
	struct walk walk = { 0 };

	memset(objects, 0, sizeof(objects));
	assert_int_equal(luo_heap_walk(heap, visit, &walk), 0);
	assert_int_equal(walk.n, 0);
	churn(3000);
	in_thread(free_all);
	churn(3000);
	assert_int_equal(check(&usage), 0);
	assert_int_equal(luo_heap_walk(heap, visit, &walk), 0);
	assert_int_equal(walk.n, usage.objects);
	walk = (struct walk){ .stop_at = 3 };
	assert_int_equal(luo_heap_walk(heap, visit, &walk), 4711);
	assert_int_equal(walk.n, 3);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* A heap with something of everything; where things are. */
static struct {
	uint64_t object; /* of the root */
	uint32_t slab, listed_slab, second_slab, run, before_free, free_run, log;
	uint64_t remote;
	struct heap_slot *slot;
} at;

static uint32_t page_of(const void *p)
{
	return (uint32_t)(heap_offset(heap, p) >> HEAP_PAGE_SHIFT);
}

static void *free_one(void *p)
{
	return luo_heap_free(heap, heap_at(heap, at.remote)) == 0 ? NULL : p;
}

#define SLAB_BLOCKS 1021 /* of 64 bytes */

static void build(void)
{
	static const struct luo_heap_root_type type = {
		.struct_size = sizeof(type), .name = "root", .type_id = 1, .version = 1, .size = 64
	};
	static void *blocks[3 * SLAB_BLOCKS];
	void *root, *first, *second;
	bool log_is_before;
	uint32_t n;

	assert_int_equal(luo_heap_root(heap, &type, &root), 1);
	at.object = heap_offset(heap, root);
	at.slot = heap->slots[0].slot;
	for (size_t i = 0; i < ELEMENTSOF(blocks); i++)
		assert_non_null(blocks[i] = luo_heap_alloc(heap, 64));
	/* More than hints can name, of two slabs. */
	for (size_t i = SLAB_BLOCKS; i < ELEMENTSOF(blocks); i += 3)
		assert_int_equal(luo_heap_free(heap, blocks[i]), 0);
	at.listed_slab = at.slot->magazines[heap_class_of(64)].list;
	at.second_slab = (uint32_t)(heap_slab(heap, at.listed_slab)->links >> 32);
	assert_int_not_equal(at.listed_slab, 0);
	assert_int_not_equal(at.second_slab, 0);
	at.slab = page_of(luo_heap_alloc(heap, 1000));
	/* 15 blocks, so hints name all that are free. */
	assert_non_null(luo_heap_alloc(heap, 4096));
	at.remote = heap_offset(heap, blocks[1]);
	in_thread(free_one);
	assert_int_not_equal(at.slot->remote, 0);
	first = luo_heap_alloc(heap, 300000);
	second = luo_heap_alloc(heap, 300000);
	assert_non_null(luo_heap_alloc(heap, 300000));
	at.run = page_of(first);
	assert_int_equal(luo_heap_free(heap, second), 0);
	assert_int_equal(luo_heap_begin(heap), 0);
	assert_int_equal(luo_heap_save(heap, first, 8000), 0);
	at.log = (uint32_t)(at.slot->tx.segment >> HEAP_PAGE_SHIFT);
	assert_int_not_equal(at.log, 0);
	/* The log may have taken the first page of what was free. */
	log_is_before = at.log == page_of(second);
	at.free_run = page_of(second) + log_is_before;
	at.before_free = log_is_before ? at.log : at.run;
	assert_int_equal(HEAP_DESC_KIND(heap_desc(heap, at.free_run)->word), HEAP_PAGE_FREE);
	n = HEAP_DESC_PAGES(heap_desc(heap, at.before_free)->word);
	assert_int_equal(at.before_free + n, at.free_run);
	assert_sound();
}

/* The word becomes @value; the check finds @text; it is sound again afterwards. */
static void damage64(void *p, uint64_t value, const char *text)
{
	struct luo_heap_usage usage = { .struct_size = sizeof(usage) };
	uint64_t *word = p, before = *word;
	struct luo_heap_stat stat = { .struct_size = sizeof(stat) };

	assert_int_not_equal(before, value);
	*word = value;
	if (check(&usage) != -EUCLEAN)
		fail_msg("not found: %s", text);
	assert_int_equal(usage.problems, n_problems);
	assert_problem(text);
	assert_non_null(strstr(luo_heap_problem(), problems[0]));
	if (heap_pages(heap) <= heap->file_size >> HEAP_PAGE_SHIFT) {
		assert_int_equal(luo_heap_stat(heap, &stat), 0);
		assert_int_equal(usage.object_size + usage.free_size + usage.overhead_size,
				 stat.size);
	}
	*word = before;
}

static void damage32(void *p, uint32_t value, const char *text)
{
	uintptr_t begin = (uintptr_t)p & ~(uintptr_t)7;
	unsigned shift = (unsigned)((uintptr_t)p & 7) * 8;
	uint64_t word = *(uint64_t *)begin;

	damage64((void *)begin,
		 (word & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift, text);
}

static struct heap_desc *desc(uint32_t page)
{
	return heap_desc(heap, page);
}

static void test_damaged_super(void **state)
{
	struct heap_super *super = heap_super(heap);
	struct heap_index *index = heap_index(heap);
	uint8_t *base = heap->base;

	build();
	damage64(&super->magic, 1, "the magic number at offset 0");
	damage32(&super->format, 2, "the format is 2, not 1");
	damage32(&super->page_shift, 12, "pages have 2^12 bytes");
	damage64(&super->created_usec, 1, "the super page: its sum");
	damage64(&super->reserved[3], 1, "where zeros belong");
	damage64(&super->id, 1, "its check word");
	damage64(base + HEAP_OWNER_OFFSET + 0x100, 1, "the owner: at offset 0x200");
	damage64(base + HEAP_LOG_OFFSET - 8, 1, "behind the index: at offset 0xff8");
	damage64(base + HEAP_ROOTS_OFFSET - 8, 1, "behind the heap's log: at offset 0x1ff8");
	damage64(base + HEAP_ROOTS_OFFSET + 128, 1, "behind the roots in use: at offset 0x2080");
	damage64(base + HEAP_DIRECTORY_OFFSET + 24, 1, "behind the directory in use");
	damage64(base + HEAP_PAGE - 8, 1, "the end of the super page: at offset 0xfff8");
	damage64(&heap_log(heap)->commit, 7, "the heap's log (offset 0x1000) is not empty");
	damage64(&index->sum, 1, "the index, roots and directory: its sum");
	damage32(&index->pages, 1 << 22, "of which only");
	damage32(&index->pages, 5, "the index, roots and directory: its sum");
	damage32(&index->free_pages, 1, "the index has 1 free pages, and there are");
	damage32(&index->leaves, 0, "the index has 0 leaves");
	damage32(&index->leaves, 5000, "the index has 5000 leaves");
	damage32(&index->slots, 129, "the index has 129 slots, more than 128");
	damage32(&index->roots, 129, "the index has 129 roots, more than 128");
}

static void test_damaged_roots(void **state)
{
	struct heap_root *root = heap_roots(heap);

	build();
	damage64(&root->object, at.object + 16, "where no block in use begins");
	damage64(&root->object, at.remote, "where no block in use begins");
	damage64(&root->object, UINT64_MAX - 7, "where no block in use begins");
	damage64(&root->object, (uint64_t)at.run << HEAP_PAGE_SHIFT, "its sum");
	damage64(&root->size, 0, "is said to have 0 bytes");
	damage64(&root->size, 65, "is said to have 65 bytes, and its block at");
	damage64(&root->version, 0, "has version 0");
	damage64(&root->version, UINT64_C(1) << 32, "has version 4294967296");
	damage64(root->name, 0, "has an invalid name");
	damage64(root->name, UINT64_C(0x000000070000746f), "has an invalid name");
	damage64(&root->reserved[5], 1, "is not zero");
}

static void test_damaged_pages(void **state)
{
	struct heap_leaf_entry *leaf = heap_directory(heap);
	struct heap_index *index = heap_index(heap);
	uint32_t n, before, last;

	build();
	last = heap_pages(heap) - 1;
	n = HEAP_DESC_PAGES(desc(at.free_run)->word);
	damage64(&leaf->page, 0, "leaf 0 (directory, offset 0x6000) is said to be page 0");
	damage64(&leaf->page, UINT64_C(1) << 40, "is said to be page 1099511627776");
	damage64(&leaf->page, at.slab, "which is");
	damage64(&leaf->page, last, "belong to nothing");
	damage64(&leaf->sum, 1, "leaf 0 (page 1): its sum");
	damage64(&desc(HEAP_LEAF_PAGES - 1)->word, 1, "where zeros belong");
	damage64(&desc(0)->word, 0, "1 page from page 0 on (offset 0x0) belong to nothing");
	damage64(&desc(0)->word, HEAP_DESC(HEAP_PAGE_RUN, 1), "page 0 is the super page");
	damage64(&desc(at.run)->word, HEAP_DESC(HEAP_PAGE_RUN, 3), "is part of an object");
	damage64(&desc(at.run)->word, HEAP_DESC(HEAP_PAGE_RUN, UINT32_MAX), "belong to nothing");
	damage64(&desc(at.run)->word, HEAP_DESC(HEAP_PAGE_RUN, 0), "belong to nothing");
	damage64(&desc(at.run)->word, HEAP_DESC(15, 5), "belong to nothing");
	damage64(&desc(at.run)->word, desc(at.run)->word | 1 << 20, "belong to nothing");
	damage64(&desc(at.run)->links, 1, "belong to nothing");
	damage64(&desc(at.run + 1)->word, HEAP_DESC(HEAP_PAGE_META, 1), "is part of an object");
	damage64(&desc(at.run + 4)->word, 0, "is part of an object");
	damage64(&desc(at.run + 2)->links, 5, "is part of an object");
	damage64(&desc(at.free_run)->word, HEAP_DESC(HEAP_PAGE_META, 1),
		 "is neither super page nor leaf nor slots");
	damage64(&desc(at.free_run)->word, HEAP_DESC(HEAP_PAGE_LOG, n),
		 "is part of no transaction's log");
	damage64(&desc(at.free_run)->word, HEAP_DESC(HEAP_PAGE_FREE, n - 1) | HEAP_DESC_HOLES,
		 "is in list");
	damage64(&desc(at.free_run)->word, HEAP_DESC(HEAP_PAGE_RUN, n), "where none begins");
	before = HEAP_DESC_PAGES(desc(at.before_free)->word);
	damage64(&desc(at.before_free)->word, HEAP_DESC(HEAP_PAGE_FREE, before), "are neighbors");
	damage64(&desc(at.run)->word, HEAP_DESC(HEAP_PAGE_FREE, 5), "in no list of free runs");
	damage64(&desc(at.free_run)->links, at.free_run, "names page");
	damage64(&desc(at.free_run)->links, (uint64_t)at.free_run << 32, "is in a list twice");
	damage64(&desc(at.free_run)->links, (uint64_t)at.run << 32, "where none begins");
	damage64(&desc(at.free_run)->links, UINT64_C(0xffffffff00000000), "where none begins");
	assert_int_equal(luo_heap_trim(heap), 0);
	assert_true(desc(at.free_run)->word & HEAP_DESC_ZERO);
	damage64(heap_page(heap, at.free_run) + 4096, 1,
		 "is marked as zeros, but is not zero at offset");
	damage32(&index->lists[7][0], at.free_run, "in a list twice");
	damage32(&index->lists[7][0], last + 1, "where none begins");
	damage32(&index->fl_bitmap, 0, "the bitmap of all lists of free runs is 0x000000");
	damage64(index->sl_bitmap, 0, "the bitmap of the lists 0/0 to 0/7");
	damage32(&index->slot_pages[0], at.slab, "which is not a page of tables");
	damage32(&index->slot_pages[0], 1, "which is something else already");
	damage32(&index->slot_pages[0], UINT32_MAX, "which is not a page of tables");
	damage32(&index->slot_pages[9], 2, "there are 2 slots, and page 2 is said to have");
}

static void test_damaged_slabs(void **state)
{
	unsigned class = heap_class_of(64), other = heap_class_of(1000);
	struct heap_magazine *m = &at.slot->magazines[class];
	struct heap_slab *slab, *listed, *second;
	uint64_t word;

	build();
	m = &at.slot->magazines[class];
	slab = heap_slab(heap, at.slab);
	listed = heap_slab(heap, at.listed_slab);
	second = heap_slab(heap, at.second_slab);
	word = desc(at.slab)->word;
	damage64(&slab->check, 1, "its check word is 0x0000000000000001");
	damage64(&slab->listed, 2, "listed is 0x2, not 0 or 1");
	damage64(&slab->reserved[1], 1, "is not zero");
	damage64(&slab->used[0], slab->used[0] | UINT64_C(1) << 63, "more are in use");
	damage64(&desc(at.slab)->word, word ^ 1 << 4, "its check word is");
	damage64(&desc(at.slab)->word, HEAP_DESC_SLAB(other, 1, 1), "which is not a slab of");
	damage64(&desc(at.slab)->word, HEAP_DESC_SLAB(other, 100, 1), "belongs to slot 100");
	damage64(&desc(at.slab)->word, HEAP_DESC_SLAB(other, 1000, 1), "belong to nothing");
	damage64(&desc(at.slab)->word, HEAP_DESC_SLAB(200, 0, 1), "belong to nothing");
	damage64(&listed->listed, 0, "is in the list, but is marked as not listed");
	damage64(&listed->listed, 0, "and is not listed");
	damage64(&listed->links, 0, "is marked as listed, but is not in the list");
	damage64(&listed->links, (uint64_t)at.listed_slab << 32, "is listed twice");
	damage64(&listed->links, (uint64_t)at.slab << 32, "which is not a slab of");
	damage64(&listed->links, UINT64_C(0xffffffff00000000), "which is not a slab of");
	damage64(&second->links, second->links & ~(uint64_t)UINT32_MAX, "as the one before it");
	damage32(&m->list, 0, "is marked as listed, but is not in the list");
	damage32(&m->list, at.run, "which is not a slab of");
	damage32(&m->list, UINT32_MAX, "which is not a slab of");
}

static void test_damaged_slots(void **state)
{
	unsigned class = heap_class_of(64);
	struct heap_tx_segment *segment;
	struct heap_slot *slot;
	struct heap_magazine *m, *few;
	uint64_t *hint;

	build();
	slot = at.slot;
	m = &slot->magazines[class];
	hint = &m->ring[(m->top - 1) % HEAP_MAGAZINE];
	segment = heap_at(heap, slot->tx.segment);
	damage64(&slot->check, 1, "slot 0: its check word");
	damage64(&slot->log.commit, 1, "slot 0: its log (offset 0x20010) is not empty");
	damage64(&slot->reserved[0], 1, "slot 0: at offset 0x20c90 is not zero");
	damage64((uint8_t *)slot + HEAP_SLOT_SIZE - 8, 1, "slot 0: at offset 0x23ff8");
	damage32(&m->top, m->bottom + 33, "has 33 hints, more than 32");
	few = &slot->magazines[heap_class_of(4096)];
	damage32(&few->top, few->bottom + 13, "has 14 free blocks, of which hints name 13");
	damage32(&m->reserved, 1, "has something where zeros belong");
	damage64(hint, HEAP_HINT(at.run, 0), "which is not a slab of that slot and class");
	damage64(hint, HEAP_HINT(at.slab, 0), "which is not a slab of that slot and class");
	damage64(hint, HEAP_HINT(at.listed_slab, 60000), "names block 60000");
	damage64(hint, *hint | UINT64_C(1) << 50, "which is not a slab of that slot and class");
	damage64(&slot->remote, at.remote + 1, "where no block begins");
	damage64(&slot->remote, UINT64_MAX, "where no block begins");
	damage64(heap_at(heap, at.remote), at.remote, "twice");
	damage64(heap_at(heap, at.remote), 5, "where no block begins");
	damage64(&heap->slots[1].slot->remote, at.remote, "whose slab is of slot 0");
	damage64(&slot->tx.word, UINT64_C(3) << 32, "the state of its transaction");
	damage64(&slot->tx.word, 0, "there is no transaction, and its log");
	damage64(&slot->tx.word, slot->tx.word + 1, "is invalid");
	damage64(&slot->tx.word, slot->tx.word | 60000, "has room for 8190 words");
	damage64(&slot->tx.segment, 0, "is part of no transaction's log");
	damage64(&slot->tx.segment, (uint64_t)at.run << HEAP_PAGE_SHIFT, "not a segment of a log");
	damage64(&slot->tx.segment, UINT64_MAX, "not a segment of a log");
	damage64(&segment->previous, heap_offset(heap, segment), "part of a log already");
	damage64(&segment->previous_word, 301, "has room for 300 words in the slot");
	heap->slots[0].in_tx = false;
	assert_int_equal(check(NULL), -EUCLEAN);
	assert_problem("a transaction is open (offset 0x20320), and no thread is in it");
	heap->slots[0].in_tx = true;
}

static int count(void *p, size_t size, void *userdata)
{
	assert_true(heap_offset(heap, p) + size <= heap->file_size);
	return 0;
}

/* Any word of the tables, any value: no crash, no end that does not come. */
static void test_random_damage(void **state)
{
	build();
	for (unsigned i = 0; i < 3000; i++) {
		static const uint64_t values[] = { 0, 1, 3, UINT32_MAX, UINT64_MAX, 1 << 16 };
		uint64_t areas[] = { HEAP_INDEX_OFFSET,
				     HEAP_ROOTS_OFFSET,
				     HEAP_DIRECTORY_OFFSET,
				     HEAP_PAGE,
				     heap_offset(heap, at.slot),
				     (uint64_t)at.slab << HEAP_PAGE_SHIFT,
				     (uint64_t)at.log << HEAP_PAGE_SHIFT };
		uint64_t *word = heap_at(heap, areas[random_number(ELEMENTSOF(areas))] +
						       random_number(400) * 8);
		uint64_t before = *word;

		*word = random_number(2) ? values[random_number(ELEMENTSOF(values))]
					 : before ^ UINT64_C(1) << random_number(64);
		(void)check(NULL);
		(void)luo_heap_walk(heap, count, NULL);
		*word = before;
	}
	assert_sound();
}

/* ---- beside an owner ------------------------------------------------------------------------- */

#define OWN_OBJECTS 300

/* No assertions here: they would go on with the tests. */
static void use_until_killed(struct luo_heap *own)
{
	void *p[OWN_OBJECTS] = { 0 }, *more;

	for (;;) {
		size_t k = random_number(OWN_OBJECTS);

		if (p[k] && luo_heap_free(own, p[k]) < 0)
			_exit(1);
		p[k] = p[k] ? NULL : luo_heap_alloc(own, random_size() * 4);
		if (random_number(10) > 0)
			continue;
		if (luo_heap_begin(own) < 0)
			_exit(2);
		more = luo_heap_alloc(own, random_size() * 4);
		if (!more || luo_heap_save(own, more, luo_heap_usable_size(own, more)) < 0)
			_exit(3);
		if (random_number(2) && luo_heap_free(own, more) == 0)
			(void)luo_heap_commit(own);
		else
			luo_heap_abort(own);
	}
}

static pid_t start_owner(int fd)
{
	struct luo_heap *own;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	random_state = (uint64_t)getpid();
	if (luo_heap_open_fd(fd, NULL, &own) < 0)
		_exit(4);
	use_until_killed(own);
	_exit(5);
}

static void kill_owner(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		fail_msg("the owner ended by itself, with %d", WEXITSTATUS(status));
}

static void open_and(int fd, unsigned flags, void (*look)(void))
{
	const struct luo_heap_options options = { .struct_size = sizeof(options), .flags = flags };
	struct luo_heap *before = heap;
	int r = luo_heap_open_fd(fd, &options, &heap);

	if (r < 0)
		fail_msg("%s", luo_heap_problem());
	look();
	luo_heap_close(heap);
	heap = before;
}

static int visit_any(void *p, size_t size, void *userdata)
{
	return 0;
}

/* What is seen may be of any moment; but it comes to an end. */
static void look_beside(void)
{
	int r = check(NULL);

	assert_true(r == 0 || r == -EUCLEAN);
	r = luo_heap_walk(heap, visit_any, NULL);
	assert_true(r == 0 || r == -EUCLEAN);
}

static void test_beside_owner(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	open_and(fd, 0, assert_sound);
	for (unsigned i = 0; i < 20; i++) {
		pid_t pid = start_owner(fd);

		assert_true(pid > 0);
		for (unsigned k = 0; k < 10; k++)
			open_and(fd, LUO_HEAP_READ_ONLY, look_beside);
		kill_owner(pid);
		open_and(fd, LUO_HEAP_READ_ONLY, assert_sound);
		open_and(fd, 0, assert_sound);
	}
	close(fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_heap, close_heap)
	static const struct CMUnitTest tests[] = {
		TEST(test_sound),         TEST(test_remote),        TEST(test_transactions),
		TEST(test_walk),          TEST(test_damaged_super), TEST(test_damaged_roots),
		TEST(test_damaged_pages), TEST(test_damaged_slabs), TEST(test_damaged_slots),
		TEST(test_random_damage), TEST(test_beside_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
