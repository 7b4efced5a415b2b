/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <inttypes.h>
#include <stdio.h>

#include "common/escape.h"
#include "common/json.h"
#include "tools/luoctl/luoctl.h"
#include "common/util.h"

static void print_time(int64_t usec)
{
	time_t seconds = (time_t)(usec / 1000000);
	struct tm tm;

	if (usec > 0 && localtime_r(&seconds, &tm))
		printf("%02d:%02d:%02d.%03d", tm.tm_hour, tm.tm_min, tm.tm_sec,
		       (int)(usec % 1000000 / 1000));
	else
		printf("%-12s", "-");
}

static void print_event(struct json_object *event)
{
	_cleanup_free_ char *what = escape(json_string(event, "event") ?: "?");
	_cleanup_free_ char *unit = escape(json_string(event, "unit") ?: "");
	_cleanup_free_ char *name = escape(json_string(event, "name") ?: "");
	_cleanup_free_ char *text = escape(json_string(event, "text") ?: "");

	if (!what || !unit || !name || !text)
		return;
	print_time(json_int(event, "at"));
	printf("  %s", what);
	if (*unit)
		printf(" %s", unit);
	if (*name)
		printf(" \"%s\"", name);
	if (*text)
		printf(": %s", text);
	putchar('\n');
}

static int on_event(const char *reply, int *fds, size_t n_fds, bool continues, void *userdata)
{
	const struct context *c = userdata;
	_cleanup_json_ struct json_object *event = json_parse(reply);

	close_many(fds, n_fds);
	if (c->json)
		json_print_line(event);
	else
		print_event(event);
	/* Whoever reads wants to see it now, and if nobody does any more there is no point. */
	return fflush(stdout) == 0 ? 0 : 1;
}

int verb_monitor(struct context *c, int argc, char **argv)
{
	int r;

	if (next_option(c, argc, argv, NULL, &r) != -1)
		return r;
	if (!count_arguments(c, argc, 0, 0))
		return LUOCTL_USAGE;
	r = connect_to_luod(c);
	if (r != LUOCTL_OK)
		return r;
	r = luo_client_call_more(c->client, "Monitor", NULL, on_event, c);
	return r < 0 ? explain(c, "monitor", r) : LUOCTL_OK;
}
