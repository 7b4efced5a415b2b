/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The libraries come first: the xz of busybox does not know the filter for x86 code that every
 * kernel was packed with, and in an initial RAM disk there may be no program at all.
 */

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#if HAVE_ZLIB
#include <zlib.h>
#endif
#if HAVE_LZMA
#include <lzma.h>
#endif
#if HAVE_ZSTD
#include <zstd.h>
#endif

#include <luo/memfd.h>

#include "tools/luoctl/unpack.h"
#include "common/read-file.h"
#include "common/util.h"

/* ---- libraries ------------------------------------------------------------------------------- */

#if HAVE_ZLIB || HAVE_LZMA || HAVE_ZSTD

struct stream {
	const char *in;
	size_t in_size;
	char *out;
	size_t out_size;
};

/*
 * Moves a stream on as far as its input and the room for its output allow. 1: this was the end of
 * the packed data; 0: call again with more; or negative errno.
 */
typedef int step_fn(void *decoder, struct stream *stream);

static int grow(char **data, size_t *allocated)
{
	size_t want = MIN2(*allocated * 2 + ((size_t)1 << 20), UNPACKED_MAX);
	char *more;

	if (*allocated == UNPACKED_MAX)
		return -EFBIG;
	more = realloc(*data, want + 1);
	if (!more)
		return -ENOMEM;
	*data = more;
	*allocated = want;
	return 0;
}

static int unpack_stream(step_fn *step, void *decoder, const char *data, size_t size,
			 char **ret_data, size_t *ret_size)
{
	struct stream s = { .in = data, .in_size = size };
	_cleanup_free_ char *out = NULL;
	size_t allocated = 0, n = 0;
	int r;

	do {
		r = grow(&out, &allocated);
		if (r < 0)
			return r;
		s.out = out + n;
		s.out_size = allocated - n;
		r = step(decoder, &s);
		if (r < 0)
			return r;
		n = allocated - s.out_size;
	} while (r == 0 && s.out_size == 0);
	/* There was room, and it did not come to its end: the input did. */
	if (r == 0)
		return -ENODATA;
	out[n] = '\0';
	*ret_data = TAKE_PTR(out);
	*ret_size = n;
	return 0;
}

#endif

#if HAVE_ZLIB

static int step_zlib(void *decoder, struct stream *s)
{
	z_stream *z = decoder;
	int r;

	z->next_in = (Bytef *)(uintptr_t)s->in;
	z->avail_in = (uInt)s->in_size;
	z->next_out = (Bytef *)s->out;
	z->avail_out = (uInt)s->out_size;
	do {
		r = inflate(z, Z_NO_FLUSH);
	} while (r == Z_OK && z->avail_out > 0);
	s->in = (const char *)z->next_in;
	s->in_size = z->avail_in;
	s->out_size = z->avail_out;
	switch (r) {
	case Z_STREAM_END:
		return 1;
	case Z_OK:
	case Z_BUF_ERROR: /* neither input nor room: not an error of the data */
		return 0;
	case Z_MEM_ERROR:
		return -ENOMEM;
	default:
		return -EBADMSG;
	}
}

static int unpack_gzip(const char *data, size_t size, char **ret_data, size_t *ret_size)
{
	z_stream z = { 0 };
	int r;

	/* It counts in 32 bits. */
	if (size > UINT32_MAX)
		return -EFBIG;
	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return -ENOMEM;
	r = unpack_stream(step_zlib, &z, data, size, ret_data, ret_size);
	inflateEnd(&z);
	return r;
}

#else
#define unpack_gzip NULL
#endif

#if HAVE_LZMA

/* Kernels are packed with a dictionary of up to 128 MiB; a header may ask for 4 GiB. */
#define LZMA_MEMORY_MAX ((uint64_t)256 << 20)

static int step_lzma(void *decoder, struct stream *s)
{
	lzma_stream *z = decoder;
	lzma_ret r;

	z->next_in = (const uint8_t *)s->in;
	z->avail_in = s->in_size;
	z->next_out = (uint8_t *)s->out;
	z->avail_out = s->out_size;
	do {
		r = lzma_code(z, LZMA_RUN);
	} while (r == LZMA_OK && z->avail_out > 0);
	s->in = (const char *)z->next_in;
	s->in_size = z->avail_in;
	s->out_size = z->avail_out;
	switch (r) {
	case LZMA_STREAM_END:
		return 1;
	case LZMA_OK:
	case LZMA_BUF_ERROR:
		return 0;
	case LZMA_MEM_ERROR:
		return -ENOMEM;
	case LZMA_MEMLIMIT_ERROR:
		return -EFBIG;
	default:
		return -EBADMSG;
	}
}

static int unpack_lzma_stream(lzma_stream *z, const char *data, size_t size, char **ret_data,
			      size_t *ret_size)
{
	int r = unpack_stream(step_lzma, z, data, size, ret_data, ret_size);

	lzma_end(z);
	return r;
}

static int unpack_xz(const char *data, size_t size, char **ret_data, size_t *ret_size)
{
	lzma_stream z = LZMA_STREAM_INIT;

	/* Not LZMA_CONCATENATED, which would take what stands behind for another stream. */
	if (lzma_stream_decoder(&z, LZMA_MEMORY_MAX, 0) != LZMA_OK)
		return -ENOMEM;
	return unpack_lzma_stream(&z, data, size, ret_data, ret_size);
}

