/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * A PID 1 of paper: a socket that answers as systemd's private one does, and a descriptor table
 * with fd stores in it. Whoever tests starts it, waits for the line "ready", and sets
 * $LUO_MANAGER_ADDRESS and $LUO_MANAGER_PID.
 *
 *   fake-manager SOCKET [WORD]...
 *
 *   unit=NAME   with fields after it, each a word: preserve=yes result=success active=inactive
 * file=enabled said=N (instead of how many there are) fd=NAME,KIND[,SIZE]   in the store of the
 * last unit; KIND: memfd, socket, pipe, eventfd, file, dup (of the last fd), reopen (its file,
 * read-only), missing (nobody has it open) state=stopping job=1 start=REALTIME:MONOTONIC
 * version=TEXT silent=MEMBER or silent=MEMBER:UNIT   this is never answered hangup=MEMBER   the
 * connection is closed instead
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>

#include "common/util.h"

#define FDS_MAX   4096
#define UNITS_MAX 1024
#define PREFIX    "/org/freedesktop/systemd1/unit/"

struct entry {
	const char *name;
	size_t unit;
	int fd;
	uint64_t inode; /* if nobody has it open */
};

struct unit {
	const char *name, *preserve, *result, *active, *file;
	unsigned said, n;
};

static struct entry entries[FDS_MAX];
static struct unit units[UNITS_MAX];
static size_t n_entries, n_units;
static const char *state = "running", *version = "257.13-1", *silent = "", *hangup = "";
static uint32_t job;
static uint64_t start_realtime, start_monotonic;

static void die(const char *what)
{
	fprintf(stderr, "fake-manager: %s: %m\n", what);
	exit(1);
}

/* ---- what it has ----------------------------------------------------------------------------- */

static int make_fd(const char *kind, off_t size)
{
	char path[64];
	int fd = -1, pair[2];

	if (streq(kind, "memfd") || streq(kind, "missing")) {
		fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd >= 0 && ftruncate(fd, size) < 0)
			die("ftruncate");
	} else if (streq(kind, "socket")) {
		fd = socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 ? -1 : pair[0];
	} else if (streq(kind, "pipe")) {
		fd = pipe(pair) < 0 ? -1 : pair[0];
	} else if (streq(kind, "eventfd")) {
		fd = eventfd(0, 0);
	} else if (streq(kind, "file")) {
		fd = open("/etc/passwd", O_RDONLY);
	} else if (streq(kind, "dup")) {
		fd = dup(entries[n_entries - 1].fd);
	} else if (streq(kind, "reopen")) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", entries[n_entries - 1].fd);
		fd = open(path, O_RDONLY);
	}
	if (fd < 0)
		die(kind);
	return fd;
}

static void add_fd(char *text)
{
	char *name = strsep(&text, ","), *kind = strsep(&text, ",");
	struct entry *e = &entries[n_entries];

	if (n_entries == FDS_MAX || n_units == 0 || !kind)
		die("fd=");
	*e = (struct entry){ .name = name, .unit = n_units - 1 };
	e->fd = make_fd(kind, text ? atol(text) : 4096);
	if (streq(kind, "missing"))
		e->inode = 999999999;
	n_entries++;
	units[n_units - 1].n++;
}

static void take_word(char *word)
{
	char *value = strchr(word, '=');
	struct unit *u = n_units > 0 ? &units[n_units - 1] : NULL;

	if (!value)
		die(word);
	*value++ = 0;
	if (streq(word, "unit") && n_units < UNITS_MAX)
		units[n_units++] =
			(struct unit){ value, "yes", "success", "inactive", "enabled", ~0U, 0 };
	else if (streq(word, "fd"))
		add_fd(value);
	else if (streq(word, "preserve") && u)
		u->preserve = value;
	else if (streq(word, "result") && u)
		u->result = value;
	else if (streq(word, "active") && u)
		u->active = value;
	else if (streq(word, "file") && u)
		u->file = value;
	else if (streq(word, "said") && u)
		u->said = (unsigned)atoi(value);
	else if (streq(word, "state"))
		state = value;
	else if (streq(word, "version"))
		version = value;
	else if (streq(word, "silent"))
		silent = value;
	else if (streq(word, "hangup"))
		hangup = value;
	else if (streq(word, "job"))
		job = (uint32_t)atoi(value);
	else if (streq(word, "start"))
		sscanf(value, "%lu:%lu", &start_realtime, &start_monotonic);
	else
		die(word);
}

/* ---- what it answers ------------------------------------------------------------------------- */

static bool is_silent(const char *member, const char *unit)
{
	size_t n = strlen(member);

	if (strncmp(silent, member, n) != 0)
		return false;
	return !silent[n] || (silent[n] == ':' && unit && streq(silent + n + 1, unit));
}

