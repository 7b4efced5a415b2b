/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The calls of the client: what it sends, and how it handles a reply, an error, and fds. */

#include "tests/unit/client/fixture.h"

/* ---- call ------------------------------------------------------------------------------------ */

static void serve_echo(struct server *s)
{
	while (server_hear(s))
		server_say(s, "{\"parameters\":{\"a\":1,\"s\":\"x/y\"}}");
}

static void test_call(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_echo, TIMEOUT);
	const char *name = "x", *text = "x";
	char *reply = NULL;

	assert_int_equal(luo_client_call(client, "Status", NULL, NULL, 0, &reply, NULL, NULL), 0);
	assert_string_equal(reply, "{\"a\":1,\"s\":\"x/y\"}");
	free(reply);
	assert_int_equal(luo_client_call(client, "org.varlink.service.GetInfo", "{\"b\": [2]}",
					 NULL, 0, NULL, NULL, NULL),
			 0);
	luo_client_error(client, &name, &text);
	assert_null(name);
	assert_null(text);
	stop(s, client);
	assert_int_equal(s->n, 2);
	assert_string_equal(s->calls[0], "{\"method\":\"io.luo.Status\",\"parameters\":{}}");
	assert_string_equal(
		s->calls[1],
		"{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{\"b\":[2]}}");
}

