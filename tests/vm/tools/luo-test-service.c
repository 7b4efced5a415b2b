/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * A service for the scenarios. It stores what a list says, or checks that it was given just that.
 *
 *   luo-test-service store LIST [--stay]    make everything, push it into the fd store
 *   luo-test-service verify LIST [--stay]   TAP: everything that can survive is there, unharmed
 *   luo-test-service empty                  TAP: nothing was given
 *   luo-test-service write NAME TEXT        at the start of what was given under that name
 *   luo-test-service read NAME TEXT         fails unless it starts with that
 *   luo-test-service copy UNIT NAME AS      store what another unit has, as our own
 *   luo-test-service serve LIST NAME        a service of systemd: stores everything if it was given
 *                                           nothing, else verifies it. /run/luo-test/NAME.tap says
 *                                           which and how, NAME.order what came in which order
 *
 *   luo-test-service share UNIT NAME ME     a service of systemd that stores the memfd NAME of UNIT
 *                                           as its own, if it was not given it
 *
 * serve and share write the inode of what they have into /run/luo-test/NAME.inode.
 *
 * With --stay it goes on in the background, as a service that lives on until the kexec.
 */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>

#include <luo/client.h>
#include <luo/fdstore.h>
#include <luo/memfd.h>
#include <luo/session.h>

#include "tests/vm/tools/spec.h"
#include "common/util.h"

#define PAGE UINT64_C(4096)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static unsigned n_tests, n_failed;

static void __attribute__((format(printf, 2, 3))) tap(bool ok, const char *format, ...)
{
	va_list arguments;

	n_tests++;
	n_failed += !ok;
	printf("%sok %u - ", ok ? "" : "not ", n_tests);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
}

/* ---- content: a stream that begins with the hash of the name ----------------------------------
 */

static uint64_t seed_of(const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
	return hash | 1;
}

static void fill(uint64_t *words, size_t n, uint64_t seed, uint64_t at)
{
	for (size_t i = 0; i < n; i++)
		words[i] = (seed + at / 8 + i) * UINT64_C(0x9e3779b97f4a7c15);
}

static bool is_hole(const struct spec *spec, uint64_t at)
{
	return spec->sparse && at != 0 && at < (spec->size - 1) / PAGE * PAGE;
}

static const char *content_of(const struct spec *spec)
{
	return spec->other[0] ? spec->other : spec->name;
}

static void write_content(int fd, const struct spec *spec)
{
	uint64_t words[PAGE / 8];

	if (ftruncate(fd, (off_t)spec->size) < 0)
		err(1, "ftruncate %s", spec->name);
	for (uint64_t at = 0; at < spec->size; at += PAGE) {
		size_t length = MIN2(PAGE, spec->size - at);

		if (is_hole(spec, at))
			continue;
		fill(words, ELEMENTSOF(words), seed_of(content_of(spec)), at);
		if (pwrite(fd, words, length, (off_t)at) != (ssize_t)length)
			err(1, "write %s", spec->name);
	}
}

static bool content_is_right(int fd, const struct spec *spec)
{
	uint64_t words[PAGE / 8], is[PAGE / 8];

	for (uint64_t at = 0; at < spec->size; at += PAGE) {
		size_t length = MIN2(PAGE, spec->size - at);

		if (is_hole(spec, at))
			memset(words, 0, sizeof(words));
		else
			fill(words, ELEMENTSOF(words), seed_of(content_of(spec)), at);
		if (pread(fd, is, length, (off_t)at) != (ssize_t)length ||
		    memcmp(words, is, length) != 0)
			return false;
		/* Two pages of a hole tell as much as all. */
		if (is_hole(spec, at) && at > 2 * PAGE)
			at = (spec->size - 1) / PAGE * PAGE - PAGE;
	}
	return true;
}

/* ---- store ----------------------------------------------------------------------------------- */

