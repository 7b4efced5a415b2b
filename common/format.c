/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <inttypes.h>
#include <stdio.h>

#include "common/format.h"
#include "common/util.h"

char *format_size(char buffer[FORMAT_MAX], uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t i = 0;

	/* What would be rounded to 1024 of a unit is 1 of the next. */
	for (; value >= (i == 0 ? 1024 : 1023.5) && i + 1 < ELEMENTSOF(units); i++)
		value /= 1024;
	if (i == 0 || value >= 9.95)
		snprintf(buffer, FORMAT_MAX, "%.0f %s", value, units[i]);
	else
		snprintf(buffer, FORMAT_MAX, "%.1f %s", value, units[i]);
	return buffer;
}

static char *two_units(char buffer[FORMAT_MAX], uint64_t n, unsigned per, const char *large,
		       const char *small)
{
	if (n % per)
		snprintf(buffer, FORMAT_MAX, "%" PRIu64 "%s %" PRIu64 "%s", n / per, large, n % per,
			 small);
	else
		snprintf(buffer, FORMAT_MAX, "%" PRIu64 "%s", n / per, large);
	return buffer;
}

char *format_usec(char buffer[FORMAT_MAX], uint64_t usec)
{
	uint64_t seconds = usec / USEC_PER_SEC + (usec % USEC_PER_SEC >= USEC_PER_SEC / 2);

	if (seconds >= (uint64_t)24 * 3600)
		return two_units(buffer, seconds / 3600, 24, "d", "h");
	if (seconds >= 3600)
		return two_units(buffer, seconds / 60, 60, "h", "min");
	if (seconds >= 60)
		return two_units(buffer, seconds, 60, "min", "s");
	if (usec < 1000)
		snprintf(buffer, FORMAT_MAX, "%" PRIu64 " us", usec);
	else if (usec < 9950)
		snprintf(buffer, FORMAT_MAX, "%.1f ms", (double)usec / 1e3);
	else if (usec < 999500)
		snprintf(buffer, FORMAT_MAX, "%.0f ms", (double)usec / 1e3);
	else
		snprintf(buffer, FORMAT_MAX, "%.1f s", (double)usec / 1e6);
	return buffer;
}

char *format_age(char buffer[FORMAT_MAX], uint64_t usec)
{
	uint64_t now = now_usec(CLOCK_REALTIME);
	uint64_t seconds = now > usec ? (now - usec) / USEC_PER_SEC : 0;

	if (seconds >= (uint64_t)24 * 3600)
		snprintf(buffer, FORMAT_MAX, "%" PRIu64 "d", seconds / (24 * 3600));
	else if (seconds >= 3600)
		snprintf(buffer, FORMAT_MAX, "%" PRIu64 "h", seconds / 3600);
	else if (seconds >= 60)
		snprintf(buffer, FORMAT_MAX, "%" PRIu64 "min", seconds / 60);
	else
		snprintf(buffer, FORMAT_MAX, "%" PRIu64 "s", seconds);
	return buffer;
}
