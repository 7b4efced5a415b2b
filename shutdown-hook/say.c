/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Writes lines to the kernel's log and the console, for programs that run while no journal does. */

#include "shutdown-hook/say.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#define LINE_MAX_BYTES 700 /* a record of the kernel's log has at most about 1000 */

static int kmsg_fd = -EBADF, console_fd = -EBADF;
static int printed_below = 8; /* the kernel prints lower levels to the console itself */

static int open_device(const char *path, int flags)
{
	return open(path, flags | O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
}

static void read_console_level(void)
{
	_cleanup_close_ int fd = open("/proc/sys/kernel/printk", O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		printed_below = atoi(text);
}

void say_setup(void)
{
	const char *file = secure_getenv("LUO_CONSOLE");

	if (file) {
		console_fd = open_device(file, O_CREAT | O_APPEND);
		return;
	}
	kmsg_fd = open_device("/dev/kmsg", 0);
	console_fd = open_device("/dev/console", 0);
	if (kmsg_fd >= 0)
		read_console_level();
}

static void write_to(int fd, const char *text, size_t size)
{
	ssize_t n;

	if (fd < 0)
		return;
	do
		n = write(fd, text, size);
	while (n < 0 && errno == EINTR);
}

void say_raw(const char *line)
{
	write_to(kmsg_fd, line, strlen(line));
	write_to(console_fd, line, strlen(line));
}

void say(int level, const char *format, ...)
{
	char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 16];
	va_list ap;
	int n;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	if (kmsg_fd >= 0) {
		n = snprintf(line, sizeof(line), "<%d>luo: %s\n", level, text);
		write_to(kmsg_fd, line, (size_t)n);
	}
	if (kmsg_fd < 0 || level >= printed_below) {
		n = snprintf(line, sizeof(line), "luo: %s\n", text);
		write_to(console_fd, line, (size_t)n);
	}
}
