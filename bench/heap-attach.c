/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-bench-heap-attach make FOLDER RECORDS SIZE
 *         makes a heap of RECORDS records of SIZE bytes, and a dump of the same records
 * luo-bench-heap-attach attach FOLDER
 *         prints how long opening the heap took
 * luo-bench-heap-attach load FOLDER
 *         prints how long loading the dump took
 *
 * Both print two times in microseconds: from the start until the first record was read, and from
 * then until all were. A restarted program opens its heap; a program that wrote its state into a
 * file loads it. The dump is binary (key, size and bytes of each record), because a text takes
 * longer to parse. It is read in pieces of 1 MiB; each record gets a malloc of its own and goes
 * into a list, as in the heap.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include <luo/heap.h>

#include "bench/die.h"
#include "bench/record.h"

#define PIECE ((size_t)1 << 20)

struct head { /* of a record in the dump */
	uint64_t key;
	uint64_t size;
};

struct item { /* in the heap */
	LUO_REF(struct item) next;
	struct head head;
	uint8_t value[];
};

struct loaded { /* from the dump */
	struct loaded *next;
	struct head head;
	uint8_t value[];
};

struct list {
	LUO_REF(struct item) first;
	uint64_t records;
};

static const struct luo_heap_root_type list_type = {
	.struct_size = sizeof(list_type),
	.name = "list",
	.type_id = UINT64_C(0x62656e63682d6c69),
	.version = 1,
	.size = sizeof(struct list),
};

static const char *file_in(const char *folder, const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static uint64_t key_of(uint64_t i)
{
	return i * UINT64_C(0x9e3779b97f4a7c15);
}

static struct luo_heap *open_heap(const char *folder, unsigned flags)
{
	struct luo_heap_options options = { .struct_size = sizeof(options), .flags = flags };
	struct luo_heap *heap;
	int r = luo_heap_open_path(file_in(folder, "heap"), &options, &heap);

	if (r < 0)
		die(r, "%s", luo_heap_problem());
	return heap;
}

static struct list *find_list(struct luo_heap *heap)
{
	void *object;

	must(luo_heap_root(heap, &list_type, &object));
	return object;
}

/* ---------------------------------- make ---------------------------------- */

static void make(const char *folder, uint64_t records, size_t size)
{
	struct luo_heap *heap = open_heap(folder, 0);
	struct list *list = find_list(heap);
	FILE *dump = fopen(file_in(folder, "dump"), "we");

	if (!dump || size < sizeof(struct item))
		die(dump ? -EINVAL : -errno, "the dump");
	for (uint64_t i = 0; i < records; i++) {
		struct item *item = luo_heap_alloc(heap, size);

		if (!item)
			die(-errno, "allocating record %" PRIu64, i);
		item->head = (struct head){ key_of(i), size - sizeof(*item) };
		memset(item->value, (int)i, item->head.size);
		luo_set(item->next, luo_get(list->first));
		luo_set(list->first, item);
		if (fwrite(&item->head, sizeof(item->head), 1, dump) != 1 ||
		    (item->head.size && fwrite(item->value, item->head.size, 1, dump) != 1))
			die(-errno, "writing the dump");
	}
	list->records = records;
	if (fclose(dump) != 0)
		die(-errno, "writing the dump");
	luo_heap_close(heap);
}

/* --------------------------------- attach --------------------------------- */

static void print(double begin, double first, double all, uint64_t records, uint64_t expected,
		  uint64_t sum)
{
	uint64_t expected_sum = 0;

	for (uint64_t i = 0; i < records; i++)
		expected_sum += key_of(i);
	if (records != expected || sum != expected_sum)
		die(-EUCLEAN, "%" PRIu64 " records came, and they are not what was left", records);
	printf("%.1f %.1f\n", first - begin, all - first);
}

static void attach(const char *folder)
{
	double begin = bench_now(), first;
	struct luo_heap *heap = open_heap(folder, LUO_HEAP_MUST_EXIST);
	struct list *list = find_list(heap);
	uint64_t records = 0, sum = 0;

	if (luo_get(list->first)->head.key != key_of(list->records - 1))
		die(-EUCLEAN, "the first record");
	first = bench_now();
	for (struct item *i = luo_get(list->first); i; i = luo_get(i->next)) {
		sum += i->head.key;
		records++;
	}
	print(begin, first, bench_now(), records, list->records, sum);
}

/* ---------------------------------- load ---------------------------------- */

struct reader {
	int fd;
	uint8_t *piece;
	size_t at, end;
};

/* False at the end of the file. */
static bool read_bytes(struct reader *r, void *to, size_t size)
{
	uint8_t *p = to;

	while (size > 0) {
		size_t n = r->end - r->at;

		if (n == 0) {
			r->at = 0;
			r->end = (size_t)must_errno(read(r->fd, r->piece, PIECE));
			if (r->end == 0)
				return false;
			continue;
		}
		if (n > size)
			n = size;
		memcpy(p, r->piece + r->at, n);
		r->at += n;
		p += n;
		size -= n;
	}
	return true;
}

static void load(const char *folder)
{
	double begin = bench_now(), all;
	struct reader r = { .piece = malloc(PIECE) };
	uint64_t records = 0, walked = 0, sum = 0;
	struct loaded *list = NULL;
	struct head head;

	r.fd = must_errno(open(file_in(folder, "dump"), O_RDONLY | O_CLOEXEC));
	while (r.piece && read_bytes(&r, &head, sizeof(head))) {
		struct loaded *item = malloc(sizeof(*item) + head.size);

		if (!item || !read_bytes(&r, item->value, head.size))
			die(item ? -EIO : -ENOMEM, "the dump");
		item->head = head;
		item->next = list;
		list = item;
		records++;
	}
	all = bench_now();
	for (const struct loaded *i = list; i; i = i->next) {
		sum += i->head.key;
		walked++;
	}
	print(begin, all, bench_now(), walked, records, sum);
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "make") == 0) {
		make(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	} else if (argc == 3 && strcmp(argv[1], "attach") == 0) {
		attach(argv[2]);
	} else if (argc == 3 && strcmp(argv[1], "load") == 0) {
		load(argv[2]);
	} else {
		fprintf(stderr,
			"usage: %s make FOLDER RECORDS SIZE | attach FOLDER | load FOLDER\n",
			argv[0]);
		return 2;
	}
	return 0;
}
