/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The connection of the client: servers that are slow, cut off, restarted, or not there at all. */

#include "tests/unit/client/fixture.h"

/* ---- connecting ------------------------------------------------------------------------------ */

static void test_connect_refuses(void **state)
{
	struct luo_client *client = NULL;

	assert_int_equal(luo_client_connect(long_name(199), TIMEOUT, &client), -ENAMETOOLONG);
	assert_int_equal(luo_client_connect("", TIMEOUT, &client), -EINVAL);
	assert_int_equal(luo_client_connect("/nowhere/io.luo", TIMEOUT, NULL), -EINVAL);
	assert_int_equal(luo_client_connect("/nowhere/io.luo", TIMEOUT, &client), -ENOENT);
	assert_null(client);
	assert_null(luo_client_free(NULL));
}

static void test_connect_refused(void **state)
{
	struct server *s = *state;
	struct luo_client *client = NULL;

	/* The file stays when the process that listened is gone. */
	close(s->listen_fd);
	assert_int_equal(luo_client_connect(s->path, TIMEOUT, &client), -ECONNREFUSED);
	s->listen_fd = -1;
}

static void test_connect_nobody_accepts(void **state)
{
	struct server *s = *state;
	struct luo_client *clients[16] = { 0 };
	size_t i;
	int r = 0;

	assert_int_equal(listen(s->listen_fd, 1), 0);
	for (i = 0; i < 16 && r == 0; i++)
		r = luo_client_connect(s->path, 20 * USEC_PER_MSEC, &clients[i]);
	assert_int_equal(r, -ETIMEDOUT);
	for (i = 0; i < 16; i++)
		luo_client_free(clients[i]);
}

static void serve_nothing(struct server *s)
{
}

static void test_connect_environment(void **state)
{
	struct server *s = *state;
	struct luo_client *client = NULL;

	s->serve = serve_nothing;
	setenv("LUO_RUNTIME_DIR", s->directory, 1);
	assert_int_equal(pthread_create(&s->thread, NULL, server_run, s), 0);
	assert_int_equal(luo_client_connect(NULL, TIMEOUT, &client), 0);
	stop(s, client);
	setenv("LUO_RUNTIME_DIR", "/nowhere", 1);
	assert_int_equal(luo_client_connect(NULL, TIMEOUT, &client), -ENOENT);
	unsetenv("LUO_RUNTIME_DIR");
}

/* ---- what comes and goes --------------------------------------------------------------------- */

static void serve_split(struct server *s)
{
	const char *text = "{\"parameters\":{\"text\":\"\xc3\xa4\"}}";

	server_hear(s);
	for (size_t i = 0; i <= strlen(text); i++) {
		server_say_raw(s, text + i, 1, NULL, 0);
		usleep(1000);
	}
}

static void test_call_split(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_split, TIMEOUT);
	char *reply = NULL;

	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, &reply, NULL, NULL), 0);
	assert_string_equal(reply, "{\"text\":\"\xc3\xa4\"}");
	free(reply);
	stop(s, client);
}

static void serve_large(struct server *s)
{
	size_t size = (size_t)8 << 20;
	char *text = malloc(size);
	int n = snprintf(text, size, "{\"parameters\":{\"text\":\"");

	memset(text + n, 'x', size - (size_t)n - 4);
	memcpy(text + size - 4, "\"}}", 4);
	server_hear(s);
	server_say_raw(s, text, size, NULL, 0);
	free(text);
}

static void test_call_large_reply(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_large, 4 * TIMEOUT);
	char *reply = NULL;

	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, &reply, NULL, NULL), 0);
	assert_true(strlen(reply) > (size_t)8 << 19);
	free(reply);
	stop(s, client);
}

static void serve_discard(struct server *s)
{
	server_hear(s);
	server_say(s, "{}");
}

static void test_call_large_call(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_discard, 4 * TIMEOUT);
	size_t size = (size_t)512 << 10; /* more than a socket takes at once */
	char *text = malloc(size);

	assert_non_null(text);
	memset(text, 'x', size);
	memcpy(text, "{\"a\":\"", 6);
	memcpy(text + size - 3, "\"}", 3);
	assert_int_equal(luo_client_call(client, "A", text, NULL, 0, NULL, NULL, NULL), 0);
	free(text);
	stop(s, client);
}

static const char *bad_replies[] = {
	"garbage",
	"[]",
	"{\"parameters\":[]}",
	"{\"error\":1}",
	"{\"parameters\":{}",
	"{\"continues\":1}",
	"{\"continues\":true}",
	"\"\"",
	"",
};
static size_t bad_reply;

static void serve_bad(struct server *s)
{
	server_hear(s);
	server_say(s, bad_replies[bad_reply]);
}

