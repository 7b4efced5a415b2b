/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <ctype.h>
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>

#include "tools/luoctl/abi.h"
#include "tools/luoctl/unpack.h"
#include "common/util.h"

static const char *const prefixes[] = { "kho", "luo", "memfd" };

/* The length of "luo-session-v2" and the like at @s up to its NUL; 0 if it is none. */
static size_t match(const char *s, size_t left)
{
	size_t n = 0, version;

	for (size_t i = 0; i < ELEMENTSOF(prefixes) && n == 0; i++)
		if (left > strlen(prefixes[i]) && startswith(s, prefixes[i]))
			n = strlen(prefixes[i]);
	if (n == 0)
		return 0;
	while (n < left && (islower((unsigned char)s[n]) || s[n] == '-'))
		n++;
	if (n < 2 || s[n - 1] != 'v' || s[n - 2] != '-')
		return 0;
	version = n;
	while (n < left && isdigit((unsigned char)s[n]))
		n++;
	return n > version && n < left && s[n] == '\0' && n < 32 ? n : 0;
}

bool abi_has(const struct abi *abi, const char *s)
{
	for (size_t i = 0; i < abi->n; i++)
		if (streq(abi->strings[i], s))
			return true;
	return false;
}

void abi_add(struct abi *abi, const char *s)
{
	if (abi->n < ABI_MAX && strlen(s) < sizeof(abi->strings[0]) && !abi_has(abi, s))
		strcpy(abi->strings[abi->n++], s);
}

void abi_scan(struct abi *abi, const char *data, size_t size)
{
	const unsigned char *bytes = (const unsigned char *)data;
	const char *end = data + size;

	for (const char *p = data; p < end && abi->n < ABI_MAX; p++) {
		size_t n;

		/* Not in the middle of a text; but some stand behind the bytes of a pointer. */
		if ((*p != 'k' && *p != 'l' && *p != 'm') ||
		    (p > data && isprint(bytes[p - data - 1])))
			continue;
		n = match(p, (size_t)(end - p));
		if (n > 0)
			abi_add(abi, p);
	}
}

static int reason(char buffer[ABI_REASON_MAX], int error, const char *format, ...)
	__attribute__((__format__(__printf__, 3, 4)));
static int reason(char buffer[ABI_REASON_MAX], int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(buffer, ABI_REASON_MAX, format, ap);
	va_end(ap);
	return error;
}

/* The packed kernel in a bzImage: Documentation/arch/x86/boot.rst. */
static int find_payload(const char *data, size_t size, const char **ret, size_t *ret_size,
			char buffer[ABI_REASON_MAX])
{
	uint32_t offset, length;
	size_t start;

	if (size < 0x260 || memcmp(data + 0x202, "HdrS", 4) != 0)
		return reason(buffer, -ENOEXEC, "it is not a bzImage of x86");
	memcpy(&offset, data + 0x248, sizeof(offset));
	memcpy(&length, data + 0x24c, sizeof(length));
	/* no setup_sects means four */
	start = ((size_t)((unsigned char)data[0x1f1] ?: 4) + 1) * 512 + le32toh(offset);
	if (start > size || le32toh(length) > size - start)
		return reason(buffer, -ENODATA, "the file is shorter than its header says");
	*ret = data + start;
	*ret_size = le32toh(length);
	return 0;
}

static int cannot_unpack(const char *payload, size_t size, int error, char buffer[ABI_REASON_MAX])
{
	const char *program = unpack_program(payload, size) ?: "?";

	switch (error) {
	case -ENOENT:
		return reason(buffer, error, "it is packed with %s, which is not installed",
			      program);
	case -ENODATA:
		return reason(buffer, error,
			      "it is packed with %s, and the packed data ends too early", program);
	case -EBADMSG:
		return reason(buffer, error, "it is packed with %s, and cannot be unpacked",
			      program);
	case -EFBIG:
		return reason(buffer, error,
			      "it is packed with %s, and takes more than %zu MiB to unpack",
			      program, UNPACKED_MAX >> 20);
	default:
		return reason(buffer, error, "it is packed with %s: %s", program, strerror(-error));
	}
}

int abi_of_image(const char *data, size_t size, struct abi *ret, char ret_reason[ABI_REASON_MAX])
{
	_cleanup_free_ char *kernel = NULL;
	struct abi abi = { 0 };
	const char *payload = NULL;
	size_t packed = 0, n;
	int r;

	r = find_payload(data, size, &payload, &packed, ret_reason);
	if (r < 0)
		return r;
	r = unpack(payload, packed, &kernel, &n);
	if (r < 0)
		return cannot_unpack(payload, packed, r, ret_reason);
	/* What is packed in a way that nobody knows here must not look like a kernel without LUO.
	 */
	if (n < 4 || memcmp(kernel, "\177ELF", 4) != 0)
		return reason(ret_reason, -ENOEXEC,
			      "what is in it is not a kernel, or packed in an unknown way");
	abi_scan(&abi, kernel, n);
	*ret = abi;
	return 0;
}

const char *abi_find(const struct abi *abi, const char *like)
{
	size_t n = (size_t)(strrchr(like, 'v') - like);

	for (size_t i = 0; i < abi->n; i++)
		if (strncmp(abi->strings[i], like, n + 1) == 0 &&
		    isdigit((unsigned char)abi->strings[i][n + 1]))
			return abi->strings[i];
	return NULL;
}
