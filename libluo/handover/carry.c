/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Carries sessions that this version does not understand through one more kexec. */

#include <errno.h>
#include <stdlib.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include <luo/session.h>

#include "libluo/handover/guess.h"
#include "libluo/handover/incoming.h"
#include "common/util.h"

#define MEMORY_MARGIN (UINT64_C(32) << 20)

static int copy_file(int from, int *ret_fd)
{
	_cleanup_close_ int copy = -EBADF;
	struct luo_memory_room room = { .struct_size = sizeof(room) };
	uint64_t size;
	unsigned seals;
	off_t offset;
	int r;

	r = luo_memfd_get_size(from, &size);
	if (r < 0)
		return r;
	r = luo_memory_room(&room);
	if (r < 0)
		return r;
	if (room.bytes < MEMORY_MARGIN || room.bytes - MEMORY_MARGIN < size)
		return -EDQUOT;
	r = luo_memfd_create(
		&(struct luo_memfd_options){ .struct_size = sizeof(struct luo_memfd_options),
					     .name = "luo-carried",
					     .flags = LUO_MEMFD_ALLOW_SEALING },
		&copy);
	if (r >= 0)
		r = luo_memfd_copy(from, copy);
	if (r < 0)
		return r;
	offset = lseek(from, 0, SEEK_CUR);
	if (offset > 0 && lseek(copy, offset, SEEK_SET) < 0)
		return -errno;
	if (luo_memfd_get_seals(from, &seals) >= 0 && seals != 0) {
		r = luo_memfd_add_seals(copy, seals);
		if (r < 0)
			return r;
	}
	*ret_fd = TAKE_FD(copy);
	return 0;
}

static int carry_session(int from, int to, const struct luo_guess *tokens, size_t *files)
{
	for (size_t i = 0; i < tokens->n; i++) {
		_cleanup_close_ int fd = -EBADF, copy = -EBADF;
		int r;

		r = luo_session_retrieve_fd(from, tokens->values[i], &fd);
		if (r == -EMFILE)
			return r;
		if (r < 0) /* absent, or lost before */
			continue;
		r = copy_file(fd, &copy);
		if (r < 0)
			return r;
		r = luo_session_preserve_fd(to, copy, tokens->values[i]);
		if (r < 0)
			return r;
		(*files)++;
	}
	return 0;
}

static int make_twin(int device_fd, int session_fd, int *ret_fd)
{
	_cleanup_free_ char *name = NULL;
	int r;

	r = luo_session_get_name(session_fd, &name);
	if (r < 0)
		return r;
	return luo_session_create(device_fd, name, ret_fd);
}

static int make_twins(const struct luo_incoming *incoming, uint64_t timeout_usec, int *twins)
{
	_cleanup_close_ int device = -EBADF;
	int r;

	r = luo_device_open(timeout_usec, &device);
	for (size_t i = 0; i < incoming->n_sessions && r >= 0; i++)
		r = make_twin(device, incoming->sessions[i], &twins[i]);
	return r;
}

_public_ int luo_incoming_carry(struct luo_incoming *incoming, uint64_t device_timeout_usec,
				int **ret_session_fds, size_t *ret_n, size_t *ret_files)
{
	_cleanup_free_ uint64_t *values = NULL;
	_cleanup_free_ int *twins = NULL;
	struct luo_memory_room room = { .struct_size = sizeof(room) };
	struct luo_guess tokens;
	size_t files = 0;
	int r;

	if (incoming->mapping)
		return -EINVAL;
	/* Sizes are known only after the retrieve, which must not exceed a memory limit. */
	r = luo_memory_room(&room);
	if (r < 0)
		return r;
	if (room.cgroup_bytes != UINT64_MAX)
		return -EDQUOT;

	r = luo_guess_tokens(incoming, &tokens);
	if (r < 0)
		return r;
	values = tokens.values;
	twins = calloc(incoming->n_sessions, sizeof(*twins));
	if (!twins)
		return -ENOMEM;
	for (size_t i = 0; i < incoming->n_sessions; i++)
		twins[i] = -EBADF;

	r = make_twins(incoming, device_timeout_usec, twins);
	for (size_t i = 0; i < incoming->n_sessions && r >= 0; i++)
		r = carry_session(incoming->sessions[i], twins[i], &tokens, &files);
	if (r < 0) {
		close_many(twins, incoming->n_sessions);
		return r;
	}
	*ret_session_fds = TAKE_PTR(twins);
	*ret_n = incoming->n_sessions;
	if (ret_files)
		*ret_files = files;
	return 0;
}
