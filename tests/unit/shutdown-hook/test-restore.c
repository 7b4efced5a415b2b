/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-restore between a luod and a PID 1 that are both made up. This PID 1 does with what it gets
 * what the real one does: one open file description is stored once, at most so many, and it tells
 * what it has.
 */

#include <poll.h>
#include <pthread.h>

#include "tests/unit/client/fixture.h"
#include "shutdown-hook/restore.h"

#define F_QUERY (1024 + 3) /* F_DUPFD_QUERY */

struct pid1 {
	int fd, stop[2];
	pthread_t thread;
	unsigned max;
	bool deaf; /* ignores FDSTORE=1, like one whose NotifyAccess= is too narrow */
	int dump_error;
	unsigned n_dumps;
	unsigned n_errors; /* so many times; 0: always */
	struct {
		char name[300];
		int fd;
	} store[16];
	size_t n;
	char said[4096]; /* everything else */
};

struct fixture {
	struct server server; /* luod; first, for its teardown */
	struct pid1 pid1;
	struct restore restore;
	int files[4];
};

static struct fixture *fixture;

/* ---- PID 1 ----------------------------------------------------------------------------------- */

static bool has_already(struct pid1 *p, int fd)
{
	for (size_t i = 0; i < p->n; i++)
		if (fcntl(p->store[i].fd, F_QUERY, fd) == 1)
			return true;
	return false;
}

static void pid1_store(struct pid1 *p, const char *text, int fd)
{
	const char *name = strstr(text, "FDNAME=");

	if (p->deaf || p->n >= p->max || has_already(p, fd)) {
		close(fd);
		return;
	}
	sscanf(name, "FDNAME=%299[^\n]", p->store[p->n].name);
	p->store[p->n++].fd = fd;
	if (strstr(text, "FDPOLL=0"))
		strcat(p->said, "nopoll ");
}

static void pid1_hear(struct pid1 *p)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control;
	char text[1024];
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(p->fd, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fd = -EBADF;

	if (n < 0)
		return;
	text[n] = '\0';
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c))
		if (c->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	if (strstr(text, "FDSTORE=1")) {
		pid1_store(p, text, fd);
		return;
	}
	safe_close(fd); /* which answers a barrier */
	if (!startswith(text, "BARRIER") && !startswith(text, "EXTEND")) {
		strcat(p->said, text);
		strcat(p->said, " ");
	}
}

static void *pid1_run(void *userdata)
{
	struct pid1 *p = userdata;
	struct pollfd fds[] = { { .fd = p->fd, .events = POLLIN },
				{ .fd = p->stop[0], .events = POLLIN } };

	while (poll(fds, 2, -1) > 0) {
		if (fds[0].revents)
			pid1_hear(p);
		else
			break;
	}
	return NULL;
}

static int dump(void *userdata, const char *unit, struct luo_manager_fd **ret, size_t *ret_n)
{
	struct pid1 *p = userdata;
	struct luo_manager_fd *fds;

	assert_string_equal(unit, "a.service");
	p->n_dumps++;
	if (p->dump_error && (p->n_errors == 0 || p->n_dumps <= p->n_errors))
		return p->dump_error;
	fds = calloc(p->n + 1, sizeof(*fds));
	for (size_t i = 0; i < p->n; i++) {
		struct stat st;

		assert_int_equal(fstat(p->store[i].fd, &st), 0);
		fds[i] = (struct luo_manager_fd){ .name = strdup(p->store[i].name),
						  .path = strdup("anon_inode:[x]"),
						  .device = st.st_dev,
						  .inode = st.st_ino,
						  .mode = st.st_mode };
	}
	*ret = fds;
	*ret_n = p->n;
	return 0;
}

/* ---- luod ------------------------------------------------------------------------------------ */

#define LIST(state) "{\"name\":\"ram\",\"state\":\"" state "\",\"size\":4096}"