static int make_memory(const struct spec *spec)
{
	int fd, narrowed;
	char name[200];

	/* An fd may have a longer name than a memfd. */
	snprintf(name, sizeof(name), "%.199s", spec->name);
	if (spec->tmpfs)
		fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	else
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING |
						(spec->noexec ? MFD_NOEXEC_SEAL : 0));
	if (fd < 0)
		err(1, "cannot make %s", spec->name);
	write_content(fd, spec);
	if (spec->have_mode && fchmod(fd, spec->mode) < 0)
		err(1, "fchmod %s", spec->name);
	if (spec->have_owner && fchown(fd, spec->uid, spec->gid) < 0)
		err(1, "fchown %s", spec->name);
	if (spec->seals && fcntl(fd, F_ADD_SEALS, spec->seals) < 0)
		err(1, "seal %s", spec->name);
	if (spec->append && fcntl(fd, F_SETFL, O_APPEND) < 0)
		err(1, "F_SETFL %s", spec->name);
	if (spec->ro) {
		if (luo_memfd_reopen(fd, O_RDONLY, &narrowed) < 0)
			errx(1, "cannot reopen %s", spec->name);
		close(fd);
		fd = narrowed;
	}
	if (spec->offset >= 0 && lseek(fd, spec->offset, SEEK_SET) < 0)
		err(1, "lseek %s", spec->name);
	return fd;
}

/* The memory is in the session, so nothing else needs to keep it. */
static int make_session(const struct spec *spec)
{
	_cleanup_close_ int device = -EBADF, memory = make_memory(spec);
	char name[64];
	int session, r;

	snprintf(name, sizeof(name), "test-%.50s", spec->name);
	r = luo_device_open(10 * USEC_PER_SEC, &device);
	if (r >= 0)
		r = luo_session_create(device, name, &session);
	if (r >= 0)
		r = luo_session_preserve_fd(session, memory, 1);
	if (r < 0)
		errx(1, "cannot make session %s: %s", name, strerror(-r));
	return session;
}

static int make_lost(const char *kind)
{
	int fds[2] = { -1, -1 };

	if (streq(kind, "socket")) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
			err(1, "socketpair");
		return fds[0];
	}
	if (streq(kind, "pipe")) {
		if (pipe2(fds, O_CLOEXEC) < 0)
			err(1, "pipe");
		return fds[0];
	}
	if (streq(kind, "eventfd"))
		return eventfd(0, EFD_CLOEXEC);
	if (streq(kind, "file"))
		return open("/proc/version", O_RDONLY | O_CLOEXEC);
	if (streq(kind, "directory"))
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (streq(kind, "linked-tmpfs"))
		return open("/dev/shm/linked", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (streq(kind, "hugetlb"))
		return memfd_create("hugetlb", MFD_CLOEXEC | MFD_HUGETLB);
	errx(2, "unknown kind: %s", kind);
}

static int make_same(const struct spec *spec, const struct spec_list *list, const int *fds)
{
	int fd = fds[spec_find(list, spec->other) - list->specs], copy;

	if (fd < 0)
		errx(2, "%s stands before %s", spec->name, spec->other);
	if (!spec->ro)
		return fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (luo_memfd_reopen(fd, O_RDONLY, &copy) < 0)
		errx(1, "cannot reopen %s", spec->other);
	return copy;
}

static void store(const struct spec_list *list)
{
	_cleanup_free_ int *fds = calloc(list->n, sizeof(int));

	for (size_t i = 0; i < list->n; i++)
		fds[i] = -1;
	for (size_t i = 0; i < list->n; i++) {
		const struct spec *spec = &list->specs[i];
		/* Only the last one waits: the manager takes them in order. */
		unsigned flags = LUO_FDSTORE_NO_POLL;
		int r;

		if (i + 1 < list->n)
			flags |= LUO_FDSTORE_NO_WAIT;
		if (spec->session)
			fds[i] = make_session(spec);
		else if (spec->kind == SPEC_MEMFD)
			fds[i] = make_memory(spec);
		else if (spec->kind == SPEC_SAME)
			fds[i] = make_same(spec, list, fds);
		else
			fds[i] = make_lost(spec->lost);
		if (fds[i] < 0)
			err(1, "cannot make %s", spec->name);
		r = luo_fdstore_push(spec->name, fds[i], flags);
		if (r < 0)
			errx(1, "cannot store %s: %s", spec->name, strerror(-r));
	}
	/* A service that goes on writing has its memory open; one that only stores has not. */
	for (size_t i = 0; i < list->n; i++)
		if (list->n > 64)
			safe_close(fds[i]);
}

