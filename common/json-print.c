/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* JSON on standard output. Apart from json.c, because the library uses that and prints nothing. */

#include "common/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void print(struct json_object *o, int flags)
{
	const char *text = NULL;

	if (json_is_complete(o))
		text = json_object_to_json_string_ext(o, flags | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text) {
		fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
		exit(EXIT_FAILURE);
	}
	puts(text);
}

void json_print(struct json_object *o)
{
	print(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
}

void json_print_line(struct json_object *o)
{
	print(o, JSON_C_TO_STRING_PLAIN);
}
