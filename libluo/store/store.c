/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Units and their entries, in memory.
 *
 * Two lookups happen for hostile or plentiful input and must not walk a list:
 *
 *  - a unit by its name, because a mapping may name thousands. This is a search tree (tsearch(3)),
 * which no choice of names can degrade;
 *
 *  - "is this file already stored under this name", asked for every fd that is pushed. This is a
 * hash table for each unit, over inode and name. Only matches go on to the comparison of open file
 * descriptions, which costs a system call.
 *
 * Plain arrays keep the order of both, because users want to see it.
 */

#include <fcntl.h>
#include <linux/kcmp.h>
#include <search.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "libluo/store/internal.h"
#include "common/util.h"

/* Linux 6.10. The number is ABI; the headers of the build host may be older. */
#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY (1024 + 3)
#endif

#define BUCKETS_MIN 8

struct luo_store {
	struct luo_unit **units;
	size_t n_units;
	size_t n_allocated;
	void *by_name; /* tsearch(3) tree of struct luo_unit */
};

/* ---- names ---- */

_public_ bool luo_fdname_is_valid(const char *name)
{
	size_t n = 0;

	if (!name)
		return false;
	for (; name[n]; n++)
		if (n >= LUO_FDNAME_MAX || name[n] < ' ' || name[n] >= 127 || name[n] == ':')
			return false;
	return n > 0;
}

static bool unit_char_is_valid(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr(":-_.\\@", c));
}

_public_ bool luo_unit_name_is_valid(const char *name)
{
	size_t n = 0;

	if (!name || streq(name, ".") || streq(name, ".."))
		return false;
	for (; name[n]; n++)
		if (n >= LUO_UNIT_NAME_MAX || !unit_char_is_valid(name[n]))
			return false;
	return n > 0;
}

static bool component_is_valid(const char *c, size_t n)
{
	return n > 0 && !(n == 1 && c[0] == '.') && !(n == 2 && c[0] == '.' && c[1] == '.');
}

bool luo_cgroup_is_valid(const char *cgroup)
{
	if (!cgroup || cgroup[0] != '/')
		return false;
	if (streq(cgroup, "/"))
		return true;
	if (strlen(cgroup) >= 4096) /* PATH_MAX; no cgroup path is longer */
		return false;
	for (const char *p = cgroup; *p;) {
		size_t n = strcspn(p + 1, "/");

		if (!component_is_valid(p + 1, n))
			return false;
		p += 1 + n;
	}
	return true;
}

/* ---- the same open file description? ---- */

static int same_by_looks(int a, int b)
{
	struct stat sa, sb;
	int fa, fb;

	if (fstat(a, &sa) < 0 || fstat(b, &sb) < 0)
		return -errno;
	fa = fcntl(a, F_GETFL);
	fb = fcntl(b, F_GETFL);
	if (fa < 0 || fb < 0)
		return -errno;
	return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino && fa == fb &&
	       lseek(a, 0, SEEK_CUR) == lseek(b, 0, SEEK_CUR);
}

_public_ int luo_fd_same_description(int a, int b)
{
	pid_t pid = getpid();
	long r;

	if (fcntl(a, F_GETFD) < 0 || fcntl(b, F_GETFD) < 0)
		return -errno;
	if (a == b)
		return 1;
	r = fcntl(a, F_DUPFD_QUERY, b);
	if (r >= 0)
		return r > 0;
	r = syscall(SYS_kcmp, pid, pid, KCMP_FILE, a, b);
	if (r >= 0)
		return r == 0;
	return same_by_looks(a, b);
}

/* ---- the table of files, for each unit ---- */

static size_t bucket_of(const struct luo_unit *unit, ino_t inode, const char *name)
{
	uint64_t h = (uint64_t)inode * UINT64_C(0x9e3779b97f4a7c15);

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
	return (size_t)(h ^ (h >> 32)) & (unit->_n_buckets - 1);
}

static void table_add(struct luo_unit *unit, struct luo_entry *entry)
{
	struct luo_entry **b = &unit->_buckets[bucket_of(unit, entry->inode, entry->name)];

	entry->_next = *b;
	*b = entry;
}

