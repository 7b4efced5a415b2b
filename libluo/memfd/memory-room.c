/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Finds out how much memory this process can be charged before the kernel refuses or kills it.
 *
 * The limits of every cgroup from ours up to the root count. /proc/self/cgroup names ours relative
 * to the root of our cgroup namespace. A cgroup2 mount shows the tree from the directory in the
 * root field of /proc/self/mountinfo, which is relative to the same root. Limits that the mount
 * does not show cannot be read: those set above it, or all of them if our cgroup is not below it.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

#include <luo/inspect.h>
#include "libluo/memfd/memory-room.h"
#include "common/sized-struct.h"
#include "common/util.h"

#define ROOM_FIRST_SIZE SIZE_UP_TO(struct luo_memory_room, slowed_by)

static void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define _cleanup_fclose_ _cleanup_(fclosep)

static int open_below(const char *root, const char *path, FILE **ret)
{
	char full[PATH_MAX];
	FILE *f;

	if (snprintf(full, sizeof(full), "%s%s", root, path) >= (int)sizeof(full))
		return -ENAMETOOLONG;
	f = fopen(full, "re");
	if (!f)
		return -errno;
	*ret = f;
	return 0;
}

static int available_at(const char *root, uint64_t *ret_bytes)
{
	_cleanup_fclose_ FILE *f = NULL;
	uint64_t kib;
	char line[256];
	int r;

	r = open_below(root, "/proc/meminfo", &f);
	if (r < 0)
		return r;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1) {
			*ret_bytes = kib * 1024;
			return 0;
		}
	}
	return -ENODATA;
}

_public_ int luo_memory_available(uint64_t *ret_bytes)
{
	if (!ret_bytes)
		return -EINVAL;
	return available_at("", ret_bytes);
}