/* ---- verify ---------------------------------------------------------------------------------- */

/* The nth of a name, by counting how often the name came before. */
static size_t nth_of(const struct spec_list *list, size_t index)
{
	size_t nth = 0;

	for (size_t i = 0; i < index; i++)
		nth += streq(list->specs[i].name, list->specs[index].name) &&
		       list->specs[i].kind != SPEC_LOST;
	return nth;
}

static bool attributes_are_right(int fd, const struct spec *spec)
{
	int flags = fcntl(fd, F_GETFL);
	unsigned seals = 0;
	struct stat st;
	bool ok = true;

	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != spec->size) {
		printf("# %s: size is %lld\n", spec->name, (long long)st.st_size);
		return false;
	}
	if ((flags & O_ACCMODE) != (spec->ro ? O_RDONLY : O_RDWR)) {
		printf("# %s: open flags are %#x\n", spec->name, (unsigned)flags);
		ok = false;
	}
	if (!!(flags & O_APPEND) != spec->append) {
		printf("# %s: O_APPEND is wrong\n", spec->name);
		ok = false;
	}
	if (!spec->tmpfs && luo_memfd_get_seals(fd, &seals) >= 0 &&
	    seals != (spec->seals | (spec->noexec ? 0x20 : 0))) {
		printf("# %s: seals are %#x\n", spec->name, seals);
		ok = false;
	}
	if (spec->have_mode && (st.st_mode & 07777) != spec->mode) {
		printf("# %s: mode is %o\n", spec->name, st.st_mode & 07777);
		ok = false;
	}
	if (spec->have_owner && (st.st_uid != spec->uid || st.st_gid != spec->gid)) {
		printf("# %s: owner is %u:%u\n", spec->name, st.st_uid, st.st_gid);
		ok = false;
	}
	if (spec->offset >= 0 && lseek(fd, 0, SEEK_CUR) != spec->offset) {
		printf("# %s: offset is %lld\n", spec->name, (long long)lseek(fd, 0, SEEK_CUR));
		ok = false;
	}
	if (spec->sparse && (uint64_t)st.st_blocks * 512 > spec->size / 2) {
		printf("# %s: its holes were filled\n", spec->name);
		ok = false;
	}
	return ok;
}

