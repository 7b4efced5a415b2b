/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#if HAVE_ZLIB
#include <zlib.h>
#endif

#include <luo/memfd.h>

#include "file.h"
#include "unpack.h"
#include "util.h"

/* A kernel with everything in it has some 100 MiB. */
#define UNPACKED_MAX ((size_t)1 << 30)

static const struct {
	const char *program;
	size_t size;
	unsigned char magic[6];
} formats[] = {
	{ "gzip", 2, { 0x1f, 0x8b } },
	{ "xz", 6, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
	{ "zstd", 4, { 0x28, 0xb5, 0x2f, 0xfd } },
	{ "lz4", 4, { 0x02, 0x21, 0x4c, 0x18 } },
	{ "lz4", 4, { 0x04, 0x22, 0x4d, 0x18 } },
	{ "bzip2", 3, { 'B', 'Z', 'h' } },
	{ "lzma", 3, { 0x5d, 0, 0 } },
};

const char *unpack_program(const char *data, size_t size)
{
	for (size_t i = 0; i < ELEMENTSOF(formats); i++)
		if (size >= formats[i].size && memcmp(data, formats[i].magic, formats[i].size) == 0)
			return formats[i].program;
	return NULL;
}

#if HAVE_ZLIB
static int gunzip(const char *data, size_t size, char **ret_data, size_t *ret_size)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)size };
	_cleanup_free_ char *out = NULL;
	size_t n = 0, allocated = 0;
	int r;

	if (size > UINT32_MAX || inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return -ENOMEM;
	do {
		char *more = allocated < UNPACKED_MAX
				     ? realloc(out, allocated * 2 + ((size_t)1 << 20) + 1)
				     : NULL;

		if (!more) {
			inflateEnd(&z);
			return -ENOMEM;
		}
		out = more;
		allocated = allocated * 2 + ((size_t)1 << 20);
		z.next_out = (Bytef *)out + n;
		z.avail_out = (uInt)(allocated - n);
		r = inflate(&z, Z_NO_FLUSH);
		n = allocated - z.avail_out;
	} while (r == Z_OK && z.avail_out == 0);
	inflateEnd(&z);
	/* Behind a kernel's payload stands its size. */
	if (n == 0)
		return -EBADMSG;
	out[n] = '\0';
	*ret_data = TAKE_PTR(out);
	*ret_size = n;
	return 0;
}
#endif

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
	r = read_fd(out, UNPACKED_MAX, &unpacked, &n);
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
	const char *program = unpack_program(data, size);

	if (!program)
		return copy(data, size, ret_data, ret_size);
#if HAVE_ZLIB
	if (streq(program, "gzip"))
		return gunzip(data, size, ret_data, ret_size);
#endif
	return run(program, data, size, ret_data, ret_size);
}