static const char *list_answer, *claim_answer;
static size_t claim_fds;
static int breaks; /* so many claims end in the middle */

static void answer(struct server *s)
{
	const char *call = s->calls[s->n - 1];

	if (strstr(call, "io.luo.ListEntries"))
		server_say(s, list_answer);
	else if (strstr(call, "io.luo.Drop"))
		server_say(s, "{\"parameters\":{\"dropped\":1,\"bytes\":0}}");
	else if (breaks > 0 && breaks--)
		s->fd = safe_close(s->fd);
	else
		server_say_raw(s, claim_answer, strlen(claim_answer) + 1, fixture->files,
			       claim_fds);
	memset(s->calls[s->n], 0, sizeof(s->calls[0]));
}

/* Each call comes on a connection of its own, until one says "stop". */
static void serve(struct server *s)
{
	for (;;) {
		if (s->fd >= 0 && server_hear(s)) {
			if (startswith(s->calls[s->n - 1], "stop"))
				return;
			answer(s);
			continue;
		}
		server_accept(s);
		if (s->fd < 0)
			return;
	}
}

static void luod_stop(struct server *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, s->path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		assert_int_equal(write(fd, "stop", 5), 5);
	pthread_join(s->thread, NULL);
	close(fd);
}

/* ---- fixture --------------------------------------------------------------------------------- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct server *s = &f->server;
	char path[64];

	remember_fds(state);
	s->fd = -EBADF;
	make_directory(s->directory);
	snprintf(s->path, sizeof(s->path), "%s/io.luo", s->directory);
	s->listen_fd = bound_socket(SOCK_STREAM, s->path);
	assert_int_equal(listen(s->listen_fd, 8), 0);
	s->serve = serve;
	for (size_t i = 0; i < ELEMENTSOF(f->files); i++)
		f->files[i] = memfd_of("memory");
	snprintf(path, sizeof(path), "%s/notify", s->directory);
	f->pid1.fd = bound_socket(SOCK_DGRAM, path);
	f->pid1.max = 8;
	assert_int_equal(pipe2(f->pid1.stop, O_CLOEXEC), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", path, true), 0);
	f->restore = (struct restore){ .unit = "a.service",
				       .runtime_dir = s->directory,
				       .fdstore = "8",
				       .notify_access = "main",
				       .timeout_usec = USEC_PER_SEC,
				       .dump = dump,
				       .userdata = &f->pid1 };
	list_answer = "{\"parameters\":{\"entries\":[" LIST("held") "," LIST("held") "]}}";
	claim_answer =
		"{\"parameters\":{\"entries\":[{\"name\":\"ram\",\"poll\":true,\"fileDescriptor\":0},{\"name\":\"disk\",\"poll\":false,\"fileDescriptor\":1}]}}";
	claim_fds = 2;
	breaks = 0;
	fixture = f;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < f->pid1.n; i++)
		close(f->pid1.store[i].fd);
	close_many(f->files, ELEMENTSOF(f->files));
	close(f->pid1.fd);
	close_many(f->pid1.stop, 2);
	safe_close(f->server.fd);
	server_teardown(state);
	return check_fds(state);
}

static int run(struct fixture *f)
{
	int r;

	assert_int_equal(pthread_create(&f->pid1.thread, NULL, pid1_run, &f->pid1), 0);
	assert_int_equal(pthread_create(&f->server.thread, NULL, server_run, &f->server), 0);
	r = restore_run(&f->restore);
	luod_stop(&f->server);
	assert_int_equal(write(f->pid1.stop[1], "", 1), 1);
	pthread_join(f->pid1.thread, NULL);
	assert_int_equal(read(f->pid1.stop[0], (char[1]){ 0 }, 1), 1);
	return r;
}

/* Which calls luod has heard, in order. */
static void assert_calls(struct fixture *f, const char *expected)
{
	char text[2048] = "";

	for (size_t i = 0; i + 1 < f->server.n; i++) {
		const char *call = f->server.calls[i], *name = strstr(call, "\"name\":\"");
		char one[64];

		sscanf(strstr(call, "io.luo.") + 7, "%60[A-Za-z]", one);
		strcat(text, one);
		if (name && sscanf(name, "\"name\":\"%60[^\"]", one) == 1) {
			strcat(text, ":");
			strcat(text, one);
		}
		strcat(text, " ");
	}
	assert_string_equal(text, expected);
}

