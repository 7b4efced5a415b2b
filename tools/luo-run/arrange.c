/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The fds come out of a socket at the lowest free numbers, which are mostly just those where others
 * of them have to go. So the one that is in the way is moved, not closed. They are moved one by one
 * and not all at once to a place far above, because there may be nearly as many of them as the
 * limit of open files allows.
 */

#include <fcntl.h>

#include "tools/luo-run/arrange.h"
#include "common/util.h"

#define NOBODY SIZE_MAX

/* Who is at a number: an index of fds[], or NOBODY. Numbers from @size on are of no interest. */
struct places {
	size_t *owner;
	size_t size;
};

static int places_new(const int *fds, size_t n, int first, struct places *ret)
{
	size_t size = (size_t)first + n;

	ret->owner = malloc(size * sizeof(size_t));
	if (!ret->owner)
		return -ENOMEM;
	ret->size = size;
	for (size_t i = 0; i < size; i++)
		ret->owner[i] = NOBODY;
	for (size_t i = 0; i < n; i++)
		if ((size_t)fds[i] < size)
			ret->owner[fds[i]] = i;
	return 0;
}

static void places_move(struct places *p, int from, int to, size_t i)
{
	if ((size_t)from < p->size)
		p->owner[from] = NOBODY;
	if ((size_t)to < p->size)
		p->owner[to] = i;
}

static int make_way(struct places *p, int *fds, int at, int first, void (*displaced)(int fd))
{
	size_t other = p->owner[at];
	int elsewhere, flags;

	if (other == NOBODY) {
		flags = fcntl(at, F_GETFD);
		if (flags >= 0 && !(flags & FD_CLOEXEC))
			displaced(at);
		return 0;
	}
	elsewhere = fcntl(at, F_DUPFD_CLOEXEC, first);
	if (elsewhere < 0)
		return -errno;
	places_move(p, at, elsewhere, other);
	fds[other] = elsewhere;
	return 0;
}

int arrange_fds(int *fds, size_t n, int first, void (*displaced)(int fd))
{
	_cleanup_free_ size_t *owner = NULL;
	struct places places;
	int r;

	r = places_new(fds, n, first, &places);
	if (r < 0)
		return r;
	owner = places.owner;

	for (size_t i = 0; i < n; i++) {
		int to = first + (int)i;

		if (fds[i] == to) {
			if (fcntl(to, F_SETFD, 0) < 0)
				return -errno;
			continue;
		}
		r = make_way(&places, fds, to, first, displaced);
		if (r < 0)
			return r;
		if (dup2(fds[i], to) < 0)
			return -errno;
		places_move(&places, fds[i], to, i);
		safe_close(fds[i]);
		fds[i] = to;
	}
	return 0;
}