static int list_units(sd_bus_message *m)
{
	sd_bus_message *reply;

	sd_bus_message_new_method_return(m, &reply);
	sd_bus_message_open_container(reply, 'a', "(ssssssouso)");
	for (size_t i = 0; i < n_units; i++) {
		char path[64];

		snprintf(path, sizeof(path), PREFIX "u%zu", i);
		sd_bus_message_append(reply, "(ssssssouso)", units[i].name, "", "loaded",
				      units[i].active, "dead", "", path, 0, "", "/");
	}
	sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

static int dump(sd_bus_message *m)
{
	sd_bus_message *reply;
	const char *unit;

	sd_bus_message_read(m, "s", &unit);
	if (is_silent("DumpUnitFileDescriptorStore", unit))
		return 1;
	sd_bus_message_new_method_return(m, &reply);
	sd_bus_message_open_container(reply, 'a', "(suuutuusu)");
	/* What is new is in front. */
	for (size_t i = n_entries; i-- > 0;) {
		const struct entry *e = &entries[i];
		char link[64], path[4096];
		struct stat st;
		ssize_t n;

		if (!streq(units[e->unit].name, unit))
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", e->fd);
		n = readlink(link, path, sizeof(path) - 1);
		path[n < 0 ? 0 : n] = 0;
		fstat(e->fd, &st);
		sd_bus_message_append(reply, "(suuutuusu)", e->name, st.st_mode, major(st.st_dev),
				      minor(st.st_dev), (uint64_t)(e->inode ?: st.st_ino),
				      major(st.st_rdev), minor(st.st_rdev), path,
				      fcntl(e->fd, F_GETFL));
	}
	sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

static int reply_u64(sd_bus_message *m, uint64_t n)
{
	return sd_bus_reply_method_return(m, "v", "t", n);
}

static int get_property(sd_bus_message *m)
{
	const char *interface, *name, *path = sd_bus_message_get_path(m);
	const struct unit *u = NULL;

	sd_bus_message_read(m, "ss", &interface, &name);
	if (startswith(path, PREFIX "u"))
		u = &units[atoi(path + strlen(PREFIX "u"))];
	if (is_silent(name, u ? u->name : NULL))
		return 1;
	if (u && streq(name, "NFileDescriptorStore"))
		return sd_bus_reply_method_return(m, "v", "u", u->said != ~0U ? u->said : u->n);
	if (u && streq(name, "FileDescriptorStoreMax"))
		return sd_bus_reply_method_return(m, "v", "u", 100);
	if (u && streq(name, "FileDescriptorStorePreserve"))
		return sd_bus_reply_method_return(m, "v", "s", u->preserve);
	if (u && streq(name, "Result"))
		return sd_bus_reply_method_return(m, "v", "s", u->result);
	if (streq(name, "SystemState"))
		return sd_bus_reply_method_return(m, "v", "s", state);
	if (streq(name, "Version"))
		return sd_bus_reply_method_return(m, "v", "s", version);
	if (streq(name, "Job") && streq(path, PREFIX "kexec_2etarget"))
		return sd_bus_reply_method_return(m, "v", "(uo)", job, "/");
	if (start_realtime && streq(name, "ShutdownStartTimestamp"))
		return reply_u64(m, start_realtime);
	if (start_realtime && streq(name, "ShutdownStartTimestampMonotonic"))
		return reply_u64(m, start_monotonic);
	return sd_bus_reply_method_errorf(m, "org.freedesktop.DBus.Error.UnknownProperty", "%s?",
					  name);
}

static int unit_file_state(sd_bus_message *m)
{
	const char *unit;

	sd_bus_message_read(m, "s", &unit);
	for (size_t i = 0; i < n_units; i++)
		if (streq(units[i].name, unit))
			return sd_bus_reply_method_return(m, "s", units[i].file);
	return sd_bus_reply_method_errorf(m, "System.Error.ENOENT", "No such file or directory");
}

/* Says on its standard output in which mode which units are pinned. */
static int start_transient(sd_bus_message *m)
{
	const char *name, *mode, *unit;

	sd_bus_message_read(m, "ss", &name, &mode);
	printf("%s", mode);
	sd_bus_message_enter_container(m, 'a', "(sv)");
	while (sd_bus_message_enter_container(m, 'r', "sv") > 0) {
		sd_bus_message_read(m, "s", &name);
		if (streq(name, "After")) {
			sd_bus_message_enter_container(m, 'v', "as");
			sd_bus_message_enter_container(m, 'a', "s");
			while (sd_bus_message_read(m, "s", &unit) > 0)
				printf(" %s", unit);
			sd_bus_message_exit_container(m);
			sd_bus_message_exit_container(m);
		} else {
			sd_bus_message_skip(m, "v");
		}
		sd_bus_message_exit_container(m);
	}
	puts("");
	fflush(stdout);
	return sd_bus_reply_method_return(m, "o", "/job/1");
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *member = sd_bus_message_get_member(m);
	uint8_t type;

	sd_bus_message_get_type(m, &type);
	if (type != SD_BUS_MESSAGE_METHOD_CALL || !member)
		return 0;
	if (streq(member, hangup)) {
		sd_bus_close(sd_bus_message_get_bus(m));
		return 1;
	}
	if (!streq(member, "DumpUnitFileDescriptorStore") && is_silent(member, NULL))
		return 1;
	if (streq(member, "ListUnitsByPatterns"))
		list_units(m);
	else if (streq(member, "DumpUnitFileDescriptorStore"))
		dump(m);
	else if (streq(member, "Get"))
		get_property(m);
	else if (streq(member, "StartTransientUnit"))
		start_transient(m);
	else if (streq(member, "GetUnitFileState"))
		unit_file_state(m);
	else
		return 0;
	return 1;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void serve(int fd)
{
	sd_id128_t id;
	sd_bus *bus;
	int r;

	sd_id128_randomize(&id);
	if (sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0 ||
	    sd_bus_set_server(bus, 1, id) < 0 ||
	    sd_bus_add_filter(bus, NULL, on_message, NULL) < 0 || sd_bus_start(bus) < 0)
		die("sd-bus");
	do {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	} while (r >= 0);
	sd_bus_close_unref(bus);
}

int main(int argc, char *argv[])
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2)
		return 2;
	for (int i = 2; i < argc; i++)
		take_word(argv[i]);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 10) < 0)
		die(argv[1]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (connection < 0)
			die("accept");
		if (!streq(hangup, "connect"))
			serve(connection);
		else
			close(connection);
	}
}