static void assert_stored(struct fixture *f, size_t i, const char *name, int file)
{
	assert_true(i < f->pid1.n);
	assert_string_equal(f->pid1.store[i].name, name);
	assert_int_equal(inode_of(f->pid1.store[i].fd), inode_of(file));
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_no_luod(void **state)
{
	struct fixture *f = *state;

	unlink(f->server.path);
	f->restore.timeout_usec = 0;
	assert_int_equal(restore_run(&f->restore), 1);
}

/* PID 1 cannot be asked: nothing is claimed, because nothing could be forgotten. */
static void test_no_bus(void **state)
{
	struct fixture *f = *state;

	f->pid1.dump_error = -ETIMEDOUT;
	assert_int_equal(run(f), 1);
	assert_int_equal(f->pid1.n_dumps, RESTORE_LOOKS);
	assert_calls(f, "ListEntries ");
	assert_string_equal(f->pid1.said, "NOTIFYACCESS=main ");
}

/* A PID 1 that has a hundred other services to start is asked again. */
static void test_busy_bus(void **state)
{
	struct fixture *f = *state;

	f->pid1.dump_error = -ETIMEDOUT;
	f->pid1.n_errors = 2;
	assert_int_equal(run(f), 0);
	assert_int_equal(f->pid1.n_dumps, 4);
	assert_calls(f, "ListEntries Claim Drop ");
	assert_int_equal(f->pid1.n, 2);
}

/* What is refused is not asked for again. */
static void test_refused_bus(void **state)
{
	struct fixture *f = *state;

	f->pid1.dump_error = -EACCES;
	f->pid1.n_errors = 1;
	assert_int_equal(run(f), 1);
	assert_int_equal(f->pid1.n_dumps, 1);
	assert_calls(f, "ListEntries ");
}

static void test_no_store(void **state)
{
	struct fixture *f = *state;

	f->restore.fdstore = NULL;
	assert_int_equal(run(f), 1);
	assert_calls(f, "ListEntries ");
}

static void test_store_too_small(void **state)
{
	struct fixture *f = *state;

	f->restore.fdstore = "1";
	assert_int_equal(run(f), 1);
	assert_calls(f, "ListEntries ");
	assert_int_equal(f->pid1.n, 0);
}

static void test_no_room(void **state)
{
	struct fixture *f = *state;

	claim_answer =
		"{\"error\":\"io.luo.NoRoom\",\"parameters\":{\"text\":\"Raise MemoryMax=.\",\"needed\":8,\"room\":4}}";
	claim_fds = 0;
	assert_int_equal(run(f), 1);
	assert_calls(f, "ListEntries Claim ");
}

/* Datagrams go out, but PID 1 takes nothing: luod keeps it all. */
static void test_deaf(void **state)
{
	struct fixture *f = *state;

	f->pid1.deaf = true;
	assert_int_equal(run(f), 1);
	assert_calls(f, "ListEntries Claim ");
}

static void test_hostile_reply(void **state)
{
	static const char *const answers[] = {
		"{\"parameters\":{}}",
		"{\"parameters\":{\"entries\":7}}",
		"{\"parameters\":{\"entries\":[7]}}",
		"{\"parameters\":{\"entries\":[{\"name\":\"a\",\"fileDescriptor\":2}]}}",
		"{\"parameters\":{\"entries\":[{\"name\":\"a\",\"fileDescriptor\":-1}]}}",
		"{\"parameters\":{\"entries\":[{\"name\":\"a\\nMAINPID=1\",\"fileDescriptor\":0}]}}",
		"{\"parameters\":{\"entries\":[{\"name\":\"a\",\"fileDescriptor\":0},{\"name\":\"b\",\"fileDescriptor\":0}]}}",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
		claim_answer = answers[i];
		f->server.n = 0;
		assert_int_equal(run(f), 1);
		assert_int_equal(f->pid1.n, 0);
		f->server.fd = safe_close(f->server.fd);
	}
}

/* ---- nothing to do --------------------------------------------------------------------------- */

static void put_units(struct fixture *f, const char *text)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/units", f->server.directory);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_not_listed(void **state)
{
	struct fixture *f = *state;

	put_units(f, "aa.service\na.serviceb\nb.service\n");
	assert_int_equal(run(f), 0);
	assert_calls(f, "");
	assert_string_equal(f->pid1.said, "NOTIFYACCESS=main ");
}

static void test_listed(void **state)
{
	struct fixture *f = *state;

	put_units(f, "aa.service\na.service\n");
	assert_int_equal(run(f), 0);
	assert_calls(f, "ListEntries Claim Drop ");
}

static void test_nothing(void **state)
{
	struct fixture *f = *state;

	list_answer = claim_answer =
		"{\"error\":\"io.luo.NoSuchUnit\",\"parameters\":{\"unit\":\"a\"}}";
	claim_fds = 0;
	assert_int_equal(run(f), 0);
	assert_calls(f, "ListEntries Claim ");
	assert_string_equal(f->pid1.said, "NOTIFYACCESS=main ");
}

/* ---- what it is for -------------------------------------------------------------------------- */

static void test_restore(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f), 0);
	assert_int_equal(f->pid1.n, 2);
	assert_stored(f, 0, "ram", f->files[0]);
	assert_stored(f, 1, "disk", f->files[1]);
	assert_calls(f, "ListEntries Claim Drop ");
	assert_non_null(strstr(f->server.calls[2], "\"state\":\"stored\""));
	/* The own NotifyAccess= of the unit comes back last. */
	assert_string_equal(f->pid1.said, "nopoll NOTIFYACCESS=main ");
}

