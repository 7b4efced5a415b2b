/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * A client that runs out of memory while it builds a request sends nothing: without its name, a
 * Drop would drop the whole unit.
 */

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <luo/client.h>

#include "tests/fake/json-memory.h"
#include "tests/unit/helpers.h"

#define ANSWER_USEC (20 * USEC_PER_MSEC)

struct request {
	const char *name;
	int (*send)(struct luo_client *client);
	const char *const *members;
};

static int send_register(struct luo_client *c)
{
	return luo_client_register(c, "a.service", 7);
}

static int send_claim(struct luo_client *c)
{
	struct luo_claimed *claimed;

	return luo_client_claim(c, "a.service", &claimed);
}

static int send_open_entry(struct luo_client *c)
{
	int fd;

	return luo_client_open_entry(c, "a.service", "ram", 2, &fd);
}

static int send_drop(struct luo_client *c)
{
	return luo_client_drop(c, "a.service", "ram", NULL, NULL);
}

static const struct request requests[] = {
	{ "Register", send_register,
	  (const char *const[]){ "\"unit\":\"a.service\"", "\"fdstoreMax\":7", NULL } },
	{ "Claim", send_claim, (const char *const[]){ "\"unit\":\"a.service\"", NULL } },
	{ "OpenEntry", send_open_entry,
	  (const char *const[]){ "\"unit\":\"a.service\"", "\"name\":\"ram\"", "\"nth\":2",
				 NULL } },
	{ "Drop", send_drop,
	  (const char *const[]){ "\"unit\":\"a.service\"", "\"name\":\"ram\"", NULL } },
};

/* One connection, one request; what arrives at the other end. Returns the result of the request. */
static int try_request(const struct request *q, unsigned fail_at, char *heard, size_t size)
{
	char directory[] = "/tmp/luo-test-XXXXXX";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct luo_client *client;
	int fd, connection, r;
	ssize_t n;

	assert_non_null(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", directory);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	json_memory_fail_at(0);
	assert_int_equal(luo_client_connect(address.sun_path, ANSWER_USEC, &client), 0);
	connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(connection >= 0);

	json_memory_fail_at(fail_at);
	r = q->send(client);
	n = recv(connection, heard, size - 1, MSG_DONTWAIT);
	heard[n > 0 ? n : 0] = '\0';

	luo_client_free(client);
	close(connection);
	close(fd);
	unlink(address.sun_path);
	rmdir(directory);
	return r;
}

static void test_requests(void **state)
{
	for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
		const struct request *q = &requests[i];
		char heard[4096];
		unsigned n;
		int r;

		for (n = 1;; n++) {
			r = try_request(q, n, heard, sizeof(heard));
			if (r != -ENOMEM)
				break;
			assert_true(json_memory_failed());
			assert_string_equal(heard, "");
		}
		/* Every allocation succeeded: the request is complete, and no answer comes. */
		assert_false(json_memory_failed());
		assert_int_equal(r, -ETIMEDOUT);
		assert_true(n > 4);
		assert_non_null(strstr(heard, q->name));
		for (const char *const *member = q->members; *member; member++)
			assert_non_null(strstr(heard, *member));
	}
	json_memory_fail_at(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
