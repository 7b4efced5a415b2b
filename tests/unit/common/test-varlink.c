/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The framing: streams that are split, joined, huge and malformed, and whose fds are whose. */

#include <json-c/json.h>

#include "tests/unit/helpers.h"
#include "common/varlink.h"

struct fixture {
	struct luo_varlink *in; /* the end under test */
	int out;                /* the plain socket at the other end */
};

static void open_pair(struct fixture *f, const struct luo_varlink_limits *limits)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(luo_varlink_new(pair[0], limits, &f->in), 0);
	f->out = pair[1];
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	remember_fds(state);
	open_pair(f, NULL);
	*state = f;
	return 0;
}

static void close_pair(struct fixture *f)
{
	assert_null(luo_varlink_free(f->in));
	f->out = safe_close(f->out);
	f->in = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->in)
		close_pair(f);
	free(f);
	return check_fds(state);
}

/* Sends bytes, and a memfd with each of the contents. */
static void put_fds(struct fixture *f, const char *data, size_t size, const char *const *contents,
		    size_t n)
{
	char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (char *)data, .iov_len = size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[8];

	for (size_t i = 0; i < n; i++)
		fds[i] = memfd_of(contents[i]);
	if (n > 0) {
		struct cmsghdr *c;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	assert_int_equal(sendmsg(f->out, &mh, 0), size);
	close_many(fds, n);
}

static void put(struct fixture *f, const char *data, size_t size)
{
	put_fds(f, data, size, NULL, 0);
}

/* A string literal with the NUL that ends it. */
#define PUT(f, text) put(f, text, sizeof(text))

static void expect_content(int fd, const char *content)
{
	assert_content(fd, content);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* The next message has "n": @n and fds of these contents. */
static void expect(struct fixture *f, int n, const char *const *contents, size_t n_fds)
{
	struct luo_varlink_message message;
	struct json_object *value;

	assert_int_equal(luo_varlink_next(f->in, &message), 1);
	assert_true(json_object_object_get_ex(message.object, "n", &value));
	assert_int_equal(json_object_get_int(value), n);
	assert_int_equal(message.n_fds, n_fds);
	for (size_t i = 0; i < n_fds; i++)
		expect_content(message.fds[i], contents[i]);
	luo_varlink_message_done(&message);
}

static void expect_none(struct fixture *f)
{
	struct luo_varlink_message message;

	assert_int_equal(luo_varlink_next(f->in, &message), 0);
}

static void test_empty(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(luo_varlink_receive(f->in), 0);
	expect_none(f);
	f->out = safe_close(f->out);
	assert_int_equal(luo_varlink_receive(f->in), -ECONNRESET);
}

static void test_split(void **state)
{
	static const char text[] = "{\"n\":1}";
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(text); i++) {
		expect_none(f);
		put(f, text + i, 1);
		assert_int_equal(luo_varlink_receive(f->in), 1);
	}
	expect(f, 1, NULL, 0);
	expect_none(f);
}

static void test_joined(void **state)
{
	struct fixture *f = *state;

	PUT(f, "{\"n\":1}\0{\"n\":2}\0{\"n\":3}");
	assert_int_equal(luo_varlink_receive(f->in), 1);
	expect(f, 1, NULL, 0);
	expect(f, 2, NULL, 0);
	expect(f, 3, NULL, 0);
	expect_none(f);
}

static void refuse(struct fixture *f, const char *data, size_t size, int error)
{
	struct luo_varlink_message message;

	put(f, data, size);
	assert_int_equal(luo_varlink_receive(f->in), 1);
	if (luo_varlink_next(f->in, &message) != error)
		fail_msg("\"%s\" was taken", data);
	close_pair(f);
	open_pair(f, NULL);
}

static void test_malformed(void **state)
{
	struct fixture *f = *state;
	char deep[2 * LUO_VARLINK_DEPTH_MAX + 16] = "{\"a\":";
	size_t n = strlen(deep);

#define REFUSE(text) refuse(f, text, sizeof(text), -EBADMSG)
	REFUSE("");
	REFUSE("null");
	REFUSE("[]");
	REFUSE("1");
	REFUSE("\"x\"");
	REFUSE("{");
	REFUSE("{} {}");
	REFUSE("{}x");
	REFUSE("{\"a\":\"\xff\"}");
	REFUSE("nonsense");

	for (int i = 0; i < LUO_VARLINK_DEPTH_MAX; i++)
		deep[n++] = '[';
	for (int i = 0; i < LUO_VARLINK_DEPTH_MAX; i++)
		deep[n++] = ']';
	deep[n++] = '}';
	deep[n++] = 0;
	refuse(f, deep, n, -EBADMSG);
}

static void test_too_long(void **state)
{
	struct fixture *f = *state;
	struct luo_varlink_limits limits = { .message_max = 100 };
	struct luo_varlink_message message;
	char text[200];

	close_pair(f);
	memset(text, ' ', sizeof(text));

	/* Without an end it is refused as soon as it is too long, with one as well. */
	open_pair(f, &limits);
	put(f, text, 101);
	assert_int_equal(luo_varlink_receive(f->in), 1);
	assert_int_equal(luo_varlink_next(f->in, &message), -EMSGSIZE);
	close_pair(f);

	open_pair(f, &limits);
	text[101] = 0;
	put(f, text, 102);
	assert_int_equal(luo_varlink_receive(f->in), 1);
	assert_int_equal(luo_varlink_next(f->in, &message), -EMSGSIZE);
	close_pair(f);

	open_pair(f, &limits);
	memcpy(text, "{\"n\":7", 6);
	text[99] = '}';
	text[100] = 0;
	put(f, text, 101);
	assert_int_equal(luo_varlink_receive(f->in), 1);
	expect(f, 7, NULL, 0);
}

static const char *const a[] = { "a" }, *const ab[] = { "a", "b" }, *const c[] = { "c" };

static void test_fds(void **state)
{
	struct fixture *f = *state;

	put_fds(f, "{\"n\":1}", 8, ab, 2);
	assert_int_equal(luo_varlink_receive(f->in), 1);
	expect(f, 1, ab, 2);
}

/* Messages before and after, each of its own sendmsg(): one read returns more than one of them. */
static void test_fds_between(void **state)
{
	struct fixture *f = *state;
	int r;

	PUT(f, "{\"n\":1}");
	PUT(f, "{\"n\":2}");
	put_fds(f, "{\"n\":3}", 8, ab, 2);
	PUT(f, "{\"n\":4}");
	put_fds(f, "{\"n\":5}", 8, c, 1);
	while ((r = luo_varlink_receive(f->in)) > 0)
		;
	assert_int_equal(r, 0);
	expect(f, 1, NULL, 0);
	expect(f, 2, NULL, 0);
	expect(f, 3, ab, 2);
	expect(f, 4, NULL, 0);
	expect(f, 5, c, 1);
}

/* The fds come with the first byte; the rest of the message comes later, with others behind it. */
static void test_fds_split(void **state)
{
	struct fixture *f = *state;
	int r;

	PUT(f, "{\"n\":1}");
	put_fds(f, "{", 1, a, 1);
	assert_int_equal(luo_varlink_receive(f->in), 1);
	expect(f, 1, NULL, 0);
	expect_none(f);
	PUT(f, "\"n\":2}\0{\"n\":3}");
	while ((r = luo_varlink_receive(f->in)) > 0)
		;
	expect(f, 2, a, 1);
	expect(f, 3, NULL, 0);
}

/* A client that puts several messages into one sendmsg() means the first. */
static void test_fds_joined(void **state)
{
	struct fixture *f = *state;

	put_fds(f, "{\"n\":1}\0{\"n\":2}", 16, a, 1);
	assert_int_equal(luo_varlink_receive(f->in), 1);
	expect(f, 1, a, 1);
	expect(f, 2, NULL, 0);
}

static void test_too_many_fds(void **state)
{
	struct fixture *f = *state;
	struct luo_varlink_limits limits = { .fds_max = 3 };

	close_pair(f);
	open_pair(f, &limits);
	put_fds(f, "{", 1, ab, 2);
	assert_int_equal(luo_varlink_receive(f->in), 1);
	put_fds(f, " ", 1, ab, 2);
	assert_int_equal(luo_varlink_receive(f->in), -EMFILE);
}

static struct json_object *object(int n)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "n", json_object_new_int(n));
	return o;
}

