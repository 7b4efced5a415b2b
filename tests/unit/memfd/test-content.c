/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Equal content, and digests. */

#include <pthread.h>

#include "libluo/memfd/sha256.h"

#include "tests/unit/memfd/fixture.h"

static void assert_sha256(const void *data, size_t size, const char *expected)
{
	char text[2 * LUO_DIGEST_SIZE + 1];
	uint8_t digest[LUO_DIGEST_SIZE];
	struct luo_sha256 s;

	luo_sha256_begin(&s);
	luo_sha256_add(&s, data, size);
	luo_sha256_end(&s, digest);
	assert_string_equal(luo_digest_to_string(digest, text), expected);
}

/* FIPS 180-4's examples, and NIST's for lengths around a block. */
static void test_sha256(void **state)
{
	static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	static const char four[] = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
				   "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
	static char million[1000000];

	assert_sha256("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_sha256("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_sha256(two_blocks, 56,
		      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_sha256(four, 112,
		      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
	memset(million, 'a', sizeof(million));
	assert_sha256(million, sizeof(million),
		      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	memset(million, 0, sizeof(million));
	assert_sha256(million, 55,
		      "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7");
	assert_sha256(million, 56,
		      "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb");
	assert_sha256(million, 57,
		      "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785");
	assert_sha256(million, 64,
		      "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b");
	assert_sha256(million, 1000000,
		      "d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025");
}

/* However it is cut into pieces. */
static void test_sha256_in_pieces(void **state)
{
	uint8_t data[300], whole[LUO_DIGEST_SIZE], pieces[LUO_DIGEST_SIZE];
	struct luo_sha256 s;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	luo_sha256_begin(&s);
	luo_sha256_add(&s, data, sizeof(data));
	luo_sha256_end(&s, whole);
	for (size_t first = 0; first <= sizeof(data); first++) {
		luo_sha256_begin(&s);
		luo_sha256_add(&s, data, first);
		luo_sha256_add(&s, data, 0);
		luo_sha256_add(&s, data + first, sizeof(data) - first);
		luo_sha256_end(&s, pieces);
		assert_memory_equal(whole, pieces, sizeof(whole));
	}
}

static void assert_digest(int fd, const char *expected)
{
	char text[2 * LUO_DIGEST_SIZE + 1];
	uint8_t digest[LUO_DIGEST_SIZE];

	assert_int_equal(luo_memfd_digest(fd, digest), 0);
	assert_string_equal(luo_digest_to_string(digest, text), expected);
}

static void test_digest_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd = memfd_of("x");
	_cleanup_close_ int path = path_only(fd);
	uint8_t digest[LUO_DIGEST_SIZE];
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(luo_memfd_digest(-1, digest), -EBADF);
	assert_int_equal(luo_memfd_digest(path, digest), -EBADF);
	assert_int_equal(luo_memfd_digest(null, digest), -EINVAL);
	assert_int_equal(luo_memfd_digest(p[0], digest), -EINVAL);
	assert_int_equal(luo_memfd_digest(fd, NULL), -EINVAL);
	close_many(p, 2);
}

static void test_digest(void **state)
{
	_cleanup_close_ int empty = memfd_of(""), abc = memfd_of("abc"), only = -EBADF;

	assert_digest(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_int_equal(lseek(abc, 2, SEEK_SET), 2);
	assert_digest(abc, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(lseek(abc, 0, SEEK_CUR), 2);
	assert_int_equal(luo_memfd_reopen(abc, O_WRONLY, &only), 0);
	assert_digest(only, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_digest_of_holes(void **state)
{
	_cleanup_close_ int sparse = create((struct luo_memfd_options){ .size = 9 * MIB + 5 });
	_cleanup_close_ int dense = create((struct luo_memfd_options){ .size = 9 * MIB + 5 });
	_cleanup_free_ char *zeros = calloc(1, 9 * MIB + 5);
	uint8_t a[LUO_DIGEST_SIZE], b[LUO_DIGEST_SIZE];

	assert_int_equal(pwrite(dense, zeros, 9 * MIB + 5, 0), 9 * MIB + 5);
	write_at(sparse, "here", 5 * MIB + 1000);
	write_at(dense, "here", 5 * MIB + 1000);
	assert_int_equal(luo_memfd_digest(sparse, a), 0);
	assert_int_equal(luo_memfd_digest(dense, b), 0);
	assert_memory_equal(a, b, sizeof(a));
	assert_int_equal(allocated(sparse), 4096);
}

/* Equal */

static void test_equal_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd = memfd_of("x");
	_cleanup_close_ int path = path_only(fd);

	assert_int_equal(luo_memfd_equal(-1, fd), -EBADF);
	assert_int_equal(luo_memfd_equal(fd, -1), -EBADF);
	assert_int_equal(luo_memfd_equal(path, fd), -EBADF);
	assert_int_equal(luo_memfd_equal(fd, path), -EBADF);
	assert_int_equal(luo_memfd_equal(fd, null), -EINVAL);
	assert_int_equal(luo_memfd_equal(null, fd), -EINVAL);
}

static void test_equal(void **state)
{
	_cleanup_close_ int a = memfd_of("text"), same = memfd_of("text"),
			    longer = memfd_of("texts");
	_cleanup_close_ int other = memfd_of("tent"), empty = memfd_of(""), none = memfd_of("");
	_cleanup_close_ int again = dup(a);

	assert_int_equal(luo_memfd_equal(a, a), 1);
	assert_int_equal(luo_memfd_equal(a, again), 1);
	assert_int_equal(luo_memfd_equal(a, same), 1);
	assert_int_equal(luo_memfd_equal(a, longer), 0);
	assert_int_equal(luo_memfd_equal(a, other), 0);
	assert_int_equal(luo_memfd_equal(a, empty), 0);
	assert_int_equal(luo_memfd_equal(none, empty), 1);
}

/* Holes equal zeros, wherever each of them has its own. */
static void test_equal_with_holes(void **state)
{
	_cleanup_close_ int a = create((struct luo_memfd_options){ .size = INT64_MAX - 4095 });
	_cleanup_close_ int b = create((struct luo_memfd_options){ .size = INT64_MAX - 4095 });
	char zeros[4096] = { 0 };

	assert_int_equal(luo_memfd_equal(a, b), 1);
	assert_int_equal(pwrite(a, zeros, 4096, 5 * MIB), 4096);
	assert_int_equal(pwrite(b, zeros, 4096, 500 * MIB), 4096);
	assert_int_equal(luo_memfd_equal(a, b), 1);
	write_at(a, "last", INT64_MAX - 4095 - 4);
	assert_int_equal(luo_memfd_equal(a, b), 0);
	assert_int_equal(luo_memfd_equal(b, a), 0);
	write_at(b, "last", INT64_MAX - 4095 - 4);
	assert_int_equal(luo_memfd_equal(a, b), 1);
	assert_true(allocated(a) <= 2 * 4096);
}

/* Somebody who wants to kill us. */

struct changer {
	int fd;
	volatile bool stop;
};

static void *resize(void *userdata)
{
	struct changer *c = userdata;

	for (unsigned i = 0; !c->stop; i++) {
		(void)!ftruncate(c->fd, i % 2 ? 4096 : 8 * (off_t)MIB);
		(void)!pwrite(c->fd, &i, sizeof(i), 7 * (off_t)MIB);
	}
	return NULL;
}

static void test_file_that_changes(void **state)
{
	_cleanup_close_ int a = create((struct luo_memfd_options){ .size = 8 * MIB });
	_cleanup_close_ int b = create((struct luo_memfd_options){ .size = 8 * MIB });
	struct changer c = { .fd = a };
	uint8_t digest[LUO_DIGEST_SIZE];
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, resize, &c), 0);
	for (int i = 0; i < 30; i++) {
		int r = luo_memfd_digest(a, digest);

		assert_true(r == 0 || r == -EIO);
		r = luo_memfd_equal(a, b);
		assert_true(r == 0 || r == 1 || r == -EIO);
	}
	c.stop = true;
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sha256), TEST(test_sha256_in_pieces), TEST(test_digest_refused),
		TEST(test_digest), TEST(test_digest_of_holes),  TEST(test_equal_refused),
		TEST(test_equal),  TEST(test_equal_with_holes), TEST(test_file_that_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