static void test_call_refuses(void **state)
{
	struct server *s = *state;
	struct luo_client *c = start(s, serve_echo, TIMEOUT);
	size_t n;
	int *fds, bad = 1000, many[254] = { 0 };

	assert_int_equal(luo_client_call(NULL, "A", NULL, NULL, 0, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(luo_client_call(c, NULL, NULL, NULL, 0, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(luo_client_call(c, "", NULL, NULL, 0, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(luo_client_call(c, "A", "[]", NULL, 0, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(luo_client_call(c, "A", "{", NULL, 0, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(luo_client_call(c, "A", "nope", NULL, 0, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(luo_client_call(c, "A", NULL, NULL, 1, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(luo_client_call(c, "A", NULL, NULL, 0, NULL, &fds, NULL), -EINVAL);
	assert_int_equal(luo_client_call(c, "A", NULL, NULL, 0, NULL, NULL, &n), -EINVAL);
	assert_int_equal(luo_client_call_more(c, "A", NULL, NULL, NULL), -EINVAL);
	luo_client_free(c);
	pthread_join(s->thread, NULL);

	c = start(s, serve_echo, TIMEOUT);
	assert_int_equal(luo_client_call(c, "A", NULL, &bad, 1, NULL, NULL, NULL), -EBADF);
	luo_client_free(c);
	pthread_join(s->thread, NULL);

	c = start(s, serve_echo, TIMEOUT);
	assert_int_equal(luo_client_call(c, "A", NULL, many, 254, NULL, NULL, NULL), -E2BIG);
	stop(s, c);
	assert_int_equal(s->n, 0);
}

static void serve_no_parameters(struct server *s)
{
	server_hear(s);
	server_say(s, "{}");
}

static void test_call_no_parameters(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_no_parameters, TIMEOUT);
	char *reply = NULL;

	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, &reply, NULL, NULL), 0);
	assert_string_equal(reply, "{}");
	free(reply);
	stop(s, client);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static const struct {
	const char *reply;
	int error;
	const char *name, *text;
} errors[] = {
	{ "{\"error\":\"io.luo.NoSuchUnit\",\"parameters\":{\"unit\":\"a\"}}", -ENOENT,
	  "io.luo.NoSuchUnit", "luod does not know the unit \"a\"" },
	{ "{\"error\":\"io.luo.NoSuchEntry\",\"parameters\":{\"unit\":\"a\",\"name\":\"b\"}}",
	  -ENOENT, "io.luo.NoSuchEntry", "unit \"a\" has no entry \"b\"" },
	{ "{\"error\":\"io.luo.NotPermitted\",\"parameters\":{\"text\":\"root only\"}}", -EPERM,
	  "io.luo.NotPermitted", "root only" },
	{ "{\"error\":\"io.luo.UnknownCaller\"}", -ESRCH, "io.luo.UnknownCaller", NULL },
	{ "{\"error\":\"io.luo.Busy\",\"parameters\":{\"text\":1}}", -EBUSY, "io.luo.Busy", NULL },
	{ "{\"error\":\"io.luo.NameTaken\",\"parameters\":{\"text\":\"taken\"}}", -EEXIST,
	  "io.luo.NameTaken", "taken" },
	{ "{\"error\":\"io.luo.NoLiveUpdate\",\"parameters\":{\"text\":\"off\"}}", -EOPNOTSUPP,
	  "io.luo.NoLiveUpdate", "off" },
	{ "{\"error\":\"io.luo.NoRoom\",\"parameters\":{\"text\":\"full\",\"needed\":2,\"room\":1}}",
	  -EDQUOT, "io.luo.NoRoom", "full" },
	{ "{\"error\":\"io.luo.Lost\",\"parameters\":{\"unit\":\"a\",\"name\":\"b\",\"errno\":12}}",
	  -EIO, "io.luo.Lost", "the kernel could not restore \"b\" of unit \"a\": it is lost" },
	{ "{\"error\":\"io.luo.NeedsMore\",\"parameters\":{\"entries\":300}}", -E2BIG,
	  "io.luo.NeedsMore", "300 entries are too many for one reply" },
	{ "{\"error\":\"io.luo.Failed\",\"parameters\":{\"text\":\"t\",\"errno\":28}}", -ENOSPC,
	  "io.luo.Failed", "t" },
	{ "{\"error\":\"io.luo.Failed\",\"parameters\":{\"errno\":-28}}", -ENOSPC, "io.luo.Failed",
	  NULL },
	{ "{\"error\":\"io.luo.Failed\",\"parameters\":{\"errno\":0}}", -EREMOTEIO, "io.luo.Failed",
	  NULL },
	{ "{\"error\":\"io.luo.Failed\",\"parameters\":{\"errno\":-9223372036854775808}}",
	  -EREMOTEIO, "io.luo.Failed", NULL },
	{ "{\"error\":\"io.luo.Failed\",\"parameters\":{\"errno\":\"x\"}}", -EREMOTEIO,
	  "io.luo.Failed", NULL },
	{ "{\"error\":\"io.luo.Failed\"}", -EREMOTEIO, "io.luo.Failed", NULL },
	{ "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"unit\"}}",
	  -EINVAL, "org.varlink.service.InvalidParameter",
	  "luod does not accept the parameter \"unit\"" },
	{ "{\"error\":\"org.varlink.service.MethodNotFound\"}", -ENOSYS,
	  "org.varlink.service.MethodNotFound",
	  "luod does not know the method org.varlink.service.MethodNotFound; it may have another version" },
	{ "{\"error\":\"com.example.Odd\",\"parameters\":{}}", -EREMOTEIO, "com.example.Odd",
	  NULL },
};

static void serve_errors(struct server *s)
{
	for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
		s->n = 0;
		server_hear(s);
		server_say(s, errors[i].reply);
	}
	server_hear(s);
	server_say(s, "{}");
}

static void test_errors(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_errors, TIMEOUT);
	const char *name, *text;

	for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
		assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, NULL, NULL, NULL),
				 errors[i].error);
		luo_client_error(client, &name, &text);
		assert_string_equal(name, errors[i].name);
		if (errors[i].text)
			assert_string_equal(text, errors[i].text);
		else
			assert_null(text);
	}
	/* all on one connection, and forgotten by the next call */
	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, NULL, NULL, NULL), 0);
	luo_client_error(client, &name, &text);
	assert_null(name);
	assert_null(text);
	stop(s, client);
}

/* ---- fds ------------------------------------------------------------------------------------- */

static int memfds[3];

static int fds_setup(void **state)
{
	for (size_t i = 0; i < 3; i++)
		memfds[i] = memfd_of("");
	return server_setup(state);
}

static int fds_teardown(void **state)
{
	close_many(memfds, 3);
	return server_teardown(state);
}

static void serve_fds(struct server *s)
{
	server_hear(s);
	server_say_raw(s, "{}", 3, memfds, 2);
	server_hear(s);
	server_say_raw(s, "{}", 3, memfds, 2);
}

static void test_call_fds(void **state)
{
	struct server *s = *state;
	size_t before = fd_count();
	int *fds = NULL;
	struct luo_client *client = start(s, serve_fds, TIMEOUT);
	size_t n = 0;

	assert_int_equal(luo_client_call(client, "A", NULL, memfds, 3, NULL, &fds, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(inode_of(fds[0]), inode_of(memfds[0]));
	assert_int_equal(inode_of(fds[1]), inode_of(memfds[1]));
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	close_many(fds, n);
	free(fds);
	/* Fds that no caller takes are closed. */
	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, NULL, NULL, NULL), 0);
	stop(s, client);
	assert_int_equal(s->n_fds[0], 3);
	assert_int_equal(fd_count(), before);
}

#define ENTRY(name, index) \
	"{\"unit\":\"u\",\"name\":\"" name "\",\"state\":\"stored\",\"fileDescriptor\":" index "}"

static void serve_claim(struct server *s)
{
	server_hear(s);
	/* names twice, a lost one, fds in another order, two replies at once */
	server_say_raw(s,
		       "{\"parameters\":{\"entries\":[" ENTRY("a", "1") "," ENTRY(
			       "b", "null") "," ENTRY("a", "0") "]},\"continues\":true}",
		       sizeof("{\"parameters\":{\"entries\":[" ENTRY("a", "1") "," ENTRY(
			       "b", "null") "," ENTRY("a", "0") "]},\"continues\":true}"),
		       memfds, 2);
	server_say_raw(s, "{\"parameters\":{\"entries\":[" ENTRY("c", "0") "]}}",
		       sizeof("{\"parameters\":{\"entries\":[" ENTRY("c", "0") "]}}"), &memfds[2],
		       1);
}

static void test_claim(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_claim, TIMEOUT);
	struct luo_claimed *claimed = NULL;

	assert_int_equal(luo_client_claim(client, "u.service", &claimed), 0);
	assert_int_equal(luo_claimed_n(claimed), 4);
	assert_string_equal(luo_claimed_get_name(claimed, 0), "a");
	assert_int_equal(inode_of(luo_claimed_get_fd(claimed, 0)), inode_of(memfds[1]));
	assert_string_equal(luo_claimed_get_name(claimed, 1), "b");
	assert_int_equal(luo_claimed_get_fd(claimed, 1), -EBADF);
	assert_string_equal(luo_claimed_get_name(claimed, 2), "a");
	assert_int_equal(inode_of(luo_claimed_get_fd(claimed, 2)), inode_of(memfds[0]));
	assert_string_equal(luo_claimed_get_name(claimed, 3), "c");
	assert_int_equal(inode_of(luo_claimed_get_fd(claimed, 3)), inode_of(memfds[2]));
	assert_null(luo_claimed_free(claimed));
	assert_null(luo_claimed_free(NULL));
	stop(s, client);
	assert_string_equal(
		s->calls[0],
		"{\"method\":\"io.luo.Claim\",\"parameters\":{\"unit\":\"u.service\"},\"more\":true}");
}

/* Each reply is longer than what is read at once, and its fds come with its first bytes. */
static void serve_large_with_fds(struct server *s)
{
	static char text[80 << 10];

	server_hear(s);
	for (int reply = 0; reply < 3; reply++) {
		int n = sprintf(text, "{\"continues\":%s,\"parameters\":{}",
				reply < 2 ? "true" : "false");

		memset(text + n, ' ', sizeof(text) - (size_t)n);
		memcpy(text + sizeof(text) - 2, "}", 2);
		server_say_raw(s, text, sizeof(text), &memfds[reply], 1);
	}
}

static int expect_its_fd(const char *reply, int *fds, size_t n_fds, bool continues, void *userdata)
{
	int *n = userdata;

	/* so that all the others are there when the next is read */
	usleep(100 * 1000);
	assert_int_equal(n_fds, 1);
	assert_int_equal(inode_of(fds[0]), inode_of(memfds[*n]));
	close(fds[0]);
	++*n;
	return 0;
}

static void test_more_large_with_fds(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_large_with_fds, TIMEOUT);
	int n = 0;

	assert_int_equal(luo_client_call_more(client, "A", NULL, expect_its_fd, &n), 0);
	assert_int_equal(n, 3);
	stop(s, client);
}

static const char *bad_claims[] = {
	"{}",
	"{\"parameters\":{\"entries\":{}}}",
	"{\"parameters\":{\"entries\":[1]}}",
	"{\"parameters\":{\"entries\":[{\"fileDescriptor\":0}]}}",
	"{\"parameters\":{\"entries\":[" ENTRY("a", "0") "," ENTRY("b", "2") "]}}",
	"{\"parameters\":{\"entries\":[" ENTRY("a", "-1") "]}}",
	"{\"parameters\":{\"entries\":[" ENTRY("a", "0") "," ENTRY("b", "0") "]}}",
	"{\"parameters\":{\"entries\":[" ENTRY("a", "9223372036854775807") "]}}",
};
static size_t bad_claim;

static void serve_bad_claim(struct server *s)
{
	server_hear(s);
	server_say_raw(s, bad_claims[bad_claim], strlen(bad_claims[bad_claim]) + 1, memfds, 2);
}

static void test_claim_bad(void **state)
{
	struct server *s = *state;
	size_t before = fd_count();

	for (bad_claim = 0; bad_claim < ELEMENTSOF(bad_claims); bad_claim++) {
		struct luo_client *client = start(s, serve_bad_claim, TIMEOUT);
		struct luo_claimed *claimed = NULL;

		assert_int_equal(luo_client_claim(client, NULL, &claimed), -EBADMSG);
		assert_null(claimed);
		stop(s, client);
		assert_int_equal(fd_count(), before);
	}
}

static void serve_claim_error(struct server *s)
{
	server_hear(s);
	server_say_raw(
		s, "{\"parameters\":{\"entries\":[" ENTRY("a", "0") "]},\"continues\":true}",
		sizeof("{\"parameters\":{\"entries\":[" ENTRY("a", "0") "]},\"continues\":true}"),
		memfds, 1);
	server_say(s, "{\"error\":\"io.luo.NoRoom\",\"parameters\":{\"text\":\"full\"}}");
	server_hear(s);
	server_say(s, "{}");
}

static void test_claim_fails_half_way(void **state)
{
	struct server *s = *state;
	size_t before = fd_count();
	struct luo_client *client = start(s, serve_claim_error, TIMEOUT);
	struct luo_claimed *claimed = NULL;
	const char *text;

	assert_int_equal(luo_client_claim(client, NULL, &claimed), -EDQUOT);
	luo_client_error(client, NULL, &text);
	assert_string_equal(text, "full");
	/* An error is the last reply: the connection goes on. */
	assert_int_equal(luo_client_register(client, "u", 0), 0);
	stop(s, client);
	assert_int_equal(fd_count(), before);
}

static void test_claim_table_full(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_claim, TIMEOUT);
	struct luo_claimed *claimed = NULL;
	int fillers[2048], last, n_fillers = 0;

	/* One fd is free, two arrive: some are lost, and it is unknown which. */
	while (n_fillers < 2048 && (last = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0)
		fillers[n_fillers++] = last;
	if (n_fillers < 2048) {
		close(fillers[--n_fillers]);
		assert_int_equal(luo_client_claim(client, NULL, &claimed), -EBADMSG);
		assert_null(claimed);
	}
	close_many(fillers, (size_t)n_fillers);
	stop(s, client);
}

static void serve_entry(struct server *s)
{
	server_hear(s);
	server_say_raw(s, "{\"parameters\":{\"entry\":" ENTRY("a", "0") "}}",
		       sizeof("{\"parameters\":{\"entry\":" ENTRY("a", "0") "}}"), memfds, 1);
	server_hear(s);
	server_say(s, "{\"parameters\":{\"entry\":" ENTRY("a", "null") "}}");
	server_hear(s);
	server_say(s, "{\"parameters\":{}}");
}

static void test_open_entry(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_entry, TIMEOUT);
	int fd = -2;

	assert_int_equal(luo_client_open_entry(client, "u", "a:", 0, &fd), -EINVAL);
	assert_int_equal(luo_client_open_entry(client, "u/v", "a", 0, &fd), -EINVAL);
	assert_int_equal(luo_client_open_entry(client, "u", NULL, 0, &fd), -EINVAL);
	assert_int_equal(luo_client_open_entry(client, "u", "a", 2, &fd), 0);
	assert_int_equal(inode_of(fd), inode_of(memfds[0]));
	close(fd);
	fd = -2;
	assert_int_equal(luo_client_open_entry(client, "u", "a", 0, &fd), -EBADMSG);
	assert_int_equal(luo_client_open_entry(client, NULL, "a", 0, &fd), -EBADMSG);
	assert_int_equal(fd, -2);
	stop(s, client);
	assert_string_equal(
		s->calls[0],
		"{\"method\":\"io.luo.OpenEntry\",\"parameters\":{\"unit\":\"u\",\"name\":\"a\",\"nth\":2}}");
	assert_string_equal(
		s->calls[2],
		"{\"method\":\"io.luo.OpenEntry\",\"parameters\":{\"name\":\"a\",\"nth\":0}}");
}

/* ---- register, drop -------------------------------------------------------------------------- */

static void test_register(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_echo, TIMEOUT);

	assert_int_equal(luo_client_register(client, NULL, 0), -EINVAL);
	assert_int_equal(luo_client_register(client, "", 0), -EINVAL);
	assert_int_equal(luo_client_register(client, "a/b", 0), -EINVAL);
	assert_int_equal(luo_client_register(client, "a.service", 0), 0);
	assert_int_equal(luo_client_register(client, "a.service", 4294967295U), 0);
	stop(s, client);
	assert_string_equal(
		s->calls[0],
		"{\"method\":\"io.luo.Register\",\"parameters\":{\"unit\":\"a.service\"}}");
	assert_string_equal(
		s->calls[1],
		"{\"method\":\"io.luo.Register\",\"parameters\":{\"unit\":\"a.service\",\"fdstoreMax\":4294967295}}");
}

static void serve_drop(struct server *s)
{
	server_hear(s);
	server_say(s, "{\"parameters\":{\"dropped\":2,\"bytes\":4294967296}}");
	server_hear(s);
	server_say(s, "{\"parameters\":{\"dropped\":-2,\"bytes\":1}}");
}

static void test_drop(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_drop, TIMEOUT);
	uint64_t entries = 7, bytes = 7;

	assert_int_equal(luo_client_drop(client, "a", "b", &entries, &bytes), 0);
	assert_int_equal(entries, 2);
	assert_int_equal(bytes, 4294967296);
	assert_int_equal(luo_client_drop(client, NULL, NULL, &entries, NULL), -EBADMSG);
	assert_int_equal(entries, 2);
	stop(s, client);
	assert_string_equal(
		s->calls[0],
		"{\"method\":\"io.luo.Drop\",\"parameters\":{\"unit\":\"a\",\"name\":\"b\"}}");
	assert_string_equal(s->calls[1], "{\"method\":\"io.luo.Drop\",\"parameters\":{}}");
}