static void test_call_garbage(void **state)
{
	struct server *s = *state;

	for (bad_reply = 0; bad_reply < ELEMENTSOF(bad_replies); bad_reply++) {
		struct luo_client *client = start(s, serve_bad, TIMEOUT);
		char *reply = (char *)1;

		assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, &reply, NULL, NULL),
				 -EBADMSG);
		assert_ptr_equal(reply, (char *)1);
		stop(s, client);
	}
}

static void serve_oversized(struct server *s)
{
	char block[65536];

	server_hear(s);
	memset(block, ' ', sizeof(block));
	for (size_t i = 0; i < 164 << 4; i++)
		server_say_raw(s, block, sizeof(block), NULL, 0);
}

static void test_call_oversized(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_oversized, 12 * TIMEOUT);

	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, NULL, NULL, NULL), -EMSGSIZE);
	stop(s, client);
}

static void test_call_disconnect(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_nothing, TIMEOUT);
	int r;

	/* It closes at once, and nobody accepts a second time: depending on who is faster, that is
	 * seen before or after the call was sent. */
	pthread_join(s->thread, NULL);
	close(s->listen_fd);
	s->listen_fd = -1;
	r = luo_client_call(client, "A", NULL, NULL, 0, NULL, NULL, NULL);
	assert_int_equal(r, -ECONNREFUSED);
	luo_client_free(client);
}

static void serve_half(struct server *s)
{
	server_hear(s);
	server_say_raw(s, "{\"parame", 8, NULL, 0);
}

static void test_call_disconnect_in_reply(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_half, TIMEOUT);

	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, NULL, NULL, NULL),
			 -ECONNRESET);
	stop(s, client);
}

/* Too late for the first call; the answer must not become that of the second. */
static void serve_late(struct server *s)
{
	int late = s->fd;

	server_hear(s);
	s->fd = -EBADF;
	server_accept(s);
	server_hear(s);
	(void)!send(late, "{\"parameters\":{\"for\":1}}", 25, MSG_NOSIGNAL);
	server_say(s, "{\"parameters\":{\"for\":2}}");
	close(late);
}

static void test_call_timeout(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_late, 200 * USEC_PER_MSEC);
	char *reply = NULL;

	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, &reply, NULL, NULL),
			 -ETIMEDOUT);
	assert_int_equal(luo_client_call(client, "B", NULL, NULL, 0, &reply, NULL, NULL), 0);
	assert_string_equal(reply, "{\"for\":2}");
	free(reply);
	stop(s, client);
}

static void serve_twice(struct server *s)
{
	/* two replies to the first call, joined in one write */
	static const char two[] = "{\"parameters\":{\"n\":1}}\0{\"parameters\":{\"n\":2}}";

	server_hear(s);
	server_say_raw(s, two, sizeof(two), NULL, 0);
	server_accept(s);
	server_hear(s);
	server_say(s, "{\"parameters\":{\"n\":3}}");
}

static void test_call_surplus_reply(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_twice, TIMEOUT);
	char *reply = NULL;

	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, &reply, NULL, NULL), 0);
	assert_string_equal(reply, "{\"n\":1}");
	free(reply);
	assert_int_equal(luo_client_call(client, "B", NULL, NULL, 0, &reply, NULL, NULL), 0);
	assert_string_equal(reply, "{\"n\":3}");
	free(reply);
	stop(s, client);
}

/* luod was restarted between two calls. */
static void serve_restart(struct server *s)
{
	server_hear(s);
	server_say(s, "{}");
	server_accept(s);
	server_hear(s);
	server_say(s, "{}");
}

static void test_call_reconnects(void **state)
{
	struct server *s = *state;
	struct luo_client *client = start(s, serve_restart, TIMEOUT);

	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, NULL, NULL, NULL), 0);
	usleep(20 * 1000); /* for the server to close */
	assert_int_equal(luo_client_call(client, "A", NULL, NULL, 0, NULL, NULL, NULL), 0);
	stop(s, client);
	assert_int_equal(s->n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect_refuses),
		SERVER_TEST(test_connect_refused),
		SERVER_TEST(test_connect_nobody_accepts),
		SERVER_TEST(test_connect_environment),
		SERVER_TEST(test_call_split),
		SERVER_TEST(test_call_large_reply),
		SERVER_TEST(test_call_large_call),
		SERVER_TEST(test_call_garbage),
		SERVER_TEST(test_call_oversized),
		SERVER_TEST(test_call_disconnect),
		SERVER_TEST(test_call_disconnect_in_reply),
		SERVER_TEST(test_call_timeout),
		SERVER_TEST(test_call_surplus_reply),
		SERVER_TEST(test_call_reconnects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