static void test_send(void **state)
{
	struct fixture *f = *state;
	struct luo_varlink *other;
	struct luo_varlink_message message;
	struct json_object *o = object(5);
	int fd = memfd_of("a");

	assert_int_equal(luo_varlink_new(f->out, NULL, &other), 0);
	assert_int_equal(luo_varlink_send(other, o, NULL, 0), 0);
	assert_int_equal(luo_varlink_send(other, o, &fd, 1), 0);
	assert_int_equal(luo_varlink_send(other, o, NULL, 0), 0);
	json_object_put(o);
	assert_int_equal(luo_varlink_flush(other), 1);
	assert_int_equal(luo_varlink_pending(other), 0);
	while (luo_varlink_receive(f->in) > 0)
		;
	expect(f, 5, NULL, 0);
	expect(f, 5, a, 1);
	expect(f, 5, NULL, 0);
	assert_int_equal(luo_varlink_next(f->in, &message), 0);
	luo_varlink_free(other);
	f->out = -EBADF;
}

/* A reader that does not read costs no more than the limit, and nothing blocks. */
static void test_slow_reader(void **state)
{
	struct fixture *f = *state;
	struct luo_varlink_limits limits = { .output_max = 1 << 20 };
	struct json_object *o = object(1);
	size_t sent = 0;
	char filler[4000];
	int r, got = 0;

	close_pair(f);
	open_pair(f, &limits);
	memset(filler, 'x', sizeof(filler));
	json_object_object_add(o, "f", json_object_new_string_len(filler, sizeof(filler)));
	for (;;) {
		r = luo_varlink_send(f->in, o, NULL, 0);
		if (r < 0)
			break;
		sent++;
		assert_true(luo_varlink_flush(f->in) >= 0);
	}
	json_object_put(o);
	assert_int_equal(r, -ENOBUFS);
	assert_true(luo_varlink_pending(f->in) <= limits.output_max);
	/* What was queued comes through whole. */
	do {
		char buffer[65536];
		ssize_t n = recv(f->out, buffer, sizeof(buffer), MSG_DONTWAIT);

		for (ssize_t i = 0; i < n; i++)
			got += buffer[i] == 0;
		r = luo_varlink_flush(f->in);
		assert_true(r >= 0);
	} while (got < (int)sent);
	assert_int_equal(luo_varlink_pending(f->in), 0);
}

