/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Converts seals and flags to text: "shrink,grow". A bit without a name is written as a number, so
 * that no bit of a newer kernel is lost.
 */

#include <ctype.h>
#include <limits.h>
#include <stdio.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include "common/util.h"

struct name {
	unsigned bit;
	const char *name;
};

static const struct name seal_names[] = {
	{ LUO_SEAL_SEAL, "seal" },
	{ LUO_SEAL_SHRINK, "shrink" },
	{ LUO_SEAL_GROW, "grow" },
	{ LUO_SEAL_WRITE, "write" },
	{ LUO_SEAL_FUTURE_WRITE, "future-write" },
	{ LUO_SEAL_EXEC, "exec" },
};

static const struct name flag_names[] = {
	{ LUO_MEMFD_ALLOW_SEALING, "sealing" },   { LUO_MEMFD_EXEC, "exec" },
	{ LUO_MEMFD_NOEXEC_SEAL, "noexec-seal" }, { LUO_MEMFD_HUGETLB, "hugetlb" },
	{ LUO_MEMFD_HUGEPAGE, "hugepage" },       { LUO_MEMFD_PREALLOCATE, "preallocate" },
	{ LUO_MEMFD_NO_CLOEXEC, "no-cloexec" },
};

static char *to_string(const struct name *names, size_t n_names, unsigned bits, char *buffer,
		       size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < n_names; i++) {
		if (!(bits & names[i].bit))
			continue;
		n += (size_t)snprintf(buffer + n, size - n, "%s%s", n ? "," : "", names[i].name);
		bits &= ~names[i].bit;
	}
	if (bits)
		snprintf(buffer + n, size - n, "%s0x%x", n ? "," : "", bits);
	else if (n == 0)
		snprintf(buffer, size, "-");
	return buffer;
}

static int parse_one(const struct name *names, size_t n_names, const char *text, size_t length,
		     unsigned *ret_bits)
{
	unsigned long n;
	char *end;

	for (size_t i = 0; i < n_names; i++)
		if (strncmp(names[i].name, text, length) == 0 && names[i].name[length] == '\0') {
			*ret_bits = names[i].bit;
			return 0;
		}
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	n = strtoul(text, &end, 0);
	if (errno || end != text + length || n > UINT_MAX)
		return -EINVAL;
	*ret_bits = (unsigned)n;
	return 0;
}

static int from_string(const struct name *names, size_t n_names, const char *text,
		       unsigned *ret_bits)
{
	unsigned bits = 0, bit;

	if (!text || !ret_bits)
		return -EINVAL;
	if (streq(text, "") || streq(text, "-")) {
		*ret_bits = 0;
		return 0;
	}
	for (;;) {
		size_t length = strcspn(text, ",");
		int r = parse_one(names, n_names, text, length, &bit);

		if (r < 0)
			return r;
		bits |= bit;
		if (text[length] == '\0')
			break;
		text += length + 1;
	}
	*ret_bits = bits;
	return 0;
}

_public_ char *luo_seals_to_string(unsigned seals, char buffer[64])
{
	return to_string(seal_names, ELEMENTSOF(seal_names), seals, buffer, 64);
}

_public_ int luo_seals_from_string(const char *text, unsigned *ret_seals)
{
	return from_string(seal_names, ELEMENTSOF(seal_names), text, ret_seals);
}

_public_ char *luo_memfd_flags_to_string(unsigned flags, char buffer[96])
{
	return to_string(flag_names, ELEMENTSOF(flag_names), flags, buffer, 96);
}

_public_ int luo_memfd_flags_from_string(const char *text, unsigned *ret_flags)
{
	return from_string(flag_names, ELEMENTSOF(flag_names), text, ret_flags);
}
