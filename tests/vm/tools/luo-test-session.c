/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The bare kernel interface for the scenarios, for what a well-behaved program would not do.
 *
 *   luo-test-session hold-device SECONDS         keep /dev/liveupdate open
 *   luo-test-session create NAME [MAPPING]       a session with MAPPING at token 0 and "payload" at
 *                                                tokens 1 to 5, kept until the kexec
 *   luo-test-session retrieve NAME               TAP: it is there, and its five payloads
 *   luo-test-session absent NAME                 TAP: no such session came in
 *   luo-test-session kexec                       reboot(RB_KEXEC) and nothing else
 *
 * hold-device and create go on in the background once they have what they want.
 */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <linux/reboot.h>

#include <luo/memfd.h>
#include <luo/session.h>

#include "common/util.h"

#define PAYLOADS 5
#define TIMEOUT  (10 * USEC_PER_SEC)

static int hold_device(const char *seconds)
{
	int device, r;

	r = luo_device_open(TIMEOUT, &device);
	if (r < 0)
		errx(1, "cannot open the device: %s", strerror(-r));
	if (daemon(1, 1) < 0)
		err(1, "daemon");
	sleep((unsigned)atoi(seconds));
	return 0;
}

static int memfd_of_file(const char *path)
{
	_cleanup_close_ int file = open(path, O_RDONLY | O_CLOEXEC);
	int fd;
	char buffer[65536];
	ssize_t n;

	if (file < 0)
		err(1, "cannot open %s", path);
	if (luo_memfd_create(NULL, &fd) < 0)
		errx(1, "cannot make a memfd");
	while ((n = read(file, buffer, sizeof(buffer))) > 0)
		if (write(fd, buffer, (size_t)n) != n)
			err(1, "write");
	return fd;
}

static void preserve(int session, uint64_t token, int fd)
{
	int r = luo_session_preserve_fd(session, fd, token);

	if (r < 0)
		errx(1, "cannot preserve token %llu: %s", (unsigned long long)token, strerror(-r));
}

static int create(const char *name, const char *mapping)
{
	int device, session, r;

	r = luo_device_open(TIMEOUT, &device);
	if (r < 0)
		errx(1, "cannot open the device: %s", strerror(-r));
	r = luo_session_create(device, name, &session);
	if (r < 0)
		errx(1, "cannot create %s: %s", name, strerror(-r));
	safe_close(device);
	for (uint64_t token = 1; token <= PAYLOADS; token++) {
		int fd;

		r = luo_memfd_new_sealed("payload", "payload", 7, &fd);
		if (r < 0)
			errx(1, "cannot make a memfd: %s", strerror(-r));
		preserve(session, token, fd);
		safe_close(fd);
	}
	if (mapping)
		preserve(session, LUO_TOKEN_MAPPING, memfd_of_file(mapping));
	if (daemon(1, 1) < 0)
		err(1, "daemon");
	for (;;)
		pause();
}

static int retrieve(const char *name)
{
	int device, session, r, failed = 0;

	r = luo_device_open(TIMEOUT, &device);
	if (r < 0)
		errx(1, "cannot open the device: %s", strerror(-r));
	r = luo_session_retrieve(device, name, &session);
	safe_close(device);
	printf("%sok 1 - session %s is there\n", r < 0 ? "not " : "", name);
	if (r < 0)
		return 1;
	for (uint64_t token = 1; token <= PAYLOADS; token++) {
		char buffer[8] = {};
		int fd = -1;
		bool ok;

		r = luo_session_retrieve_fd(session, token, &fd);
		ok = r >= 0 && pread(fd, buffer, 7, 0) == 7 && streq(buffer, "payload");
		failed += !ok;
		printf("%sok %llu - payload %llu\n", ok ? "" : "not ",
		       (unsigned long long)token + 1, (unsigned long long)token);
	}
	printf("1..%d\n", PAYLOADS + 1);
	return failed > 0;
}

static int absent(const char *name)
{
	int device, session, r;

	r = luo_device_open(TIMEOUT, &device);
	if (r < 0)
		errx(1, "cannot open the device: %s", strerror(-r));
	r = luo_session_retrieve(device, name, &session);
	printf("%sok 1 - no session %s came in\n1..1\n", r == -ENOENT ? "" : "not ", name);
	return r != -ENOENT;
}

static int kexec(void)
{
	reboot(LINUX_REBOOT_CMD_KEXEC);
	err(1, "reboot");
}

int main(int argc, char **argv)
{
	if (argc == 3 && streq(argv[1], "hold-device"))
		return hold_device(argv[2]);
	if ((argc == 3 || argc == 4) && streq(argv[1], "create"))
		return create(argv[2], argv[3]);
	if (argc == 3 && streq(argv[1], "retrieve"))
		return retrieve(argv[2]);
	if (argc == 3 && streq(argv[1], "absent"))
		return absent(argv[2]);
	if (argc == 2 && streq(argv[1], "kexec"))
		return kexec();
	fprintf(stderr, "usage: luo-test-session hold-device|create|retrieve|absent|kexec ...\n");
	return 2;
}
