/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Stops after every single store of the allocator, as if the process had been killed there: copies
 * the heap, opens the copy, checks it, and compares what is in it with what was there before the
 * operation and after it. It must be one of the two, and once it is the latter it stays so.
 *
 * Some of the interrupted heaps are kept, and their opening is stepped through in the same way: a
 * death while recovering from a death.
 *
 *	heap-step [OPERATIONS [SEED]]
 */

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <stdio.h>

#include "libluo/heap/internal.h"

#include "tests/integration/heap-step.h"
#include "common/util.h"

#define IMAGES     150
#define MAX_BLOCKS 4096

struct block {
	uint64_t offset, size;
};

/* What is in a heap, as far as its user can tell. */
struct content {
	uint64_t blocks; /* sum over all: order does not matter */
	uint64_t bytes;
	uint64_t roots;
};

struct image {
	uint8_t *bytes;
	size_t size;
	struct content content;
	char name[32];
};

static struct {
	int fd;   /* the worker's heap */
	int copy; /* of it */
	struct step_operation *operation;
	struct block before[MAX_BLOCKS];
	size_t n_before;
	struct content first;
	struct content *seen; /* different from the one before */
	size_t n_seen, capacity;
	struct image images[IMAGES];
	size_t n_images, next_image, interrupted;
	uint64_t stores, operations, recovered, seed;
	bool keep; /* interrupted heaps */
} w;

static void wrong(const char *what)
{
	fprintf(stderr, "%s: after store %llu, operation %llu: %s\n", w.operation->name,
		(unsigned long long)w.stores, (unsigned long long)w.operations, what);
	if (getenv("HEAP_STEP_KEEP")) {
		char command[200];

		snprintf(command, sizeof(command), "cp /proc/%d/fd/%d '%s'", getpid(), w.fd,
			 getenv("HEAP_STEP_KEEP"));
		(void)!system(command);
	}
	exit(1);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ b * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);

	return (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93) ^ x >> 29;
}

/* ---- what is in a heap ----------------------------------------------------------------------- */

static bool was_there(struct block b)
{
	for (size_t i = 0; i < w.n_before; i++)
		if (w.before[i].offset == b.offset && w.before[i].size == b.size)
			return true;
	return false;
}

struct look {
	struct luo_heap *heap;
	struct content content;
	struct block *blocks; /* where to list them, or NULL */
	size_t n;
	bool all_content;
	bool has_freed; /* the block that is being freed is in use */
};

static int look_at_block(void *ptr, size_t size, void *userdata)
{
	struct look *look = userdata;
	struct block b = { heap_offset(look->heap, ptr), size };
	uint64_t sum = mix(b.offset, size);

	look->content.blocks += sum;
	look->has_freed = look->has_freed || b.offset == w.operation->freed;
	if (look->all_content || (b.offset != w.operation->freed && was_there(b))) {
		for (size_t i = 0; i < size; i += i < 512 ? 8 : 1024)
			sum = mix(sum, *(const uint64_t *)((uint8_t *)ptr + i));
		look->content.bytes += sum;
	}
	if (look->blocks) {
		if (look->n == MAX_BLOCKS)
			return -E2BIG;
		look->blocks[look->n] = b;
	}
	look->n++;
	return 0;
}

static uint64_t roots_of(struct luo_heap *heap)
{
	struct luo_heap_root_info info = { .struct_size = sizeof(info) };
	uint64_t sum = 0;

	for (size_t i = 0; luo_heap_root_at(heap, i, &info) == 0; i++) {
		uint64_t root = mix(heap_offset(heap, info.object), info.size);

		root = mix(mix(root, info.version), info.type_id);
		for (const char *c = info.name; *c; c++)
			root = mix(root, (uint64_t)*c);
		sum += root;
	}
	return sum;
}

static void print_problem(const char *text, void *userdata)
{
	fprintf(stderr, "%s\n", text);
}

/* A program that does not know if it had freed it frees it now: it is told, and nothing breaks. */
static void free_again(const struct look *look)
{
	int r = luo_heap_free(look->heap, heap_at(look->heap, w.operation->freed));

	if (look->has_freed ? r != 0 : r != -EALREADY && r != -EINVAL)
		wrong("what was being freed is freed again, or cannot be freed");
	if (!luo_heap_alloc(look->heap, 100) || luo_heap_trim(look->heap) < 0)
		wrong(luo_heap_problem());
	if (luo_heap_check(look->heap, print_problem, NULL, NULL) < 0)
		wrong("luo_heap_check() found problems after it was freed again");
}