/* Read-only must not only be said: writing has to fail, and to work where it should. */
static bool writing_is_right(int fd, const struct spec *spec)
{
	bool may = !spec->ro && !(spec->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
	char byte;

	if (spec->size == 0 || spec->append)
		return true;
	if (pread(fd, &byte, 1, 0) != 1)
		return false;
	return (pwrite(fd, &byte, 1, 0) == 1) == may;
}

static bool same_file(int fd, const char *other)
{
	struct stat a, b;
	int fd_other;

	return luo_fdstore_get(other, 0, &fd_other) >= 0 && fstat(fd, &a) == 0 &&
	       fstat(fd_other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void verify_one(const struct spec_list *list, size_t index)
{
	const struct spec *spec = &list->specs[index];
	int fd, r;

	r = luo_fdstore_get(spec->name, nth_of(list, index), &fd);
	if (spec->kind == SPEC_LOST) {
		tap(r == -ENOENT, "%s, a %s, is not there", spec->name, spec->lost);
		return;
	}
	if (r < 0) {
		tap(false, "%s is there: %s", spec->name, strerror(-r));
		return;
	}
	if (spec->session) {
		_cleanup_close_ int memory = -EBADF;

		r = luo_session_retrieve_fd(fd, 1, &memory);
		tap(r >= 0 && content_is_right(memory, spec), "%s is a session with its memory%s%s",
		    spec->name, r < 0 ? ": " : "", r < 0 ? strerror(-r) : "");
		return;
	}
	if (spec->kind == SPEC_SAME) {
		tap(same_file(fd, spec->other), "%s is the same file as %s", spec->name,
		    spec->other);
		return;
	}
	tap(attributes_are_right(fd, spec) && content_is_right(fd, spec) &&
		    writing_is_right(fd, spec),
	    "%s is as it was", spec->name);
}

static void verify(const struct spec_list *list)
{
	/* A service that systemd activates by a socket is given that too. */
	const char *more = getenv("LUO_TEST_SOCKETS");
	int count = luo_fdstore_count() - (more ? atoi(more) : 0);
	size_t expected = 0;

	for (size_t i = 0; i < list->n; i++)
		expected += list->specs[i].kind != SPEC_LOST;
	tap(count == (int)expected, "%zu fds were given (%d)", expected, count);
	for (size_t i = 0; i < list->n; i++)
		verify_one(list, i);
	printf("1..%u\n", n_tests);
	fflush(stdout);
}

/* ---- single entries -------------------------------------------------------------------------- */

static int given(const char *name)
{
	int fd, r;

	r = luo_fdstore_get(name, 0, &fd);
	if (r < 0)
		errx(1, "%s was not given: %s", name, strerror(-r));
	return fd;
}

static int write_text(const char *name, const char *text)
{
	if (pwrite(given(name), text, strlen(text), 0) != (ssize_t)strlen(text))
		err(1, "cannot write into %s", name);
	return 0;
}

static int read_text(const char *name, const char *text)
{
	char buffer[256] = {};

	if (pread(given(name), buffer, MIN2(strlen(text), sizeof(buffer) - 1), 0) < 0)
		err(1, "cannot read %s", name);
	if (!streq(buffer, text))
		errx(1, "%s starts with \"%s\"", name, buffer);
	return 0;
}

static int copy_entry(const char *unit, const char *name, const char *as)
{
	struct luo_client *client;
	int fd, r;

	r = luo_client_connect(NULL, 10 * USEC_PER_SEC, &client);
	if (r >= 0)
		r = luo_client_open_entry(client, unit, name, 0, &fd);
	if (r < 0)
		errx(1, "cannot have %s of %s: %s", name, unit, strerror(-r));
	luo_client_free(client);
	r = luo_fdstore_push(as, fd, LUO_FDSTORE_NO_POLL);
	if (r < 0)
		errx(1, "cannot store %s: %s", as, strerror(-r));
	return 0;
}

/* One line for each fd that was given, in that order: its name, size, and how it begins. */
static void write_order(const char *path)
{
	const char *names = getenv("LISTEN_FDNAMES");
	_cleanup_free_ char *copy = strdup(names ? names : "");
	char *name = copy;
	FILE *f = fopen(path, "we");

	if (!f || !copy)
		err(1, "cannot write %s", path);
	for (int fd = 3; name && *name; fd++) {
		char *next = strchr(name, ':');
		uint64_t word = 0;
		struct stat st;

		if (next)
			*next++ = 0;
		if (fstat(fd, &st) < 0 || pread(fd, &word, sizeof(word), 0) < 0)
			word = 0;
		fprintf(f, "%s %lld %016llx\n", name, (long long)st.st_size,
			(unsigned long long)word);
		name = next;
	}
	if (fclose(f) != 0)
		err(1, "cannot write %s", path);
}

static void write_inode(const char *name, int fd)
{
	char path[512];
	struct stat st;
	FILE *f;

	snprintf(path, sizeof(path), "/run/luo-test/%s.inode", name);
	f = fopen(path, "we");
	if (!f || fstat(fd, &st) < 0)
		err(1, "cannot write %s", path);
	fprintf(f, "%llu\n", (unsigned long long)st.st_ino);
	fclose(f);
}

static _Noreturn void ready(void)
{
	(void)sd_notify(0, "READY=1");
	for (;;)
		pause();
}

/* The main process of a unit. */
static pid_t main_pid(const char *unit)
{
	char command[512];
	int pid = 0;
	FILE *f;

	snprintf(command, sizeof(command), "systemctl show -P MainPID %s", unit);
	f = popen(command, "re");
	if (!f || fscanf(f, "%d", &pid) != 1 || pid <= 0)
		errx(1, "%s has no main process", unit);
	pclose(f);
	return pid;
}

/* Its very open file description, as if it had been sent over a socket. */
static int memfd_of(pid_t pid, const char *name)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	char wanted[300];

	snprintf(wanted, sizeof(wanted), "/memfd:%s (deleted)", name);
	for (int i = 3; i < 1024; i++) {
		char path[64], link[300];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, i);
		n = readlink(path, link, sizeof(link) - 1);
		if (n < 0)
			continue;
		link[n] = 0;
		if (streq(link, wanted))
			return (int)syscall(SYS_pidfd_getfd, pidfd, i, 0);
	}
	errno = ENOENT;
	return -1;
}

static int share(const char *unit, const char *name, const char *me)
{
	int fd, r;

	(void)mkdir("/run/luo-test", 0755);
	if (luo_fdstore_get(name, 0, &fd) < 0) {
		fd = memfd_of(main_pid(unit), name);
		if (fd < 0)
			err(1, "cannot have %s of %s", name, unit);
		r = luo_fdstore_push(name, fd, LUO_FDSTORE_NO_POLL);
		if (r < 0)
			errx(1, "cannot store %s: %s", name, strerror(-r));
	}
	write_inode(me, fd);
	ready();
}

static int serve(const char *list_path, const char *name)
{
	struct spec_list list;
	char tap_path[512], order_path[512];
	int fd;

	snprintf(tap_path, sizeof(tap_path), "/run/luo-test/%s.tap", name);
	snprintf(order_path, sizeof(order_path), "/run/luo-test/%s.order", name);
	(void)mkdir("/run/luo-test", 0755);
	/* Before libluo takes the environment. */
	write_order(order_path);
	if (!freopen(tap_path, "we", stdout))
		err(1, "cannot write %s", tap_path);
	spec_read(list_path, &list);
	if (list.n > 0 && luo_fdstore_get(list.specs[0].name, 0, &fd) >= 0)
		verify(&list);
	else {
		store(&list);
		printf("stored\n");
	}
	fflush(stdout);
	if (list.n > 0 && luo_fdstore_get(list.specs[0].name, 0, &fd) >= 0)
		write_inode(name, fd);
	ready();
}

static void stay(void)
{
	if (daemon(1, 1) < 0)
		err(1, "daemon");
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	struct spec_list list;
	bool stays = argc > 3 && streq(argv[3], "--stay");

	if (argc == 2 && streq(argv[1], "empty")) {
		tap(luo_fdstore_count() == 0, "no fds were given");
		printf("1..1\n");
		return n_failed > 0;
	}
	if (argc == 4 && streq(argv[1], "write"))
		return write_text(argv[2], argv[3]);
	if (argc == 4 && streq(argv[1], "read"))
		return read_text(argv[2], argv[3]);
	if (argc == 5 && streq(argv[1], "share"))
		return share(argv[2], argv[3], argv[4]);
	if (argc == 4 && streq(argv[1], "serve"))
		return serve(argv[2], argv[3]);
	if (argc == 5 && streq(argv[1], "copy"))
		return copy_entry(argv[2], argv[3], argv[4]);
	if (argc < 3 || (argc > 3 && !stays)) {
		fprintf(stderr,
			"usage: luo-test-service store|verify LIST [--stay] | empty | write|read NAME TEXT | copy UNIT NAME AS | serve LIST NAME | share UNIT NAME ME\n");
		return 2;
	}
	spec_read(argv[2], &list);
	if (streq(argv[1], "store"))
		store(&list);
	else
		verify(&list);
	fflush(stdout);
	if (stays && n_failed == 0)
		stay();
	free(list.specs);
	return n_failed > 0;
}
