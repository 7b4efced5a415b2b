/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * A phone book in a persistent heap: a sorted list of persons, each with a number. Every command is
 * a process of its own, which finds the book as the one before has left it.
 *
 *   luo-example-heap-book FILE                        who is in it
 *   luo-example-heap-book FILE set NAME NUMBER
 *   luo-example-heap-book FILE rename NAME NEW-NAME
 *   luo-example-heap-book FILE remove NAME
 *
 * The heap is in a file here, for a change. With luo_heap_open() it would be in an fd store, and
 * nothing else would differ.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <luo/heap.h>

struct person;
typedef LUO_REF(struct person) person_ref; /* a name for it, for pointers to references */

struct person {
	person_ref next;
	LUO_REF(char) number;
	char name[];
};

struct book {
	person_ref first; /* sorted by name */
	uint64_t persons;
};

static const struct luo_heap_root_type book_type = {
	.struct_size = sizeof(book_type),
	.name = "book",
	.type_id = 0x2c94b0d1687fae35,
	.version = 1,
	.size = sizeof(struct book),
};

/* The reference that refers to that person, or would. */
static person_ref *find(struct book *book, const char *name)
{
	person_ref *link = &book->first;

	for (struct person *p; (p = luo_get(*link)); link = &p->next)
		if (strcmp(p->name, name) >= 0)
			break;
	return link;
}

static struct person *found(const person_ref *link, const char *name)
{
	struct person *person = luo_get(*link);

	return person && strcmp(person->name, name) == 0 ? person : NULL;
}

static char *copy_text(struct luo_heap *heap, const char *text)
{
	char *copy = luo_heap_alloc(heap, strlen(text) + 1);

	return copy ? strcpy(copy, text) : NULL;
}

/* The number is built, then published with one store: a reader sees the old one or the new one,
 * also after a crash. */
static int change_number(struct luo_heap *heap, struct person *person, const char *number)
{
	char *old = luo_get(person->number);
	char *new = copy_text(heap, number);

	if (!new)
		return -errno;
	luo_set(person->number, new);
	return luo_heap_free(heap, old);
}

/* Called in a transaction: so the blocks are not lost if it does not come to the commit. */
static int add(struct luo_heap *heap, struct book *book, const char *name, const char *number)
{
	person_ref *link = find(book, name);
	struct person *person = luo_heap_alloc(heap, sizeof(*person) + strlen(name) + 1);
	char *copy = copy_text(heap, number);
	int r;

	if (!person || !copy)
		return -errno;
	strcpy(person->name, name);
	luo_set(person->number, copy);
	luo_set(person->next, luo_get(*link));

	r = luo_heap_save(heap, link, sizeof(*link));
	if (r == 0)
		r = luo_heap_save(heap, &book->persons, sizeof(book->persons));
	if (r < 0)
		return r;
	luo_set(*link, person);
	book->persons++;
	return 0;
}

/* Called in a transaction. */
static int take_out(struct luo_heap *heap, struct book *book, person_ref *link)
{
	struct person *person = luo_get(*link);
	int r;

	r = luo_heap_save(heap, link, sizeof(*link));
	if (r == 0)
		r = luo_heap_save(heap, &book->persons, sizeof(book->persons));
	if (r == 0)
		r = luo_heap_free(heap, luo_get(person->number));
	if (r == 0)
		r = luo_heap_free(heap, person); /* both stay as they are until the commit */
	if (r < 0)
		return r;
	luo_set(*link, luo_get(person->next));
	book->persons--;
	return 0;
}

/* All that has happened since luo_heap_begin() from now on, or none of it. */
static int finish(struct luo_heap *heap, int r)
{
	if (r == 0)
		return luo_heap_commit(heap);
	luo_heap_abort(heap);
	return r;
}

static int set(struct luo_heap *heap, struct book *book, const char *name, const char *number)
{
	struct person *person = found(find(book, name), name);
	int r;

	if (person)
		return change_number(heap, person, number);
	r = luo_heap_begin(heap);
	if (r < 0)
		return r;
	return finish(heap, add(heap, book, name, number));
}

static int rename_person(struct luo_heap *heap, struct book *book, const char *name,
			 const char *new_name)
{
	person_ref *link = find(book, name);
	struct person *person = found(link, name);
	int r;

	if (!person)
		return -ENOENT;
	if (found(find(book, new_name), new_name))
		return -EEXIST;
	r = luo_heap_begin(heap);
	if (r < 0)
		return r;
	r = take_out(heap, book, link);
	if (r == 0) /* the old number can still be read: it is freed at the commit */
		r = add(heap, book, new_name, luo_get(person->number));
	return finish(heap, r);
}

static int remove_person(struct luo_heap *heap, struct book *book, const char *name)
{
	person_ref *link = find(book, name);
	int r;

	if (!found(link, name))
		return -ENOENT;
	r = luo_heap_begin(heap);
	if (r < 0)
		return r;
	return finish(heap, take_out(heap, book, link));
}

static int print(const struct book *book)
{
	printf("%llu persons\n", (unsigned long long)book->persons);
	for (struct person *p = luo_get(book->first); p; p = luo_get(p->next))
		printf("  %-8s %s\n", p->name, luo_get(p->number));
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[2] : "", *name = argc > 3 ? argv[3] : NULL;
	struct luo_heap *heap;
	void *book;
	int r;

	if (argc < 2 || luo_heap_open_path(argv[1], NULL, &heap) < 0 ||
	    luo_heap_root(heap, &book_type, &book) < 0) {
		fprintf(stderr, "heap-book: %s\n", argc < 2 ? "no file" : luo_heap_problem());
		return EXIT_FAILURE;
	}
	if (argc == 2)
		r = print(book);
	else if (argc == 5 && strcmp(verb, "set") == 0)
		r = set(heap, book, name, argv[4]);
	else if (argc == 5 && strcmp(verb, "rename") == 0)
		r = rename_person(heap, book, name, argv[4]);
	else if (argc == 4 && strcmp(verb, "remove") == 0)
		r = remove_person(heap, book, name);
	else
		r = -EINVAL;
	if (r < 0)
		fprintf(stderr, "heap-book: %s\n",
			r == -ENOENT   ? "that name is not in it"
			: r == -EEXIST ? "that name is in it already"
			: r == -EINVAL ? "set NAME NUMBER | rename NAME NEW-NAME | remove NAME"
				       : luo_heap_problem());
	luo_heap_close(heap);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