/* The path after "0::" in /proc/self/cgroup; -ENOENT where there is no cgroup 2. */
static int own_cgroup(const char *root, char **ret_path)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int r;

	r = open_below(root, "/proc/self/cgroup", &f);
	if (r < 0)
		return r;
	while (getline(&line, &size, f) > 0) {
		if (!startswith(line, "0::/"))
			continue;
		line[strcspn(line, "\n")] = '\0';
		*ret_path = strdup(line + strlen("0::"));
		return *ret_path ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* Fields 4 and 5 of a line, and the file system type after the dash. */
static bool is_cgroup2_mount(char *line, char **ret_root, char **ret_point)
{
	char *save = NULL, *dash, *field;

	dash = strstr(line, " - ");
	if (!dash || !startswith(dash + 3, "cgroup2 "))
		return false;
	*dash = '\0';
	field = strtok_r(line, " ", &save);
	for (int i = 0; field && i < 2; i++)
		field = strtok_r(NULL, " ", &save);
	*ret_root = field ? strtok_r(NULL, " ", &save) : NULL;
	*ret_point = *ret_root ? strtok_r(NULL, " ", &save) : NULL;
	if (!*ret_point)
		return false;
	unescape(*ret_root);
	unescape(*ret_point);
	return true;
}

/* The part of @path below @base; NULL if it is not below it. "/a/b" below "/a" is "/b". */
static const char *path_below(const char *path, const char *base)
{
	size_t length = streq(base, "/") ? 0 : strlen(base);

	if (startswith(path, "/..")) /* outside our namespace */
		return NULL;
	if (strncmp(path, base, length) != 0 || (path[length] != '/' && path[length] != '\0'))
		return NULL;
	return path + length;
}

/*
 * Try the usual mount point first, without reading all mounts of the machine. It may show only a
 * part of the tree; then our path is not found below it.
 */
static int find_usual(const char *root, const char *cgroup, char **ret_directory, size_t *ret_fixed)
{
	static const char point[] = "/sys/fs/cgroup";
	char place[PATH_MAX], probe[PATH_MAX];
	struct statfs fs;

	if (startswith(cgroup, "/..") ||
	    snprintf(place, sizeof(place), "%s%s", root, point) >= (int)sizeof(place) ||
	    statfs(place, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return -ENOENT;
	if (snprintf(probe, sizeof(probe), "%s%s/cgroup.procs", place, cgroup) >=
		    (int)sizeof(probe) ||
	    access(probe, F_OK) < 0)
		return -ENOENT;
	*ret_fixed = strlen(point);
	if (asprintf(ret_directory, "%s%s", point, streq(cgroup, "/") ? "" : cgroup) < 0)
		return -ENOMEM;
	return 0;
}

/* @ret_directory: "MOUNTPOINT/PATH"; its first @ret_fixed bytes are the mount point. */
static int find_directory(const char *root, const char *cgroup, char **ret_directory,
			  size_t *ret_fixed)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int r;

	r = find_usual(root, cgroup, ret_directory, ret_fixed);
	if (r != -ENOENT)
		return r;
	r = open_below(root, "/proc/self/mountinfo", &f);
	if (r < 0)
		return r;
	while (getline(&line, &size, f) > 0) {
		char *base, *point;
		const char *rest;

		if (!is_cgroup2_mount(line, &base, &point))
			continue;
		rest = path_below(cgroup, base);
		if (!rest)
			continue;
		*ret_fixed = strlen(point);
		if (asprintf(ret_directory, "%s%s", point, rest) < 0)
			return -ENOMEM;
		return 0;
	}
	return -ENOENT;
}

/* UINT64_MAX for "max", and where the file is missing: the root has no limits. */
static int read_limit(const char *root, const char *directory, const char *file,
		      uint64_t *ret_value)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[PATH_MAX];
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", directory, file) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	*ret_value = UINT64_MAX;
	r = open_below(root, path, &f);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (fscanf(f, "%" SCNu64, ret_value) != 1)
		*ret_value = UINT64_MAX;
	return 0;
}

static uint64_t room_below(uint64_t limit, uint64_t used)
{
	if (limit == UINT64_MAX)
		return UINT64_MAX;
	return limit > used ? limit - used : 0;
}

static int apply_cgroup(const char *root, const char *directory, const char *name,
			struct luo_memory_room *room)
{
	uint64_t used, max, high;
	int r;

	r = read_limit(root, directory, "memory.current", &used);
	if (r < 0 || used == UINT64_MAX)
		return r;
	r = read_limit(root, directory, "memory.max", &max);
	if (r >= 0)
		r = read_limit(root, directory, "memory.high", &high);
	if (r < 0)
		return r;
	max = room_below(max, used);
	high = room_below(high, used);
	if (high < room->high_bytes) {
		room->high_bytes = high;
		snprintf(room->slowed_by, sizeof(room->slowed_by), "%s", name);
	}
	room->cgroup_bytes = MIN2(room->cgroup_bytes, max);
	if (max < room->bytes) {
		room->bytes = max;
		snprintf(room->limited_by, sizeof(room->limited_by), "%s", name);
	}
	return 0;
}

/* @directory is shortened component by component up to the mount point. */
static int apply_cgroups(const char *root, char *directory, size_t fixed,
			 struct luo_memory_room *room)
{
	for (;;) {
		char *slash;
		int r;

		r = apply_cgroup(root, directory, directory[fixed] ? directory + fixed : "/", room);
		if (r < 0)
			return r;
		slash = strrchr(directory + fixed, '/');
		if (!slash)
			return 0;
		*slash = '\0';
	}
}

static int look_at_cgroups(const char *root, struct luo_memory_room *room)
{
	_cleanup_free_ char *cgroup = NULL, *directory = NULL;
	size_t fixed = 0;
	int r;

	r = own_cgroup(root, &cgroup);
	if (r >= 0)
		r = find_directory(root, cgroup, &directory, &fixed);
	/* Without cgroup 2 there is no limit. A file that cannot be read may hold one. */
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	return apply_cgroups(root, directory, fixed, room);
}

int luo_memory_room_at(const char *root, struct luo_memory_room *ret)
{
	struct luo_memory_room room = { .struct_size = sizeof(room),
					.bytes = UINT64_MAX,
					.cgroup_bytes = UINT64_MAX,
					.high_bytes = UINT64_MAX };
	int r;

	r = sized_struct_check(ret, ROOM_FIRST_SIZE);
	if (r >= 0)
		r = available_at(root, &room.bytes);
	if (r >= 0)
		r = look_at_cgroups(root, &room);
	if (r < 0)
		return r;
	return sized_struct_return(ret, ROOM_FIRST_SIZE, &room, sizeof(room));
}

int luo_memory_cgroup_room(uint64_t *ret_bytes)
{
	struct luo_memory_room room = { .bytes = UINT64_MAX,
					.cgroup_bytes = UINT64_MAX,
					.high_bytes = UINT64_MAX };
	int r;

	r = look_at_cgroups("", &room);
	if (r < 0)
		return r;
	*ret_bytes = MIN2(room.cgroup_bytes, room.high_bytes);
	return 0;
}

_public_ int luo_memory_room(struct luo_memory_room *ret)
{
	return luo_memory_room_at("", ret);
}
