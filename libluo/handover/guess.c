/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include <luo/session.h>

#include "libluo/handover/guess.h"
#include "common/util.h"

#define GUESSED_TOKENS 4096
/* 32 MiB of numbers; our largest mapping has a tenth of that. */
#define TOKENS_MAX ((size_t)4 << 20)

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int add(struct luo_guess *guess, size_t *allocated, uint64_t value)
{
	if (guess->n == *allocated) {
		size_t more = *allocated ? *allocated * 2 : GUESSED_TOKENS * 2;
		uint64_t *grown;

		if (guess->n >= TOKENS_MAX)
			return -E2BIG;
		grown = reallocarray(guess->values, more, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		guess->values = grown;
		*allocated = more;
	}
	guess->values[guess->n++] = value;
	return 0;
}

/* Reads the document piece by piece; a number may continue in the next piece. */
struct scan {
	struct luo_guess *guess;
	size_t allocated;
	uint64_t value;
	bool in_number, fits;
};

static int end_of_number(struct scan *s)
{
	bool wanted = s->in_number && s->fits && s->value >= GUESSED_TOKENS;

	s->in_number = false;
	return wanted ? add(s->guess, &s->allocated, s->value) : 0;
}

static int add_numbers_of(struct scan *s, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		int r;

		if (!isdigit((unsigned char)text[i])) {
			r = end_of_number(s);
			if (r < 0)
				return r;
			continue;
		}
		if (!s->in_number) {
			s->in_number = s->fits = true;
			s->value = 0;
		}
		s->fits = s->fits && !__builtin_mul_overflow(s->value, UINT64_C(10), &s->value) &&
			  !__builtin_add_overflow(s->value, (uint64_t)(text[i] - '0'), &s->value);
	}
	return 0;
}

/* The owner of the file is unknown. If it made a mapped file smaller, we would get SIGBUS. */
static int read_numbers(struct scan *s, int fd)
{
	char text[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, text, sizeof(text), at)) != 0) {
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0 ? -errno : add_numbers_of(s, text, (size_t)n);
		if (r < 0)
			return r;
		at += n;
	}
	return end_of_number(s);
}

static int read_document(struct luo_incoming *incoming, struct scan *scan)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = luo_session_retrieve_fd(incoming->sessions[0], LUO_TOKEN_MAPPING, &fd);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : read_numbers(scan, fd);
}

static void sort_and_unite(struct luo_guess *guess)
{
	size_t kept = 0;

	qsort(guess->values, guess->n, sizeof(*guess->values), compare);
	for (size_t i = 0; i < guess->n; i++)
		if (kept == 0 || guess->values[kept - 1] != guess->values[i])
			guess->values[kept++] = guess->values[i];
	guess->n = kept;
}

int luo_guess_tokens(struct luo_incoming *incoming, struct luo_guess *ret_guess)
{
	struct luo_guess guess = { 0 };
	struct scan scan = { .guess = &guess };
	int r = 0;

	for (uint64_t i = 0; i < GUESSED_TOKENS && r >= 0; i++)
		r = add(&guess, &scan.allocated, i);
	if (r < 0) {
		free(guess.values);
		return r;
	}
	guess.complete = read_document(incoming, &scan) >= 0;
	sort_and_unite(&guess);
	*ret_guess = guess;
	return 0;
}
