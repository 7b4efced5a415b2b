/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <luo/memfd.h>
#include <luo/session.h>

#include "guess.h"
#include "util.h"

#define GUESSED_TOKENS 4096
/* 32 MiB of numbers; a mapping of ours with all its entries has a tenth of that. */
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

static int add_numbers_of(struct luo_guess *guess, size_t *allocated, const char *text, size_t size)
{
	for (size_t i = 0; i < size;) {
		uint64_t value = 0;
		bool fits = true;
		int r;

		if (!isdigit((unsigned char)text[i])) {
			i++;
			continue;
		}
		for (; i < size && isdigit((unsigned char)text[i]); i++)
			fits = fits && !__builtin_mul_overflow(value, UINT64_C(10), &value) &&
			       !__builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value);
		if (!fits || value < GUESSED_TOKENS)
			continue;
		r = add(guess, allocated, value);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_document(struct luo_incoming *incoming, struct luo_guess *guess, size_t *allocated)
{
	_cleanup_close_ int fd = -EBADF;
	void *text;
	size_t size;
	int r;

	r = luo_session_restore_fd(incoming->sessions[0], LUO_TOKEN_MAPPING, &fd);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	/* Nobody else has this file, so it does not shrink under us. */
	r = luo_memfd_map(fd, LUO_MAP_READ, &text, &size);
	if (r < 0)
		return r;
	r = add_numbers_of(guess, allocated, text, size);
	if (size > 0)
		munmap(text, size);
	return r;
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
	size_t allocated = 0;
	int r = 0;

	for (uint64_t i = 0; i < GUESSED_TOKENS && r >= 0; i++)
		r = add(&guess, &allocated, i);
	if (r < 0) {
		free(guess.values);
		return r;
	}
	guess.complete = read_document(incoming, &guess, &allocated) >= 0;
	sort_and_unite(&guess);
	*ret_guess = guess;
	return 0;
}
