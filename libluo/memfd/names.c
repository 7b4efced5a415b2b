/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Converts seals to text: "shrink,grow". A bit without a name is written as a number, so that no
 * bit of a newer kernel is lost.
 */

#include <stdio.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include "common/util.h"

static const struct {
	unsigned bit;
	const char *name;
} seal_names[] = {
	{ LUO_SEAL_SEAL, "seal" },
	{ LUO_SEAL_SHRINK, "shrink" },
	{ LUO_SEAL_GROW, "grow" },
	{ LUO_SEAL_WRITE, "write" },
	{ LUO_SEAL_FUTURE_WRITE, "future-write" },
	{ LUO_SEAL_EXEC, "exec" },
};

_public_ char *luo_seals_to_string(unsigned seals, char buffer[64])
{
	const size_t size = 64;
	size_t n = 0;

	if (!buffer)
		return NULL;
	for (size_t i = 0; i < ELEMENTSOF(seal_names); i++) {
		if (!(seals & seal_names[i].bit))
			continue;
		n += (size_t)snprintf(buffer + n, size - n, "%s%s", n ? "," : "",
				      seal_names[i].name);
		seals &= ~seal_names[i].bit;
	}
	if (seals)
		snprintf(buffer + n, size - n, "%s0x%x", n ? "," : "", seals);
	else if (n == 0)
		snprintf(buffer, size, "-");
	return buffer;
}