/* luod is killed in the middle of the claim, twice. */
static void test_luod_killed(void **state)
{
	struct fixture *f = *state;

	breaks = 2;
	assert_int_equal(run(f), 0);
	assert_int_equal(f->pid1.n, 2);
	assert_calls(f, "ListEntries Claim Claim Claim Drop ");
}

/* The run before this one was killed after it had pushed one. */
static void test_again(void **state)
{
	struct fixture *f = *state;

	strcpy(f->pid1.store[0].name, "ram");
	f->pid1.store[0].fd = fcntl(f->files[0], F_DUPFD_CLOEXEC, 3);
	f->pid1.n = 1;
	assert_int_equal(run(f), 0);
	assert_int_equal(f->pid1.n, 2);
	assert_stored(f, 0, "ram", f->files[0]);
	assert_stored(f, 1, "disk", f->files[1]);
}

/* The same name twice stays two; one file under two names too, although the kernel made it one. */
static void test_twins(void **state)
{
	struct fixture *f = *state;

	close(f->files[2]);
	f->files[2] = fcntl(f->files[0], F_DUPFD_CLOEXEC, 3);
	assert_int_equal(lseek(f->files[0], 3, SEEK_SET), 3);
	claim_answer =
		"{\"parameters\":{\"entries\":[{\"name\":\"ram\",\"fileDescriptor\":0},{\"name\":\"ram\",\"fileDescriptor\":1},{\"name\":\"also\",\"fileDescriptor\":2}]}}";
	claim_fds = 3;
	assert_int_equal(run(f), 0);
	assert_int_equal(f->pid1.n, 3);
	assert_stored(f, 0, "ram", f->files[0]);
	assert_stored(f, 1, "ram", f->files[1]);
	assert_stored(f, 2, "also", f->files[0]);
	assert_int_equal(lseek(f->pid1.store[2].fd, 0, SEEK_CUR), 3);
	assert_calls(f, "ListEntries Claim Drop ");
}

