/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <stdio.h>

#include "tools/luoctl/cmdline.h"
#include "common/util.h"

#define SPACE " \t\r\n"

/* The next word from *at on; its length, 0 at the end. */
static size_t next_word(const char **at)
{
	const char *p;
	bool quoted = false;

	*at += strspn(*at, SPACE);
	for (p = *at; *p && (quoted || !strchr(SPACE, *p)); p++)
		if (*p == '"')
			quoted = !quoted;
	return (size_t)(p - *at);
}

bool cmdline_is_on(const char *cmdline, const char *name, bool if_missing)
{
	size_t length, n = strlen(name);
	bool on = if_missing;

	for (const char *p = cmdline; (length = next_word(&p)) > 0; p += length) {
		if (strncmp(p, name, n) != 0 || p[n] != '=')
			continue;
		/* the kernel's kstrtobool() */
		on = p[n + 1] && strchr("yY1tT", p[n + 1]);
		on |= (p[n + 1] == 'o' || p[n + 1] == 'O') && (p[n + 2] == 'n' || p[n + 2] == 'N');
	}
	return on;
}

char *cmdline_reuse(const char *base, const char *append)
{
	char *text = NULL;
	size_t size, length;
	const char *space = "";
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (const char *p = base; (length = next_word(&p)) > 0; p += length) {
		if (startswith(p, "BOOT_IMAGE="))
			continue;
		fprintf(f, "%s%.*s", space, (int)length, p);
		space = " ";
	}
	if (append && *append)
		fprintf(f, "%s%s", space, append);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
