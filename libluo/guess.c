/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include <luo/memfd.h>
#include <luo/session.h>

#include "guess.h"
#include "util.h"

#define GUESSED_TOKENS 4096
#define TOKENS_MAX     (GUESSED_TOKENS + 65536)

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void add_numbers_of(struct luo_guess *tokens, const char *text, size_t size)
{
	for (size_t i = 0; i < size && tokens->n < TOKENS_MAX;) {
		uint64_t value = 0;
		bool fits = true;

		if (!isdigit((unsigned char)text[i])) {
			i++;
			continue;
		}
		for (; i < size && isdigit((unsigned char)text[i]); i++)
			fits = fits && !__builtin_mul_overflow(value, UINT64_C(10), &value) &&
			       !__builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value);
		if (fits && value >= GUESSED_TOKENS)
			tokens->values[tokens->n++] = value;
	}
}

static void read_document(struct luo_incoming *incoming, struct luo_guess *tokens)
{
	_cleanup_close_ int fd = -EBADF;
	uint64_t size, left;
	char buffer[64 * 1024];
	off_t at = 0;

	if (luo_session_restore_fd(incoming->sessions[0], LUO_TOKEN_MAPPING, &fd) < 0 ||
	    luo_memfd_get_size(fd, &size) < 0)
		return;
	/* A number cut in two by the buffer is a wrong guess, which costs nothing. */
	for (left = MIN2(size, LUO_MAPPING_SIZE_MAX); left > 0;) {
		ssize_t n = pread(fd, buffer, MIN2(left, sizeof(buffer)), at);

		if (n <= 0)
			return;
		add_numbers_of(tokens, buffer, (size_t)n);
		at += n;
		left -= (uint64_t)n;
	}
}

int luo_guess_tokens(struct luo_incoming *incoming, struct luo_guess *ret_tokens)
{
	struct luo_guess tokens = { .values = calloc(TOKENS_MAX, sizeof(uint64_t)) };
	size_t kept = 0;

	if (!tokens.values)
		return -ENOMEM;
	for (uint64_t i = 0; i < GUESSED_TOKENS; i++)
		tokens.values[tokens.n++] = i;
	read_document(incoming, &tokens);
	qsort(tokens.values, tokens.n, sizeof(*tokens.values), compare);
	for (size_t i = 0; i < tokens.n; i++)
		if (kept == 0 || tokens.values[kept - 1] != tokens.values[i])
			tokens.values[kept++] = tokens.values[i];
	tokens.n = kept;
	*ret_tokens = tokens;
	return 0;
}