/* PID 1 has room for one: luod forgets that one, and no other. */
static void test_partly(void **state)
{
	struct fixture *f = *state;

	f->pid1.max = 1;
	assert_int_equal(run(f), 1);
	assert_int_equal(f->pid1.n, 1);
	assert_calls(f, "ListEntries Claim Drop:ram ");
}

static void test_lost(void **state)
{
	struct fixture *f = *state;

	claim_answer =
		"{\"parameters\":{\"entries\":[{\"name\":\"gone\",\"state\":\"lost\",\"reason\":\"no memory\"},{\"name\":\"ram\",\"fileDescriptor\":0}]}}";
	claim_fds = 1;
	assert_int_equal(run(f), 1);
	assert_int_equal(f->pid1.n, 1);
	assert_calls(f, "ListEntries Claim Drop ");
}

/* ---- in the manager of a user ---------------------------------------------------------------- */

#define USER_LIST(name) "{\"name\":\"" name "\",\"state\":\"held\",\"size\":4096}"

static void be_user(struct fixture *f)
{
	f->restore.owner = "user@1000.service";
	f->restore.prefix = "a.service/";
	list_answer = "{\"parameters\":{\"entries\":[" USER_LIST("a.service/ram") "," USER_LIST(
		"b.service/ram") "," USER_LIST("a.service/ram") "," USER_LIST("ram") "]}}";
	claim_answer =
		"{\"parameters\":{\"entries\":[{\"name\":\"a.service/ram\",\"poll\":true,\"fileDescriptor\":0},{\"name\":\"a.service/ram\",\"poll\":true,\"fileDescriptor\":1}]}}";
}

static void test_user(void **state)
{
	struct fixture *f = *state;

	be_user(f);
	breaks = 1;
	assert_int_equal(run(f), 0);
	assert_int_equal(f->pid1.n, 2);
	assert_stored(f, 0, "ram", f->files[0]);
	assert_stored(f, 1, "ram", f->files[1]);
	assert_calls(f, "ListEntries Claim:a.service/ram Claim:a.service/ram Drop:a.service/ram ");
	for (size_t i = 0; i + 1 < f->server.n; i++)
		assert_non_null(strstr(f->server.calls[i], "\"unit\":\"user@1000.service\""));
}

/* What the user's other services have is not touched, whatever the list of PID 1's units says. */
static void test_user_nothing(void **state)
{
	struct fixture *f = *state;

	be_user(f);
	f->restore.unit = "c.service";
	f->restore.prefix = "c.service/";
	assert_int_equal(run(f), 0);
	assert_calls(f, "ListEntries ");
}

/* luod, or what is in its place, answers with what was not asked for. */
static void test_user_wrong_name(void **state)
{
	struct fixture *f = *state;

	be_user(f);
	claim_answer =
		"{\"parameters\":{\"entries\":[{\"name\":\"b.service/ram\",\"poll\":true,\"fileDescriptor\":0}]}}";
	claim_fds = 1;
	assert_int_equal(run(f), 1);
	assert_int_equal(f->pid1.n, 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_luod),     TEST(test_no_bus),       TEST(test_busy_bus),
		TEST(test_refused_bus), TEST(test_no_store),     TEST(test_store_too_small),
		TEST(test_no_room),     TEST(test_deaf),         TEST(test_hostile_reply),
		TEST(test_not_listed),  TEST(test_listed),       TEST(test_nothing),
		TEST(test_restore),     TEST(test_luod_killed),  TEST(test_again),
		TEST(test_twins),       TEST(test_partly),       TEST(test_lost),
		TEST(test_user),        TEST(test_user_nothing), TEST(test_user_wrong_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