static void test_too_many_to_send(void **state)
{
	struct fixture *f = *state;
	int fds[LUO_VARLINK_FDS_MAX + 1] = { 0 };
	struct json_object *o = object(1);

	assert_int_equal(luo_varlink_send(f->in, o, fds, ELEMENTSOF(fds)), -E2BIG);
	json_object_put(o);
}

/* Queued fds are closed when the connection goes. */
static void test_free_pending(void **state)
{
	struct fixture *f = *state;
	struct json_object *o = object(1);
	int fd = memfd_of("a");

	assert_int_equal(luo_varlink_send(f->in, o, &fd, 1), 0);
	json_object_put(o);
	put_fds(f, "{", 1, ab, 2);
	assert_int_equal(luo_varlink_receive(f->in), 1);
}

static void expect_text(struct json_object *o, const char *text)
{
	assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), text);
	json_object_put(o);
}

static void test_messages(void **state)
{
	struct json_object *o;

	assert_int_equal(luo_varlink_make_call("a.B", NULL, 0, &o), 0);
	expect_text(o, "{\"method\":\"a.B\",\"parameters\":{}}");
	assert_int_equal(luo_varlink_make_call("a.B", object(1), LUO_VARLINK_MORE, &o), 0);
	expect_text(o, "{\"method\":\"a.B\",\"parameters\":{\"n\":1},\"more\":true}");
	assert_int_equal(luo_varlink_make_reply(object(1), false, &o), 0);
	expect_text(o, "{\"parameters\":{\"n\":1}}");
	assert_int_equal(luo_varlink_make_reply(NULL, true, &o), 0);
	expect_text(o, "{\"parameters\":{},\"continues\":true}");
	assert_int_equal(luo_varlink_make_error("a.E", object(1), &o), 0);
	expect_text(o, "{\"error\":\"a.E\",\"parameters\":{\"n\":1}}");
}

static void test_wait(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(luo_varlink_wait(f->in, now_usec(CLOCK_MONOTONIC) + 1000), -ETIMEDOUT);
	PUT(f, "{\"n\":1}");
	assert_int_equal(luo_varlink_wait(f->in, UINT64_MAX), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_malformed),    TEST(test_too_long),
		TEST(test_too_many_fds), TEST(test_too_many_to_send),
		TEST(test_slow_reader),  TEST(test_empty),
		TEST(test_split),        TEST(test_joined),
		TEST(test_fds),          TEST(test_fds_between),
		TEST(test_fds_split),    TEST(test_fds_joined),
		TEST(test_send),         TEST(test_free_pending),
		TEST(test_messages),     TEST(test_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