static int unpack_lzma(const char *data, size_t size, char **ret_data, size_t *ret_size)
{
	lzma_stream z = LZMA_STREAM_INIT;

	if (lzma_alone_decoder(&z, LZMA_MEMORY_MAX) != LZMA_OK)
		return -ENOMEM;
	return unpack_lzma_stream(&z, data, size, ret_data, ret_size);
}

#else
#define unpack_xz   NULL
#define unpack_lzma NULL
#endif

#if HAVE_ZSTD

static int step_zstd(void *decoder, struct stream *s)
{
	ZSTD_inBuffer in = { .src = s->in, .size = s->in_size };
	ZSTD_outBuffer out = { .dst = s->out, .size = s->out_size };
	size_t r;

	do {
		r = ZSTD_decompressStream(decoder, &out, &in);
	} while (!ZSTD_isError(r) && r > 0 && in.pos < in.size && out.pos < out.size);
	s->in += in.pos;
	s->in_size -= in.pos;
	s->out_size -= out.pos;
	if (ZSTD_isError(r))
		return -EBADMSG;
	return r == 0;
}

static int unpack_zstd(const char *data, size_t size, char **ret_data, size_t *ret_size)
{
	/* Its own limit for the window is 128 MiB. */
	ZSTD_DCtx *z = ZSTD_createDCtx();
	int r;

	if (!z)
		return -ENOMEM;
	r = unpack_stream(step_zstd, z, data, size, ret_data, ret_size);
	ZSTD_freeDCtx(z);
	return r;
}

#else
#define unpack_zstd NULL
#endif

/* ---- formats --------------------------------------------------------------------------------- */

struct format {
	const char *program;
	int (*unpack)(const char *data, size_t size, char **ret_data, size_t *ret_size);
	size_t size;
	unsigned char magic[6];
};

static const struct format formats[] = {
	{ "gzip", unpack_gzip, 2, { 0x1f, 0x8b } },
	{ "xz", unpack_xz, 6, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
	{ "zstd", unpack_zstd, 4, { 0x28, 0xb5, 0x2f, 0xfd } },
	{ "lz4", NULL, 4, { 0x02, 0x21, 0x4c, 0x18 } },
	{ "lz4", NULL, 4, { 0x04, 0x22, 0x4d, 0x18 } },
	{ "bzip2", NULL, 3, { 'B', 'Z', 'h' } },
	{ "lzop", NULL, 6, { 0x89, 'L', 'Z', 'O', 0, '\r' } },
	{ "lzma", unpack_lzma, 3, { 0x5d, 0, 0 } },
};

static const struct format *find_format(const char *data, size_t size)
{
	for (size_t i = 0; i < ELEMENTSOF(formats); i++)
		if (size >= formats[i].size && memcmp(data, formats[i].magic, formats[i].size) == 0)
			return &formats[i];
	return NULL;
}

const char *unpack_program(const char *data, size_t size)
{
	const struct format *format = find_format(data, size);

	return format ? format->program : NULL;
}

/* ---- programs -------------------------------------------------------------------------------- */

static int start(const char *program, int in, int out, pid_t *ret_pid)
{
	char *argv[] = { (char *)(uintptr_t)program, (char[]){ "-dc" }, NULL };
	posix_spawn_file_actions_t actions;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	/* It complains about what stands behind the payload. */
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	r = posix_spawnp(ret_pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Its exit status says nothing: what stands behind the payload is an error for some programs. */
static int run(const char *program, const char *data, size_t size, char **ret_data,
	       size_t *ret_size)
{
	_cleanup_close_ int in = -EBADF, out = -EBADF, to = -EBADF;
	_cleanup_free_ char *unpacked = NULL;
	size_t n = 0;
	int ends[2], r;
	pid_t pid;

	r = luo_memfd_new_sealed("packed", data, size, &in);
	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	out = ends[0];
	to = ends[1];
	r = start(program, in, to, &pid);
	if (r < 0)
		return r;
	to = safe_close(to);
	r = read_stream(out, UNPACKED_MAX, &unpacked, &n);
	out = safe_close(out);
	waitpid(pid, NULL, 0);
	if (r < 0)
		return r;
	if (n == 0)
		return -EBADMSG;
	*ret_data = TAKE_PTR(unpacked);
	*ret_size = n;
	return 0;
}

static int copy(const char *data, size_t size, char **ret_data, size_t *ret_size)
{
	char *s = malloc(size + 1);

	if (!s)
		return -ENOMEM;
	memcpy(s, data, size);
	s[size] = '\0';
	*ret_data = s;
	*ret_size = size;
	return 0;
}

int unpack(const char *data, size_t size, char **ret_data, size_t *ret_size)
{
	const struct format *format = find_format(data, size);

	if (!format)
		return copy(data, size, ret_data, ret_size);
	if (format->unpack)
		return format->unpack(data, size, ret_data, ret_size);
	return run(format->program, data, size, ret_data, ret_size);
}