/* ---- more ------------------------------------------------------------------------------------ */

static void serve_three(struct server *s)
{
	static const char three[] =
		"{\"parameters\":{\"n\":1},\"continues\":true}\0{\"parameters\":{\"n\":2},\"continues\":true}\0{\"parameters\":{\"n\":3}}";

	server_hear(s);
	server_say_raw(s, three, sizeof(three), NULL, 0);
	server_hear(s);
	server_say(s, "{}");
}

static int collect(const char *reply, int *fds, size_t n_fds, bool continues, void *userdata)
{
	char *text = userdata;

	strcat(text, reply);
	strcat(text, continues ? "+" : ".");
	return 0;
}

static int enough(const char *reply, int *fds, size_t n_fds, bool continues, void *userdata)
{
	return ++*(int *)userdata == 2 ? 42 : 0;
}

static void test_more(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_three, TIMEOUT);
	char text[200] = "";

	assert_int_equal(luo_client_call_more(client, "Monitor", NULL, collect, text), 0);
	assert_string_equal(text, "{\"n\":1}+{\"n\":2}+{\"n\":3}.");
	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, NULL, NULL, NULL), 0);
	stop(s, client);
	assert_string_equal(s->calls[0],
			    "{\"method\":\"io.luo.Monitor\",\"parameters\":{},\"more\":true}");
}