static void table_remove(struct luo_unit *unit, struct luo_entry *entry)
{
	struct luo_entry **p;

	if (entry->fd < 0)
		return;
	for (p = &unit->_buckets[bucket_of(unit, entry->inode, entry->name)]; *p; p = &(*p)->_next)
		if (*p == entry) {
			*p = entry->_next;
			break;
		}
	entry->_next = NULL;
}

static int table_grow(struct luo_unit *unit, size_t n)
{
	struct luo_entry **buckets;

	buckets = calloc(n, sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	free(unit->_buckets);
	unit->_buckets = buckets;
	unit->_n_buckets = n;
	for (size_t i = 0; i < unit->n_entries; i++)
		if (unit->entries[i]->fd >= 0)
			table_add(unit, unit->entries[i]);
	return 0;
}

static struct luo_entry *table_find(const struct luo_unit *unit, const struct stat *st,
				    const char *name, int fd)
{
	if (!unit->_n_buckets)
		return NULL;
	for (struct luo_entry *e = unit->_buckets[bucket_of(unit, st->st_ino, name)]; e;
	     e = e->_next)
		if (e->inode == st->st_ino && e->device == st->st_dev && streq(e->name, name) &&
		    luo_fd_same_description(e->fd, fd) > 0)
			return e;
	return NULL;
}

/* ---- the arrays ---- */

/* Room for one more pointer. Doubles, because 10,000 entries may come one by one. */
static int reserve(void ***array, size_t *allocated, size_t used)
{
	size_t n = *allocated ? *allocated * 2 : 4;
	void **p;

	if (used < *allocated)
		return 0;
	p = reallocarray(*array, n, sizeof(*p));
	if (!p)
		return -ENOMEM;
	*array = p;
	*allocated = n;
	return 0;
}

int luo_unit_reserve(struct luo_unit *unit, size_t more)
{
	size_t wanted = unit->n_entries + more, buckets = unit->_n_buckets;
	int r;

	while (unit->_allocated < wanted) {
		r = reserve((void ***)&unit->entries, &unit->_allocated, unit->_allocated);
		if (r < 0)
			return r;
	}
	if (wanted <= buckets)
		return 0;
	while (buckets < wanted)
		buckets = MAX2(buckets * 2, (size_t)BUCKETS_MIN);
	return table_grow(unit, buckets);
}

static int unit_reserve(struct luo_unit *unit)
{
	return luo_unit_reserve(unit, 1);
}

/* This cannot fail, because unit_reserve() was called. */
static void unit_attach(struct luo_unit *unit, struct luo_entry *entry)
{
	entry->unit = unit;
	entry->index = unit->n_entries;
	unit->entries[unit->n_entries++] = entry;
	if (entry->fd >= 0)
		table_add(unit, entry);
}

static void unit_detach(struct luo_entry *entry)
{
	struct luo_unit *unit = entry->unit;

	table_remove(unit, entry);
	unit->n_entries--;
	memmove(unit->entries + entry->index, unit->entries + entry->index + 1,
		(unit->n_entries - entry->index) * sizeof(*unit->entries));
	for (size_t i = entry->index; i < unit->n_entries; i++)
		unit->entries[i]->index = i;
	entry->unit = NULL;
}

/* ---- entries ---- */

void luo_entry_meta_clear(struct luo_entry_meta *meta)
{
	free(meta->file_name);
	free(meta->extents);
	memset(meta, 0, sizeof(*meta));
}

static struct luo_entry *entry_free(struct luo_entry *entry)
{
	if (!entry)
		return NULL;
	entry->fd = safe_close(entry->fd);
	luo_entry_meta_clear(&entry->meta);
	free(entry->session_name);
	free(entry->extra);
	free(entry->name);
	free(entry);
	return NULL;
}

static void entry_freep(struct luo_entry **entry)
{
	entry_free(*entry);
}

/* Makes an entry that is in no unit yet, and reserves room for it. */
static int entry_new(struct luo_unit *unit, const char *name, struct luo_entry **ret_entry)
{
	_cleanup_(entry_freep) struct luo_entry *entry = NULL;
	int r;

	if (!luo_fdname_is_valid(name))
		return -EINVAL;
	r = unit_reserve(unit);
	if (r < 0)
		return r;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->fd = -EBADF;
	entry->poll = true;
	entry->name = strdup(name);
	if (!entry->name)
		return -ENOMEM;
	*ret_entry = TAKE_PTR(entry);
	return 0;
}

static void entry_own_fd(struct luo_entry *entry, int fd, const struct stat *st)
{
	entry->fd = fd;
	entry->device = st->st_dev;
	entry->inode = st->st_ino;
}

_public_ int luo_unit_add_fd(struct luo_unit *unit, const char *name, int fd,
			     struct luo_entry **ret_entry)
{
	struct luo_entry *entry;
	struct stat st;
	int r;

	if (!unit || !luo_fdname_is_valid(name))
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	entry = table_find(unit, &st, name, fd);
	r = entry ? -EEXIST : entry_new(unit, name, &entry);
	if (r == 0) {
		entry_own_fd(entry, fd, &st);
		unit_attach(unit, entry);
	}
	if (ret_entry && (r == 0 || r == -EEXIST))
		*ret_entry = entry;
	return r;
}

_public_ int luo_unit_add_lazy(struct luo_unit *unit, const char *name, enum luo_entry_type type,
			       unsigned session, uint64_t token, struct luo_entry **ret_entry)
{
	struct luo_entry *entry;
	int r;

	if (!unit || (type != LUO_ENTRY_FD && type != LUO_ENTRY_SESSION))
		return -EINVAL;
	if (token > LUO_TOKEN_MAX || (token == 0 && type == LUO_ENTRY_FD))
		return -EINVAL;
	r = entry_new(unit, name, &entry);
	if (r < 0)
		return r;
	entry->type = type;
	entry->session = session;
	entry->token = token;
	unit_attach(unit, entry);
	if (ret_entry)
		*ret_entry = entry;
	return 0;
}

_public_ struct luo_entry *luo_unit_find_entry(const struct luo_unit *unit, const char *name,
					       size_t nth)
{
	struct luo_entry *e;

	if (!unit || !name)
		return NULL;
	LUO_FOREACH_ENTRY (e, unit)
		if (streq(e->name, name) && nth-- == 0)
			return e;
	return NULL;
}

_public_ void luo_entry_remove(struct luo_entry *entry)
{
	if (!entry)
		return;
	unit_detach(entry);
	entry_free(entry);
}

void luo_unit_remove_failed(struct luo_unit *unit)
{
	size_t kept = 0;

	for (size_t i = 0; i < unit->n_entries; i++) {
		struct luo_entry *e = unit->entries[i];

		if (e->failed < 0) {
			table_remove(unit, e);
			entry_free(e);
			continue;
		}
		e->index = kept;
		unit->entries[kept++] = e;
	}
	unit->n_entries = kept;
}

void luo_entry_move_forward(struct luo_entry *entry, size_t position)
{
	struct luo_entry **entries = entry->unit->entries;

	for (size_t i = entry->index; i > position; i--) {
		entries[i] = entries[i - 1];
		entries[i]->index = i;
	}
	if (position < entry->index) {
		entries[position] = entry;
		entry->index = position;
	}
}

int luo_unit_borrow_entry(struct luo_unit *unit, struct luo_entry *entry)
{
	int r;

	r = unit_reserve(unit);
	if (r < 0)
		return r;
	unit_attach(unit, entry);
	return 0;
}

void luo_unit_return_entries(struct luo_unit *unit)
{
	unit->n_entries = 0;
}

_public_ int luo_entry_take_fd(struct luo_entry *entry)
{
	int fd;

	if (!entry || entry->fd < 0)
		return -EBADF;
	unit_detach(entry);
	fd = TAKE_FD(entry->fd);
	entry_free(entry);
	return fd;
}

_public_ int luo_entry_set_fd(struct luo_entry *entry, int fd)
{
	struct stat st;

	if (!entry)
		return -EINVAL;
	if (entry->fd >= 0)
		return -EBUSY;
	if (fstat(fd, &st) < 0)
		return -errno;
	entry_own_fd(entry, fd, &st);
	table_add(entry->unit, entry);
	return 0;
}

_public_ int luo_entry_move(struct luo_entry *entry, struct luo_unit *to)
{
	int r;

	if (!entry || !to)
		return -EINVAL;
	r = unit_reserve(to);
	if (r < 0)
		return r;
	unit_detach(entry);
	unit_attach(to, entry);
	return 0;
}

/* ---- units ---- */

static int unit_compare(const void *a, const void *b)
{
	const struct luo_unit *ua = a, *ub = b;

	return strcmp(ua->name, ub->name);
}

static struct luo_unit *unit_free(struct luo_unit *unit)
{
	if (!unit)
		return NULL;
	for (size_t i = 0; i < unit->n_entries; i++)
		entry_free(unit->entries[i]);
	free(unit->entries);
	free(unit->_buckets);
	free(unit->cgroup);
	free(unit->extra);
	free(unit->name);
	free(unit);
	return NULL;
}

static void unit_freep(struct luo_unit **unit)
{
	unit_free(*unit);
}

static int unit_set_cgroup(struct luo_unit *unit, const char *cgroup)
{
	char *copy;

	if (!cgroup)
		return 0;
	copy = strdup(cgroup);
	if (!copy)
		return -ENOMEM;
	free(unit->cgroup);
	unit->cgroup = copy;
	return 0;
}

static int unit_new(struct luo_store *store, const char *name, const char *cgroup,
		    struct luo_unit **ret_unit)
{
	_cleanup_(unit_freep) struct luo_unit *unit = NULL;
	int r;

	unit = calloc(1, sizeof(*unit));
	if (!unit)
		return -ENOMEM;
	unit->name = strdup(name);
	if (!unit->name)
		return -ENOMEM;
	r = unit_set_cgroup(unit, cgroup);
	if (r < 0)
		return r;
	r = reserve((void ***)&store->units, &store->n_allocated, store->n_units);
	if (r < 0)
		return r;
	if (!tsearch(unit, &store->by_name, unit_compare))
		return -ENOMEM;
	unit->store = store;
	unit->index = store->n_units;
	store->units[store->n_units++] = unit;
	*ret_unit = TAKE_PTR(unit);
	return 0;
}

_public_ int luo_store_add_unit(struct luo_store *store, const char *name, const char *cgroup,
				struct luo_unit **ret_unit)
{
	struct luo_unit *unit;
	int r;

	if (!store || !luo_unit_name_is_valid(name) || (cgroup && !luo_cgroup_is_valid(cgroup)))
		return -EINVAL;
	unit = luo_store_find_unit(store, name);
	r = unit ? unit_set_cgroup(unit, cgroup) : unit_new(store, name, cgroup, &unit);
	if (r == 0 && ret_unit)
		*ret_unit = unit;
	return r;
}

_public_ void luo_unit_remove(struct luo_unit *unit)
{
	struct luo_store *store;

	if (!unit)
		return;
	store = unit->store;
	tdelete(unit, &store->by_name, unit_compare);
	store->n_units--;
	memmove(store->units + unit->index, store->units + unit->index + 1,
		(store->n_units - unit->index) * sizeof(*store->units));
	for (size_t i = unit->index; i < store->n_units; i++)
		store->units[i]->index = i;
	unit_free(unit);
}

/* ---- the store ---- */

_public_ int luo_store_new(struct luo_store **ret_store)
{
	struct luo_store *store;

	if (!ret_store)
		return -EINVAL;
	store = calloc(1, sizeof(*store));
	if (!store)
		return -ENOMEM;
	*ret_store = store;
	return 0;
}

static void keep_node(void *node)
{
	/* the units belong to the array */
}

_public_ struct luo_store *luo_store_free(struct luo_store *store)
{
	if (!store)
		return NULL;
	tdestroy(store->by_name, keep_node);
	for (size_t i = 0; i < store->n_units; i++)
		unit_free(store->units[i]);
	free(store->units);
	free(store);
	return NULL;
}

_public_ size_t luo_store_n_units(const struct luo_store *store)
{
	return store ? store->n_units : 0;
}

_public_ struct luo_unit *luo_store_unit_at(const struct luo_store *store, size_t index)
{
	return store && index < store->n_units ? store->units[index] : NULL;
}

_public_ struct luo_unit *luo_store_find_unit(const struct luo_store *store, const char *name)
{
	struct luo_unit key = { .name = (char *)name };
	struct luo_unit **node;

	if (!store || !name)
		return NULL;
	node = tfind(&key, &store->by_name, unit_compare);
	return node ? *node : NULL;
}

_public_ size_t luo_store_n_entries(const struct luo_store *store)
{
	struct luo_unit *u;
	size_t n = 0;

	LUO_FOREACH_UNIT (u, store)
		n += u->n_entries;
	return n;
}
