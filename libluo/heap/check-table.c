/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The tables of the check: runs, blocks, a set of offsets; and the reporting of problems. */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "libluo/heap/check.h"
#include "common/util.h"

void check_problem(struct check *c, const char *format, ...)
{
	char text[sizeof(c->first)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (c->n_problems++ == 0)
		memcpy(c->first, text, sizeof(text));
	if (c->problem)
		c->problem(text, c->userdata);
}

int check_set_add(struct check_set *set, uint64_t offset)
{
	struct check_set larger;
	size_t i;

	if (check_set_has(set, offset))
		return 0;
	if (set->n * 2 >= set->size) {
		larger = (struct check_set){ .size = MAX2(set->size * 2, (size_t)64) };
		larger.slots = calloc(larger.size, sizeof(*larger.slots));
		if (!larger.slots)
			return -ENOMEM;
		for (i = 0; i < set->size; i++)
			if (set->slots[i])
				(void)check_set_add(&larger, set->slots[i]);
		free(set->slots);
		*set = larger;
	}
	for (i = heap_mix(offset, 0, 0) & (set->size - 1); set->slots[i];
	     i = (i + 1) & (set->size - 1))
		;
	set->slots[i] = offset;
	set->n++;
	return 1;
}

bool check_set_has(const struct check_set *set, uint64_t offset)
{
	if (set->size == 0)
		return false;
	for (size_t i = heap_mix(offset, 0, 0) & (set->size - 1); set->slots[i];
	     i = (i + 1) & (set->size - 1))
		if (set->slots[i] == offset)
			return true;
	return false;
}

struct check_run *check_run_at(const struct check *c, uint64_t page, enum heap_page_kind kind)
{
	struct check_run *run;

	if (page >= c->pages || c->run_of[page] == 0)
		return NULL;
	run = &c->runs[c->run_of[page] - 1];
	return run->page == page && run->kind == kind ? run : NULL;
}

struct check_run *check_block_at(const struct check *c, uint64_t offset, uint32_t *ret_block)
{
	uint64_t page = offset >> HEAP_PAGE_SHIFT, at;
	const struct heap_class *class;
	struct check_run *run;

	if (page >= c->pages || c->run_of[page] == 0)
		return NULL;
	run = &c->runs[c->run_of[page] - 1];
	if (run->kind != HEAP_PAGE_SLAB)
		return NULL;
	class = &heap_classes[run->class];
	at = offset - check_page_offset(run->page);
	if (at < class->first || (at - class->first) % class->size != 0 ||
	    (at - class->first) / class->size >= class->blocks)
		return NULL;
	*ret_block = (uint32_t)((at - class->first) / class->size);
	return run;
}

bool check_block_used(const struct check *c, const struct check_run *slab, uint32_t block)
{
	uint64_t offset = check_page_offset(slab->page) + offsetof(struct heap_slab, used);

	return check_load(c, offset + block / 64 * sizeof(uint64_t)) >> block % 64 & 1;
}

bool check_is_zero(const struct check *c, uint64_t offset, uint64_t end, uint64_t *ret_offset)
{
	for (; offset < end; offset += sizeof(uint64_t))
		if (check_load(c, offset) != 0) {
			*ret_offset = offset;
			return false;
		}
	return true;
}

uint64_t check_sum(const struct check *c, uint64_t offset, uint64_t end)
{
	uint64_t sum = 0;

	for (; offset < end; offset += sizeof(uint64_t))
		sum += heap_sum_word(offset, check_load(c, offset));
	return sum;
}

int check_begin(struct check *c, struct luo_heap *heap)
{
	uint64_t readable;
	struct stat st;

	c->heap = heap;
	/* In this order, because a live owner extends the file first. */
	c->pages = check_load32(c, HEAP_INDEX_OFFSET + offsetof(struct heap_index, pages));
	if (fstat(heap->fd, &st) < 0)
		return -errno;
	readable = MIN2((uint64_t)st.st_size, heap->max_size) >> HEAP_PAGE_SHIFT;
	if (readable == 0) {
		check_problem(c, "the file has only %" PRIu64 " bytes", (uint64_t)st.st_size);
		return -EUCLEAN;
	}
	c->id = check_load(c, HEAP_SUPER_OFFSET + offsetof(struct heap_super, id));
	if (c->pages > readable) {
		check_problem(c,
			      "the index (offset 0x%x) has %" PRIu32
			      " pages, of which only %" PRIu64 " can be read",
			      HEAP_INDEX_OFFSET, c->pages, readable);
		c->pages = (uint32_t)readable;
	}
	c->run_of = calloc(c->pages, sizeof(*c->run_of));
	return c->run_of ? 0 : -ENOMEM;
}

void check_end(struct check *c)
{
	free(c->run_of);
	free(c->runs);
	free(c->remote.slots);
}