static void serve_three_reconnect(struct server *s)
{
	serve_three(s);
	server_accept(s);
	server_hear(s);
	server_say(s, "{\"parameters\":{\"new\":true}}");
}

static void test_more_enough(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_three_reconnect, TIMEOUT);
	char *reply = NULL;
	int n = 0;

	assert_int_equal(luo_client_call_more(client, "Monitor", NULL, enough, &n), 42);
	assert_int_equal(n, 2);
	/* The third reply must not become that of the next call. */
	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, &reply, NULL, NULL), 0);
	assert_string_equal(reply, "{\"new\":true}");
	free(reply);
	stop(s, client);
}

#define FDS_TEST(f) cmocka_unit_test_setup_teardown(f, fds_setup, fds_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVER_TEST(test_call),
		SERVER_TEST(test_call_refuses),
		SERVER_TEST(test_call_no_parameters),
		SERVER_TEST(test_errors),
		FDS_TEST(test_call_fds),
		FDS_TEST(test_claim),
		FDS_TEST(test_more_large_with_fds),
		FDS_TEST(test_claim_bad),
		FDS_TEST(test_claim_fails_half_way),
		FDS_TEST(test_claim_table_full),
		FDS_TEST(test_open_entry),
		SERVER_TEST(test_register),
		SERVER_TEST(test_drop),
		SERVER_TEST(test_more),
		SERVER_TEST(test_more_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
