/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A digest of the content, to compare what one kernel has saved with what the next one has got, on
 * paper or with sha256sum(1).
 *
 * SHA-256, and written out here: libsystemd keeps its own to itself, libcrypto would be the largest
 * thing that luod links, and AF_ALG is not in every kernel, and not in ours for guests. These are
 * not secrets, so nothing has to be proof against somebody who measures time.
 */

#include <luo/memfd.h>
#include "libluo/memfd/internal.h"
#include "libluo/memfd/sha256.h"
#include "common/util.h"

#define CHUNK (size_t)(64 * 1024)

static void add_zeros(struct luo_sha256 *s, int64_t n)
{
	static const char zeros[CHUNK];

	while (n > 0) {
		size_t part = (size_t)MIN2(n, (int64_t)CHUNK);

		luo_sha256_add(s, zeros, part);
		n -= (int64_t)part;
	}
}

static int add_data(struct luo_sha256 *s, int fd, int64_t at, int64_t end, char *buffer)
{
	while (at < end) {
		size_t part = (size_t)MIN2(end - at, (int64_t)CHUNK);
		int r = luo_pread_all(fd, buffer, part, at);

		if (r < 0)
			return r;
		luo_sha256_add(s, buffer, part);
		at += (int64_t)part;
	}
	return 0;
}

static int add_file(struct luo_sha256 *s, struct luo_extents *x, char *buffer)
{
	int64_t at = 0, begin, end;
	int r;

	while ((r = luo_extents_next(x, at, &begin, &end)) > 0) {
		add_zeros(s, begin - at);
		r = add_data(s, x->fd, begin, end, buffer);
		if (r < 0)
			return r;
		at = end;
	}
	add_zeros(s, x->size - at);
	return r;
}

_public_ int luo_memfd_digest(int fd, uint8_t ret_digest[LUO_DIGEST_SIZE])
{
	_cleanup_extents_ struct luo_extents x = LUO_EXTENTS_NONE;
	_cleanup_free_ char *buffer = NULL;
	struct luo_sha256 s;
	int r;

	if (!ret_digest)
		return -EINVAL;
	r = luo_extents_open(fd, &x);
	if (r < 0)
		return r;
	buffer = malloc(CHUNK);
	if (!buffer)
		return -ENOMEM;
	luo_sha256_begin(&s);
	r = add_file(&s, &x, buffer);
	if (r < 0)
		return r;
	luo_sha256_end(&s, ret_digest);
	return 0;
}

_public_ char *luo_digest_to_string(const uint8_t digest[LUO_DIGEST_SIZE],
				    char buffer[2 * LUO_DIGEST_SIZE + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < LUO_DIGEST_SIZE; i++) {
		buffer[2 * i] = digits[digest[i] >> 4];
		buffer[2 * i + 1] = digits[digest[i] & 15];
	}
	buffer[2 * LUO_DIGEST_SIZE] = '\0';
	return buffer;
}