/* What a process finds that opens the copy. */
static struct content look_at_copy(bool all_content, struct block *blocks, size_t *ret_n,
				   bool *ret_recovered)
{
	struct luo_heap_options options = { .struct_size = sizeof(options),
					    .max_size = STEP_HEAP_SIZE };
	struct look look = { .all_content = all_content, .blocks = blocks };
	struct luo_heap_stat stat = { .struct_size = sizeof(stat) };

	if (luo_heap_open_fd(w.copy, &options, &look.heap) < 0)
		wrong(luo_heap_problem());
	if (luo_heap_check(look.heap, print_problem, NULL, NULL) < 0)
		wrong("luo_heap_check() found problems");
	if (luo_heap_walk(look.heap, look_at_block, &look) < 0)
		wrong("the walk failed");
	look.content.roots = roots_of(look.heap);
	luo_heap_stat(look.heap, &stat);
	if (w.operation->freed)
		free_again(&look);
	if (ret_recovered)
		*ret_recovered = stat.recovered;
	if (ret_n)
		*ret_n = look.n;
	luo_heap_close(look.heap);
	return look.content;
}

/* ---- copies ---------------------------------------------------------------------------------- */

static void put_file(int fd, const uint8_t *bytes, size_t size)
{
	if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)size) < 0)
		wrong("ftruncate");
	for (size_t i = 0; i < size; i += 4096) {
		static const uint8_t zeros[4096];
		size_t n = MIN2(size - i, (size_t)4096);

		if (memcmp(bytes + i, zeros, n) != 0 &&
		    pwrite(fd, bytes + i, n, (off_t)i) != (ssize_t)n)
			wrong("pwrite");
	}
}

static size_t size_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		wrong("fstat");
	return (size_t)st.st_size;
}

/* Without its holes: looking must not cost more than what is in it. */
static void copy_heap(void)
{
	static uint8_t buffer[1 << 16];
	off_t at = 0, end, size = (off_t)size_of(w.fd);

	if (ftruncate(w.copy, 0) < 0 || ftruncate(w.copy, size) < 0)
		wrong("ftruncate");
	while (at < size && (at = lseek(w.fd, at, SEEK_DATA)) >= 0) {
		end = lseek(w.fd, at, SEEK_HOLE);
		while (at < end) {
			size_t n = MIN2((size_t)(end - at), sizeof(buffer));

			if (pread(w.fd, buffer, n, at) != (ssize_t)n ||
			    pwrite(w.copy, buffer, n, at) != (ssize_t)n)
				wrong("copying");
			at += (off_t)n;
		}
	}
}

/* One of them all, every one with the same chance. */
static void keep_image(void)
{
	size_t i = w.interrupted++;
	struct image *image;

	if (i >= IMAGES) {
		i = mix(w.seed, w.interrupted) % w.interrupted;
		if (i >= IMAGES)
			return;
	} else {
		w.n_images++;
	}
	image = &w.images[i];
	image->size = size_of(w.fd);
	image->bytes = realloc(image->bytes, image->size);
	if (!image->bytes || pread(w.fd, image->bytes, image->size, 0) != (ssize_t)image->size)
		wrong("keeping it");
	copy_heap();
	image->content = look_at_copy(true, NULL, NULL, NULL);
	snprintf(image->name, sizeof(image->name), "%s", w.operation->name);
}

/* The next one becomes the worker's heap. */
static bool put_image(void)
{
	const struct image *image = &w.images[w.next_image];

	if (w.next_image == w.n_images)
		return false;
	put_file(w.fd, image->bytes, image->size);
	w.next_image++;
	return true;
}

/* ---- one operation --------------------------------------------------------------------------- */

static bool same(const struct content *a, const struct content *b)
{
	return a->blocks == b->blocks && a->bytes == b->bytes && a->roots == b->roots;
}

static void begin(void)
{
	copy_heap();
	w.n_before = 0;
	w.first = look_at_copy(true, w.before, &w.n_before, NULL);
	if (!w.operation->all_content) { /* now that we know which */
		copy_heap();
		w.first = look_at_copy(false, NULL, NULL, NULL);
	}
	w.n_seen = 0;
}

