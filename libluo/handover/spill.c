/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <luo/mapping.h>
#include <luo/session.h>

#include "libluo/handover/spill.h"
#include "common/util.h"

/*
 * Every kernel accepts this many files, one of which is the mapping in the main session. Newer
 * kernels accept more, but then the list that they walk for each file costs more than further
 * sessions.
 */
#define FILES_ON_EVERY_KERNEL 128

static int name_of(const struct luo_spill *spill, size_t index, char *buffer, size_t size)
{
	int n;

	if (index == 0)
		n = snprintf(buffer, size, "%s", spill->name);
	else
		n = snprintf(buffer, size, "%s.%zu", spill->name, index);
	if (n < 0 || (size_t)n >= size)
		return -EINVAL;
	return 0;
}

/*
 * Make all sessions in one visit to the device, because it is a singleton and opening it is slow.
 */
static int make_sessions(struct luo_spill *spill, size_t wanted)
{
	_cleanup_close_ int device = -EBADF;
	int *grown, r;

	if (wanted > LUO_MAPPING_SPILLS_MAX + 1)
		return -ENOSPC;
	grown = reallocarray(spill->fds, wanted, sizeof(*spill->fds));
	if (!grown)
		return -ENOMEM;
	spill->fds = grown;

	r = luo_device_open(spill->device_timeout_usec, &device);
	if (r < 0)
		return r;
	while (spill->n < wanted) {
		char name[LUO_SESSION_NAME_MAX + 1];

		r = name_of(spill, spill->n, name, sizeof(name));
		if (r < 0)
			return r;
		r = luo_session_create(device, name, &spill->fds[spill->n]);
		if (r < 0)
			return r;
		spill->n++;
	}
	return 0;
}

static size_t sessions_for(const struct luo_spill *spill, size_t n_files)
{
	if (n_files <= spill->main_limit)
		return 1;
	return 1 + (n_files - spill->main_limit + spill->limit - 1) / spill->limit;
}

int luo_spill_open(struct luo_spill *spill, const char *name, unsigned max_files, size_t n_files,
		   uint64_t device_timeout_usec)
{
	*spill = (struct luo_spill){ .device_timeout_usec = device_timeout_usec };

	if (max_files == 1) /* the mapping alone would fill the main session */
		return -EINVAL;
	spill->main_limit = max_files ? max_files - 1 : FILES_ON_EVERY_KERNEL - 1;
	spill->limit = max_files ? max_files : FILES_ON_EVERY_KERNEL;
	spill->name = strdup(name);
	if (!spill->name)
		return -ENOMEM;
	return make_sessions(spill, sessions_for(spill, n_files));
}

static unsigned limit_of(const struct luo_spill *spill)
{
	return spill->filling == 0 ? spill->main_limit : spill->limit;
}

int luo_spill_next(struct luo_spill *spill, unsigned *ret_session, uint64_t *ret_token)
{
	int r;

	if (spill->used >= limit_of(spill)) {
		if (spill->filling + 1 >= spill->n) {
			r = make_sessions(spill, spill->n + 1);
			if (r < 0)
				return r;
		}
		spill->filling++;
		spill->used = 0;
	}
	*ret_session = (unsigned)spill->filling;
	*ret_token = (uint64_t)spill->used + 1;
	return 0;
}

void luo_spill_took(struct luo_spill *spill)
{
	spill->used++;
}

int luo_spill_full(struct luo_spill *spill)
{
	if (spill->filling == 0) {
		if (spill->used < 2)
			return -ENOSPC;
		spill->main_limit = spill->used - 1;
		spill->limit = MIN2(spill->limit, spill->used);
		return -EAGAIN;
	}
	if (spill->used == 0)
		return -ENOSPC;
	spill->limit = spill->used;
	return 1;
}

int luo_spill_main_full(struct luo_spill *spill)
{
	unsigned files = spill->filling == 0 ? spill->used : spill->main_limit;

	if (files < 2)
		return -ENOSPC;
	spill->main_limit = files - 1;
	return -EAGAIN;
}

static void close_sessions(struct luo_spill *spill)
{
	close_many(spill->fds, spill->n);
	spill->n = spill->filling = 0;
	spill->used = 0;
}

int luo_spill_reopen(struct luo_spill *spill, size_t n_files)
{
	close_sessions(spill);
	return make_sessions(spill, sessions_for(spill, n_files));
}

void luo_spill_trim(struct luo_spill *spill)
{
	size_t keep = spill->filling + (spill->filling > 0 && spill->used == 0 ? 0 : 1);

	while (spill->n > keep)
		safe_close(spill->fds[--spill->n]);
}

int luo_spill_list(const struct luo_spill *spill, char ***ret_names, size_t *ret_n)
{
	size_t n = spill->n > 1 ? spill->n - 1 : 0;
	char **names;
	int r;

	names = calloc(n ? n : 1, sizeof(*names));
	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		char name[LUO_SESSION_NAME_MAX + 1];

		r = name_of(spill, i + 1, name, sizeof(name));
		names[i] = r < 0 ? NULL : strdup(name);
		if (!names[i]) {
			while (i > 0)
				free(names[--i]);
			free(names);
			return r < 0 ? r : -ENOMEM;
		}
	}
	*ret_names = names;
	*ret_n = n;
	return 0;
}

void luo_spill_close(struct luo_spill *spill)
{
	if (spill->fds)
		close_sessions(spill);
	free(spill->fds);
	free(spill->name);
	*spill = (struct luo_spill){};
}