static void see(struct content content)
{
	if (w.n_seen > 0 && same(&content, &w.seen[w.n_seen - 1]))
		return;
	if (w.n_seen == w.capacity) {
		w.capacity = w.capacity ? w.capacity * 2 : 64;
		w.seen = realloc(w.seen, w.capacity * sizeof(*w.seen));
		if (!w.seen)
			wrong("no memory");
	}
	w.seen[w.n_seen++] = content;
}

static void stored(void)
{
	bool recovered;

	w.stores++;
	copy_heap();
	see(look_at_copy(w.operation->all_content, NULL, NULL, &recovered));
	w.recovered += recovered;
	if (recovered && w.keep)
		keep_image();
}

static void print_content(const char *what, const struct content *c)
{
	fprintf(stderr, "  %s: blocks %016llx bytes %016llx roots %016llx\n", what,
		(unsigned long long)c->blocks, (unsigned long long)c->bytes,
		(unsigned long long)c->roots);
}

/* Before it, (with a block more,) after it: never back, and nothing else. */
static void end(void)
{
	const struct content *last, *first = &w.first;
	size_t i = 0, most = w.operation->two_steps ? 3 : 2;

	stored();
	w.operations++;
	last = &w.seen[w.n_seen - 1];
	if (same(first, &w.seen[0]))
		i++;
	if (w.n_seen - i <= (same(first, last) ? 0 : most - 1))
		return;
	print_content("before", first);
	for (size_t j = 0; j < w.n_seen; j++)
		print_content("then", &w.seen[j]);
	wrong("a process that opens it sees a state between before and after");
}

/* A recovery that is interrupted ends where one that is not would have ended. */
static void begin_image(void)
{
	w.first = w.images[w.next_image - 1].content;
	w.n_seen = 0;
}

static bool answer(enum step_message message, bool *in_image)
{
	switch (message) {
	case STEP_BEGIN:
		if (*in_image)
			begin_image();
		else
			begin();
		return true;
	case STEP_STORED:
		stored();
		return true;
	case STEP_END:
		end();
		return true;
	case STEP_NEXT_IMAGE:
		w.keep = false;
		*in_image = true;
		return put_image();
	}
	wrong("an unknown message");
	return false;
}

static int watch(int from_worker, int to_worker)
{
	bool in_image = false;
	char byte;

	while (read(from_worker, &byte, 1) == 1) {
		byte = answer((enum step_message)byte, &in_image) ? 'y' : 'n';
		if (write(to_worker, &byte, 1) != 1)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	int to_worker[2], to_watcher[2], status;
	pid_t pid;

	/* Without: memset() by an instruction that stops after each byte. */
	if (!getenv("GLIBC_TUNABLES")) {
		setenv("GLIBC_TUNABLES",
		       "glibc.cpu.x86_rep_stosb_threshold=1000000000:glibc.cpu.x86_rep_movsb_threshold=1000000000",
		       1);
		execv("/proc/self/exe", argv);
	}
	w.operation = mmap(NULL, sizeof(*w.operation), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	w.seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	w.fd = memfd_create("heap-step", MFD_CLOEXEC);
	w.copy = memfd_create("heap-step-copy", MFD_CLOEXEC);
	w.keep = true;
	if (w.operation == MAP_FAILED || w.fd < 0 || w.copy < 0 || pipe(to_worker) < 0 ||
	    pipe(to_watcher) < 0)
		return 1;
	printf("seed %llu\n", (unsigned long long)w.seed);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(to_watcher[0]);
		close(to_worker[1]);
		trap_init(to_watcher[1], to_worker[0]);
		_exit(step_work(w.fd, w.operation, argc > 1 ? strtoul(argv[1], NULL, 0) : 150,
				w.seed));
	}
	close(to_watcher[1]);
	close(to_worker[0]);
	status = watch(to_watcher[0], to_worker[1]);
	if (status != 0 || waitpid(pid, &status, 0) != pid || status != 0)
		wrong("the worker failed");
	printf("%llu stores in %llu operations: %llu heaps had to be recovered, %zu of these recoveries were stepped through\n",
	       (unsigned long long)w.stores, (unsigned long long)w.operations,
	       (unsigned long long)w.recovered, w.next_image);
	return w.recovered > 0 && w.next_image > 0 ? 0 : 1;
}
